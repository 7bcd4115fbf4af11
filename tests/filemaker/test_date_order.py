"""The evidence for the order of FileMaker's dates (contract §3)."""

from datetime import date
from itertools import pairwise

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linkage.filemaker.date_order import ORDERS, contradicts, date_order_evidence, supported_order, undecided_orders
from tests.support.oracle import read_date, read_positive_recid

TODAY = date(2025, 6, 1)


def evidence(rows, today=TODAY):
    recids, dates = zip(*rows, strict=True) if rows else ((), ())
    return date_order_evidence(pd.Series(recids, dtype=object), pd.Series(dates, dtype=object), today)


def plain_evidence(rows, today):
    """The same, row by row, with the oracle's readings."""
    table = {}
    for order in ORDERS:
        readings = [(read_positive_recid(recid), {o: read_date(text, o) for o in ORDERS}) for recid, text in rows]
        found = [reading[order] for _, reading in readings if reading[order]]
        elsewhere = sum(1 for _, reading in readings if not reading[order] and any(reading.values()))
        future = sum(1 for day in found if day > today)
        chain = sorted((recid, reading[order]) for recid, reading in readings if recid and reading[order])
        back = sum(1 for (_, earlier), (_, later) in pairwise(chain) if later < earlier)
        table[order] = {
            "readable": len(found),
            "impossible_here_readable_elsewhere": elsewhere,
            "in_future": future,
            "steps_back": back,
            "weekends": sum(1 for day in found if day.isoweekday() > 5),
            "misfits": elsewhere + future + back,
        }
        for other in ORDERS:
            table[order][f"otherwise_than_{other}"] = sum(
                1 for _, reading in readings if reading[order] and reading[order] != reading[other]
            )
    return table


number = st.one_of(st.integers(0, 40), st.sampled_from([1, 29, 30, 31, 366, 1900, 2000, 2023, 2024, 9999, 10000]))
number_text = st.builds(lambda n, width: str(n).zfill(width), number, st.sampled_from([1, 2, 4]))
any_date = st.one_of(
    st.builds(lambda a, s, b, t, c: f"{a}{s}{b}{t}{c}", number_text, *[st.sampled_from("/-."), number_text] * 2),
    st.dates().map(lambda day: f"{day.month}/{day.day}/{day.year:04}"),
    st.dates().map(lambda day: f"{day.year:04}-{day.month:02}-{day.day}"),
    st.sampled_from(["", " ", "?", "٣/٣/٢٠٢٠", "3/3/2020\n", "\xa01.2.2020\v", "3/3/20", "+3/3/2020", "3 /3/2020"]),
)
any_recid = st.one_of(
    st.integers(0, 30).map(str),
    st.sampled_from(
        ["", "0", "007", "6,066", "6066.0", "9.", "1.5", "-3", "9" * 18, "9" * 19, "0" * 9 + "9" * 18, " 8\v"]
    ),
)


@settings(max_examples=100, deadline=None)
@given(rows=st.lists(st.tuples(any_recid, any_date), max_size=25), today=st.dates())
def test_the_evidence_is_that_of_a_plain_reading(rows, today):
    found = evidence(rows, today).to_dict(orient="index")
    assert found == plain_evidence(rows, today)


def test_days_in_the_first_and_last_year_are_dates():
    found = evidence([("1", "1/1/0001"), ("2", "12/31/9999")])
    assert list(found.loc["mdy", ["readable", "in_future", "steps_back"]]) == [2, 1, 0]
    assert found.loc["mdy", "weekends"] == 0  # a Monday and a Friday


def test_records_are_ordered_by_number_not_by_text_or_place():
    rows = [("10", "3/9/2020"), ("9", "3/8/2020"), ("1,000", "3/10/2020"), ("0011.0", "3/9/2020")]
    assert evidence(rows).loc["mdy", "steps_back"] == 0
    assert evidence([*rows, ("12", "3/1/2020")]).loc["mdy", "steps_back"] == 1


def test_rows_of_one_record_are_no_step_back():
    assert evidence([("5", "3/9/2020"), ("5", "3/8/2020")]).loc["mdy", "steps_back"] == 0


def test_rows_without_a_record_number_count_but_for_steps_back():
    found = evidence([("", "3/9/2020"), ("x", "3/8/2020"), ("0", "3/30/2030")])
    assert list(found.loc["mdy", ["readable", "in_future", "steps_back"]]) == [3, 1, 0]
    assert found.loc["dmy", "impossible_here_readable_elsewhere"] == 1


def misfits(mdy, dmy, ymd=0, dmy_reads_otherwise=1):
    """Evidence with these misfits, of which ymd reads nothing."""
    frame = pd.DataFrame({"misfits": {"mdy": mdy, "dmy": dmy, "ymd": ymd}})
    for order in ORDERS:
        frame[f"otherwise_than_{order}"] = [
            dmy_reads_otherwise if {order, other} == {"mdy", "dmy"} else 0 for other in ORDERS
        ]
    return frame


@pytest.mark.parametrize(
    ("configured", "other", "expected"),
    [
        (3, 0, True),
        (2, 0, False),
        (6, 3, True),
        (5, 2, True),
        (7, 4, False),
        (5, 3, False),
        (0, 0, False),
        (0, 3, False),
    ],
)
def test_an_order_is_contradicted_by_half_the_misfits_and_three_fewer(configured, other, expected):
    assert contradicts(misfits(configured, other), "dmy", "mdy") is expected


@pytest.mark.parametrize(
    ("mdy", "dmy", "otherwise", "expected"),
    [
        (0, 3, 1, "mdy"),
        (0, 2, 1, None),
        (3, 0, 1, "dmy"),
        (2, 0, 1, None),
        (4, 4, 1, None),
        (0, 0, 0, "mdy"),
        (0, 2, 0, "mdy"),
    ],
)
def test_the_dates_support_an_order_or_do_not_decide(mdy, dmy, otherwise, expected):
    table = misfits(mdy, dmy, ymd=10, dmy_reads_otherwise=otherwise)
    assert supported_order(table, "mdy") == expected
    assert undecided_orders(table, "mdy") == (["dmy"] if expected is None else [])


def test_the_order_of_the_fewest_misfits_is_the_supported_one():
    assert supported_order(misfits(mdy=5, dmy=0, ymd=20), "ymd") == "dmy"


def test_dates_that_could_be_read_both_ways_are_told_apart_by_their_steps():
    days = [date(2020, month, day) for month in range(1, 13) for day in (1, 5, 12)]
    rows = [(str(n), f"{day.day}/{day.month}/{day.year}") for n, day in enumerate(days, 1)]
    found = evidence(rows)
    assert list(found.loc[["mdy", "dmy"], "impossible_here_readable_elsewhere"]) == [0, 0]
    assert supported_order(found, "mdy") == "dmy"
