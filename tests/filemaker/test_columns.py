"""Columns judged as columns: how many values read, shapes, suggestions, and what an empty column switches off."""

import re
from itertools import combinations

import pytest

from linkage.texts import shape
from tests.support.exports import COLUMNS, UUID, as_seed, tab, written

PATIENTS = [f"F0000000-0000-4000-8000-00000000000{n}" for n in "123"]
RECORDS = [
    (
        f"10/{n}/2016", f"IMG_{n}.jpg", f"1D000000-0000-4000-8000-0000000000{n:02}", PATIENTS[n % 3], "?",
        "1" if n % 2 else "", str(100 + n), ("Dorsal", "Left lateral")[n % 2],
    )
    for n in range(10, 22)
]  # fmt: skip


def with_column(name, values, records=RECORDS):
    """The records with other values in a column, one after another."""
    place = COLUMNS.index(name)
    return [
        (*record[:place], values[n % len(values)], *record[place + 1 :]) for n, record in enumerate(records)
    ]  # fmt: skip


def reordered(order):
    return [tuple(record[place] for place in order) for record in RECORDS]


# --- How values read ---


def test_each_column_says_how_many_values_read_and_the_commonest_shape_of_the_others(folder):
    records = with_column("date", ["1/2/2020", "2.3.2020", "2020-03-04", "5/6/20"])
    records = with_column("id", ["none", "", "Nil", "1D000000-0000-4000-8000-000000000010"], records)
    out = folder.converted(tab(records))[1]
    assert "\n  recid           12 of 12 values read as a record number\n" in out
    assert "\n  id_Contact      12 of 12 values read as a UUID\n" in out
    told = "9 of 12 values read as a date (mdy, dmy or ymd); the commonest shape of the others is 9/9/99 (3 of 3; 9: "
    assert f"\n  date            {told}" in out
    assert "\n  id              3 of 9 values read as a UUID; the commonest shape of the others is AAAA (3 of 6;" in out


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10/18/2016 4:04:13 PM", "99/99/9999 9:99:99 AA"),
        ("Ångström, Zoë", "AAAAAAAA, AAA"),
        ("Zoe\u0308 \u0663\u00bd²\n\x0b\x00x", "AAAA 999   A"),
        ("左足 🦶", "AA 🦶"),
        ("{F0}", "{A9}"),
        ("x" * 40, "A" * 40),
        ("x" * 41, "A" * 40 + "…"),
    ],
)
def test_a_shape_has_no_digit_and_no_letter_of_the_value(text, expected):
    assert shape(text) == expected


@pytest.mark.parametrize("name", ["recid", "id_Contact", "date"])
def test_a_column_is_refused_if_under_half_of_its_filled_values_read(folder, name):
    good = RECORDS[0][COLUMNS.index(name)]
    for values in ([good, "n/a"], [good, "n/a", "", ""], ["", ""]):
        assert len(folder.converted(tab(with_column(name, values)))[0]) == len(RECORDS)
    message = folder.refused(tab(with_column(name, [good, "n/a", "n/a"])))
    assert f"error: {name}: 4 of 12 values read as a" in message
    assert "the commonest shape of the others is A/A (8 of 8; 9: a digit, A: a letter)" in message
    header = written("tab with header", with_column(name, [good, "n/a", "n/a"]))
    assert "export another field under this name" in folder.refused(header)


def test_other_columns_may_have_anything(folder):
    for name in set(COLUMNS) - {"recid", "id_Contact", "date"}:
        assert len(folder.converted(tab(with_column(name, ["anything"])))[0]) == len(RECORDS)


def test_every_column_that_cannot_be_what_it_is_called_is_in_the_sentence(folder):
    message = folder.refused(tab(with_column("date", ["x1"], with_column("id_Contact", ["yy"]))))
    assert re.search("id_Contact: 0 of 12 .* is AA .*; date: 0 of 12 .* is A9 ", message)


# --- Known mistakes ---


@pytest.mark.parametrize("time", ["4:04:13 PM", "16:04", "16.04.13", "T16:04:13"])
@pytest.mark.parametrize("day", ["10/18/2016", "18.10.2016", "2016-10-18"])
def test_a_date_with_a_time_is_refused_with_what_to_do(folder, day, time):
    stamp = f"{day} {time}".replace(" T", "T")
    # although another column has dates
    message = folder.refused(tab(with_column("date", [stamp], with_column("NexusExportDate", ["1/2/2020"]))))
    assert (
        f"the others is {shape(stamp)} (12 of 12; 9: a digit, A: a letter): a timestamp; have FileMaker export a date"
        in message
    )
    assert "--columns" not in message


@pytest.mark.parametrize("separator", [".", "'", "’", " ", "\u202f", "\xa0"])
def test_a_separator_of_thousands_is_refused_with_what_to_do(folder, separator):
    message = folder.refused(tab(with_column("recid", [f"5{separator}99{n}" for n in range(6)] + [f"6{separator}000"])))
    assert "0 of 12 values read as a record number" in message
    assert "dots for thousands, or another separator than the comma" in message


