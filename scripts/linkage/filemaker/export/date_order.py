"""The order of day, month and year in FileMaker's dates, judged by the dates themselves.

FileMaker writes dates in its file's locale and does not say which. dbt applies the same
rule in SQL; see docs/specification.md, FileMaker export.
"""

import re
from datetime import date

import numpy as np
import pandas as pd

from linkage.errors import UnusableInput
from linkage.settings import project_var
from linkage.texts import WHITE_SPACE, recid_number

ORDERS = ("mdy", "dmy", "ymd")

YEAR_LAST = re.compile(r"([0-9]{1,2})[-/.]([0-9]{1,2})[-/.]([0-9]{4})")
YEAR_FIRST = re.compile(r"([0-9]{4})[-/.]([0-9]{1,2})[-/.]([0-9]{1,2})")


def configured_date_order() -> str:
    """The var `filemaker_date_order`. Raises UnusableInput if it is not one of `ORDERS`."""
    order = project_var("filemaker_date_order")
    if order not in ORDERS:
        raise UnusableInput("filemaker_date_order in dbt_project.yml is not mdy, dmy or ymd; set it to one of them")
    return order


def date_ordinal(text: str, order: str) -> int:
    """The ordinal of a trimmed text read as a date in `order` (1 is 0001-01-01); 0 if it is not one.

    A date has one or two digits for day and month and four for the year.
    """
    match = (YEAR_FIRST if order == "ymd" else YEAR_LAST).fullmatch(text)
    if not match:
        return 0
    part = dict(zip(order, map(int, match.groups()), strict=True))
    try:
        return date(part["y"], part["m"], part["d"]).toordinal()
    except ValueError:
        return 0


def date_order_evidence(recid: pd.Series, dates: pd.Series, today: date) -> pd.DataFrame:
    """The evidence for and against each order, in numbers of rows: one row per order, indexed by it.

    `recid` and `dates` are the export's texts (`""`: missing), row by row. Columns:

    - `readable`: the text is a date in this order
    - `impossible_here_readable_elsewhere`: it is not, but is a date in another order
    - `in_future`: the date is after `today`
    - `steps_back`: the date is before the readable date before it by recid, among
      rows with a readable recid; rows of one recid are ordered by their dates
    - `weekends`: it is a Saturday or Sunday
    - `misfits`: impossible here + in the future + steps back
    - `differs_from_mdy`, `…_dmy`, `…_ymd`: this order reads a date, and the other
      one reads none or a different one
    """
    codes, texts = pd.factorize(dates.str.strip(WHITE_SPACE))
    days = {order: np.array([date_ordinal(text, order) for text in texts], dtype=np.int64)[codes] for order in ORDERS}
    records = np.array([recid_number(text) for text in recid.str.strip(WHITE_SPACE)], dtype=np.int64)
    readable_somewhere = np.any([day > 0 for day in days.values()], axis=0)

    evidence = {}
    for order, day in days.items():
        readable = day > 0
        in_turn = readable & (records > 0)
        by_record = np.lexsort((day[in_turn], records[in_turn]))
        row = {
            "readable": readable.sum(),
            "impossible_here_readable_elsewhere": (readable_somewhere & ~readable).sum(),
            "in_future": (day > today.toordinal()).sum(),
            "steps_back": (np.diff(day[in_turn][by_record]) < 0).sum(),
            # ordinal 1 is a Monday
            "weekends": (readable & np.isin(day % 7, (6, 0))).sum(),
        }
        row["misfits"] = row["impossible_here_readable_elsewhere"] + row["in_future"] + row["steps_back"]
        row |= {f"differs_from_{other}": (readable & (day != days[other])).sum() for other in ORDERS}
        evidence[order] = row
    return pd.DataFrame.from_dict(evidence, orient="index").astype("int64")


def contradicts(evidence: pd.DataFrame, other: str, order: str) -> bool:
    """Whether `other` contradicts `order`: it has at most half the misfits, and at least 3 fewer."""
    misfits = evidence["misfits"]
    return bool(2 * misfits[other] <= misfits[order] and misfits[order] - misfits[other] >= 3)


def undecided_orders(evidence: pd.DataFrame, order: str) -> list[str]:
    """The orders that read at least one date differently from `order`, where neither contradicts the other."""
    return [
        other
        for other in ORDERS
        if evidence.loc[other, f"differs_from_{order}"] > 0
        and not contradicts(evidence, other, order)
        and not contradicts(evidence, order, other)
    ]


def supported_order(evidence: pd.DataFrame, configured: str) -> str | None:
    """The order that the dates support; None if they do not decide.

    If another order contradicts `configured`, it is the one with the fewest misfits.
    Otherwise it is `configured`, unless there are `undecided_orders`.
    """
    better = [other for other in ORDERS if contradicts(evidence, other, configured)]
    if better:
        # the first by name of several equal ones, as in the dbt test
        return min(sorted(better), key=lambda order: evidence.loc[order, "misfits"])
    return None if undecided_orders(evidence, configured) else configured
