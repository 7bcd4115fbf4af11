"""What should be a number, a UUID or a date and is not is shown as a shape; a list is only text in a spreadsheet."""

import csv
import stat

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from linkage.review.masks import (
    known_extensions,
    mask,
    shown_date,
    shown_key,
    shown_recid,
    shown_uuid,
    spreadsheet_text,
    write_list,
)

UUID = "C4A188F0-0000-4000-8000-00000000abcd"
PREFIX, TEMPLATE = "filemaker-import/images-bulk-dump/", "patients/{patient_id}/images/{batch_id}/{recid}.{extension}"
FUZZ = settings(database=None, deadline=None)


@pytest.mark.parametrize(
    ("show", "text", "expected"),
    [
        (shown_recid, " 6066 ", "6066"),
        (shown_recid, "6,066.0", "6,066.0"),
        (shown_recid, "0", "0"),
        (shown_recid, "6.000", "9.999"),
        (shown_recid, "Mary O'Neill", "AAAA A#AAAAA"),
        (shown_recid, "٣", "9"),
        (shown_recid, "9" * 19, "9" * 19),
        (shown_recid, "?", "?"),
        (shown_recid, None, ""),
        (shown_uuid, f"{UUID}\v", UUID),
        (shown_uuid, f"{{{UUID}}}", "{A9A999A9-9999-9999-…"),
        (shown_uuid, "see paper file", "AAA AAAAA AAAA"),
        (shown_uuid, "4411", "9999"),
        (shown_date, "2/30/2019", "2/30/2019"),
        (shown_date, "2016-10-18 04:04:13", "2016-10-18 04:04:13"),
        (shown_date, "10/18/2016 4:04:13 PM", "10/18/2016 4:04:13 PM"),
        (shown_date, "18.10.16", "18.10.16"),
        (shown_date, "0412-345-678", "9999-999-999"),
        (shown_date, "2123-45670-1", "9999-99999-9"),
        (shown_date, "9123-4567", "9999-9999"),
        (shown_date, "5 May, Mary", "9 AAA, AAAA"),
    ],
)
def test_a_value_that_does_not_read_is_shown_as_its_shape(show, text, expected):
    assert show(text) == expected


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (f"{PREFIX}228.jpg", f"{PREFIX}228.jpg"),
        (f"{PREFIX}160.PNG", f"{PREFIX}160.PNG"),
        (f"{PREFIX}Mary Smith.jpg", f"{PREFIX}AAAA AAAAA.jpg"),
        (f"{PREFIX}228.Smith", f"{PREFIX}999.AAAAA"),
        (f"{PREFIX}228_Mary.jpg", f"{PREFIX}999#AAAA.jpg"),
        (f"{PREFIX}Smith/228.jpg", f"{PREFIX}AAAAA/228.jpg"),
        (f"{PREFIX}Smith", f"{PREFIX}AAAAA"),
        (f"{PREFIX}", f"{PREFIX}"),
        (f"patients/{UUID}/images/{UUID}/228.jpg", f"patients/{UUID}/images/{UUID}/228.jpg"),
        (f"patients/17/images/2016-10-18/{UUID}.jpg", f"patients/17/images/2016-10-18/{mask(UUID)}.jpg"),
        ("Smith/images/228.jpg", "AAAAA/images/228.jpg"),
        (None, ""),
    ],
)
def test_a_key_is_shown_as_far_as_it_is_made_of_numbers_uuids_and_known_folders(key, expected):
    assert shown_key(key, PREFIX, TEMPLATE) == expected


def test_the_known_extensions_are_those_of_dbts_macro():
    assert {"jpg", "heic", "pdf", "mov"} <= known_extensions()
    assert not {"smith", "and", ""} & known_extensions()


@given(st.text(), st.data())
@example("🦶=左", None)
@FUZZ
def test_a_mask_reveals_nothing_but_lengths(text, data):
    assert set(mask(text)) <= set("9A# -/.,:?{}…")
    assert len(mask(text)) <= 21
    if data:  # another text of the same kinds of characters has the same mask
        swap = {letter: data.draw(st.sampled_from("bcxyz")) for letter in "abcxyz"}
        assert mask(text) == mask("".join(swap.get(one, one) for one in text))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
        ("+1+1", "'+1+1"), ("-1-2", "'-1-2"), ("@SUM(A1)", "'@SUM(A1)"), ("−1+1", "'−1+1"),
        ("＝1+1", "'＝1+1"), ("＋a", "'＋a"), ("﹣a", "'﹣a"), ("＠a", "'＠a"),
        (" \u00a0=1", "' \u00a0=1"), ("\ufeff\u200b=1", "'\ufeff\u200b=1"), ("\0=1", "'\0=1"),
        ("\t=1", "'\t'=1"), ("\ra", "'\ra"), ("\ta", "'\ta"),
        ("a;=1", "a;'=1"), ("a\n =1", "a\n' =1"), ("a=1; b", "a=1; b"),
        ("Dorsal", "Dorsal"), ("R-Brannock", "R-Brannock"), ("5-10", "5-10"),
        ("-12.5", "-12.5"), ("+3", "+3"), ("6,066", "6,066"), (-5, "-5"), (228, "228"), (None, ""), ("", ""),
    ],
)  # fmt: skip
def test_a_cell_that_a_spreadsheet_would_take_for_a_formula_begins_with_an_apostrophe(value, expected):
    assert spreadsheet_text(value) == expected


@given(st.text(st.sampled_from("=+-@＝;\t\r\n '\"\0\u200ba1,.")))
@FUZZ
def test_no_cell_begins_a_formula_however_a_spreadsheet_splits_the_line(text):
    safe = spreadsheet_text(text)
    assert spreadsheet_text(safe) == safe
    assert safe.replace("'", "") == text.replace("'", "")
    for cell in safe.replace("\t", ";").replace("\r", ";").replace("\n", ";").split(";"):
        seen = cell.lstrip(" \0\u200b")
        assert safe == text == cell or not seen.startswith(("=", "+", "-", "@", "＝"))


def test_a_list_opens_in_a_spreadsheet_and_reads_back(tmp_path):
    path = tmp_path / "skipped.csv"
    write_list(path, ["recid", "what"], [[228, 'ü "turf\r\ntoe", 左 🦶'], [None, "=1+1"]])
    content = path.read_bytes()
    assert content.startswith(b"\xef\xbb\xbfrecid,what\n228,")  # Excel needs the mark to read UTF-8
    assert list(csv.reader(content.decode("utf-8-sig").splitlines(keepends=True), strict=True)) == [
        ["recid", "what"], ["228", 'ü "turf\r\ntoe", 左 🦶'], ["", "'=1+1"],
    ]  # fmt: skip
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