def test_a_thousand_with_a_dot_is_said_even_where_most_numbers_read(folder):
    out = folder.converted(tab(with_column("recid", ["998", "999", "1.000", "17", "18", "19"])))[1]
    assert (
        "recid           10 of 12 values read as a record number; the commonest shape of the others is 9.999 (2 of 2;"
        in out
    )
    assert "dots for thousands" in out


def test_only_three_zeros_after_up_to_three_digits_are_no_decimals(folder):
    numbers = ["6.0", "7.", "8.00", "0009.000", "1234.000", "5,000.000", "10.0000", "000000000000000000000011.0"]
    out = folder.converted(tab(with_column("recid", [*numbers, "12.000", "999.000", "1234567890123456789", "0"])))[1]
    assert (
        "recid           8 of 12 values read as a record number; the commonest shape of the others is 99.999 (1 of 4;"
        in out
    )


# --- Another order ---


ORDERS = [
    *([b if place == a else a if place == b else place for place in range(8)] for a, b in combinations(range(8), 2)),
    *([(place + by) % 8 for place in range(8)] for by in range(1, 8)),
    list(reversed(range(8))),
    # the seed's own
    [6, 3, 0, 7, 2, 1, 4, 5],
]


def test_another_order_that_fits_is_suggested_and_right(folder):
    suggested = 0
    for order in ORDERS:
        records = reordered(order)
        code, out, err = folder.run(folder.export(tab(records)), "-o", folder.out)
        found = re.search("--columns ([A-Za-z_,-]+): compare", err)
        if found:
            suggested += 1
            assert folder.converted(tab(records), "--columns", found[1])[0] == [as_seed(record) for record in RECORDS]
        else:
            # nothing that must be judged has moved, or it is said
            assert code == 0
            moved = {COLUMNS[place] for place, other in enumerate(order) if place != other}
            assert not moved & {"recid", "date"} or "CHECK the order of the columns" in out
    assert suggested >= 20


def test_a_column_to_drop_stays_where_it_is_in_the_order_that_is_suggested(folder):
    records = [(record[6], "80 kg", *record[:6], record[7]) for record in RECORDS]
    columns = "date,-,fileName,id,id_Contact,Name_of_file,NexusExportDate,recid,Type"
    order = "recid,-,date,fileName,id,id_Contact,Name_of_file,NexusExportDate,Type"
    assert f"--columns {order}: compare" in folder.refused(tab(records), "--columns", columns)


@pytest.mark.parametrize(("name", "values"), [("recid", ["1"]), ("date", ["1/2/2020"]), ("id_Contact", ["#1", "#2"])])
def test_no_order_is_suggested_where_none_fits(folder, name, values):
    """A mark that is the same in most records is no record number, and export dates that are the same no dates."""
    records = with_column("NexusExportDate", values, with_column(name, ["n/a"]))
    for options in ((), ("--columns", ",".join(COLUMNS).replace("NexusExportDate", "-"))):
        message = folder.refused(tab(records), *options)
        assert "list the export's columns in their order with --columns, or export the right fields" in message


@pytest.mark.parametrize(
    ("names", "doubt"),
    [
        (("recid", "NexusExportDate"), "recid repeats its values (1 different in 12)"),
        (("id", "id_Contact"), "id has fewer different values than id_Contact"),
        (("date", "NexusExportDate"), "most values of NexusExportDate are before the date of the image"),
    ],
)
def test_columns_of_one_kind_that_are_exchanged_are_doubted(folder, names, doubt):
    exports = ["1"] if names[0] == "recid" else ["1/2/2025"]
    records = with_column("NexusExportDate", exports)
    assert "CHECK" not in folder.converted(tab(records))[1]
    a, b = (COLUMNS.index(name) for name in names)
    exchanged = [
        tuple(record[b if place == a else a if place == b else place] for place in range(8)) for record in records
    ]
    assert f"CHECK the order of the columns (--columns): {doubt}" in folder.converted(tab(exchanged))[1]
    assert f"CHECK the header: {doubt}" in folder.converted(written("tab with header", exchanged))[1]


# --- What is missing ---


def test_what_an_absent_or_empty_column_switches_off_is_said(folder):
    out = folder.converted(tab([(UUID, "7"), (UUID, "8")]), "--columns", "id_Contact,recid")[1]
    empty = out[out.index("empty columns\n") : out.index("date order")].splitlines()[1:]
    assert [line.split()[0] for line in empty] == [
        "date",
        "Type",
        "Note",
        "id",
        "fileName",
        "Name_of_file",
        "NexusExportDate",
    ]
    assert "  NexusExportDate not in the export: no record is skipped as not_exported" in out
    assert "  id              not in the export: image ids are made from recid" in out
    assert "  date            not in the export: every record is skipped (missing_date)" in out
    out = folder.converted(tab(with_column("NexusExportDate", [" "])))[1]
    assert "  NexusExportDate empty in every record: no record is skipped as not_exported" in out
    assert "  Note            not in the export: nothing depends on it" in out
    full = with_column("NexusExportDate", ["1"])
    assert "empty columns" not in folder.converted(
        written("tab with header", [(*record, "x") for record in full], columns=(*COLUMNS, "Note"))
    )[1]  # fmt: skip
