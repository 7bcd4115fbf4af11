"""The evidence for the order of FileMaker's dates.

How recids and dates are read, and each figure of the evidence, is compared with dbt's
on random folders: tests/warehouse/test_random_folders.py.
"""

from datetime import date

import pandas as pd
import pytest

from linkage.filemaker.export.date_order import (
    ORDERS,
    contradicts,
    date_order_evidence,
    supported_order,
    undecided_orders,
)

TODAY = date(2025, 6, 1)


def evidence(rows):
    recids, dates = zip(*rows, strict=True)
    return date_order_evidence(pd.Series(recids, dtype=object), pd.Series(dates, dtype=object), TODAY)


def test_days_in_the_first_and_last_year_are_dates():
    found = evidence([("1", "1/1/0001"), ("2", "12/31/9999")])
    assert list(found.loc["mdy", ["readable", "in_future", "steps_back"]]) == [2, 1, 0]
    assert found.loc["mdy", "weekends"] == 0  # a Monday and a Friday


def test_records_are_ordered_by_number_not_by_text_or_place():
    rows = [("10", "3/9/2020"), ("9", "3/8/2020"), ("1,000", "3/10/2020"), ("0011.0", "3/9/2020")]
    assert evidence(rows).loc["mdy", "steps_back"] == 0
    assert evidence([*rows, ("12", "3/1/2020")]).loc["mdy", "steps_back"] == 1


def test_rows_of_one_record_are_not_a_step_back():
    assert evidence([("5", "3/9/2020"), ("5", "3/8/2020")]).loc["mdy", "steps_back"] == 0


def test_rows_without_a_record_number_count_except_for_steps_back():
    found = evidence([("", "3/9/2020"), ("x", "3/8/2020"), ("0", "3/30/2030"), ("1", "3/1/2020")])
    assert list(found.loc["mdy", ["readable", "in_future", "steps_back"]]) == [4, 1, 0]
    assert found.loc["dmy", "impossible_here_readable_elsewhere"] == 1


def misfits(mdy, dmy, ymd=0, differ=1):
    """Evidence with these misfits; `differ` dates are read differently as mdy and dmy, none are read as ymd."""
    frame = pd.DataFrame({"misfits": {"mdy": mdy, "dmy": dmy, "ymd": ymd}})
    for order in ORDERS:
        frame[f"differs_from_{order}"] = [differ if {order, other} == {"mdy", "dmy"} else 0 for other in ORDERS]
    return frame


@pytest.mark.parametrize(
    ("configured", "other", "expected"),
    [(3, 0, True), (2, 0, False), (6, 3, True), (5, 2, True), (7, 4, False), (5, 3, False), (0, 3, False)],
)
def test_an_order_is_contradicted_by_half_the_misfits_and_three_fewer(configured, other, expected):
    assert contradicts(misfits(configured, other), "dmy", "mdy") is expected


@pytest.mark.parametrize(
    ("mdy", "dmy", "differ", "expected"),
    [(0, 3, 1, "mdy"), (0, 2, 1, None), (3, 0, 1, "dmy"), (2, 0, 1, None), (4, 4, 1, None), (0, 2, 0, "mdy")],
)
def test_the_dates_support_an_order_or_do_not_decide(mdy, dmy, differ, expected):
    table = misfits(mdy, dmy, ymd=10, differ=differ)
    assert supported_order(table, "mdy") == expected
    assert undecided_orders(table, "mdy") == (["dmy"] if expected is None else [])


def test_the_order_with_the_fewest_misfits_is_the_supported_one():
    assert supported_order(misfits(mdy=5, dmy=0, ymd=20), "ymd") == "dmy"


def test_dates_that_could_be_read_both_ways_are_judged_by_their_steps_back():
    days = [date(2020, month, day) for month in range(1, 13) for day in (1, 5, 12)]
    rows = [(str(n), f"{day.day}/{day.month}/{day.year}") for n, day in enumerate(days, 1)]
    found = evidence(rows)
    assert list(found.loc[["mdy", "dmy"], "impossible_here_readable_elsewhere"]) == [0, 0]
    assert supported_order(found, "mdy") == "dmy"
