"""The order of an export's columns, as its values suggest it. A suggestion only: a person decides."""

import re
from collections.abc import Callable, Sequence

from linkage.filemaker.export.columns import DROPPED, Columns
from linkage.filemaker.export.values import Judgement, is_date, is_record_number, judge
from linkage.texts import is_uuid

# For each column: what at least half of its filled values are, the least share of them that differ from
# each other, and which of several columns fits best.
LOOKS: dict[str, tuple[Callable[[str], object], float, Callable[[Judgement], int]]] = {
    "recid": (is_record_number, 0.5, lambda column: column.different),
    "date": (is_date, 0.1, lambda column: column.different),
    # a patient has several images
    "id": (is_uuid, 0, lambda column: column.different),
    "id_Contact": (is_uuid, 0, lambda column: -column.different),
    # a number, a date, or a date with a time
    "NexusExportDate": (lambda text: is_record_number(text) or is_date(re.split("[ T]", text)[0]), 0, lambda _: 0),
    "fileName": (re.compile(r".*\.[A-Za-z0-9]{2,5}").fullmatch, 0, lambda _: 0),
    "Type": (re.compile(r"[^\W\d_]").search, 0, lambda column: column.read),
}


def fitting_order(fields: Sequence[Sequence[str]], columns: Columns) -> str | None:
    """The order of `columns`, as `--columns` takes it, in which the values fit their names; None if there is none.

    The columns that are told by their values come first. Each of the others stays
    where it is or, if that place is taken, gets one that is left.
    """
    ranks = {name: fitting_places(name, fields) for name in LOOKS if name in columns}
    if len(ranks.get("id", ())) < 2:
        ranks.pop("id", None)  # images have ids in some files, patients in all
    order: dict[int, str | None] = {}
    for name, places in ranks.items():
        best = max(
            (
                # where several fit equally well: its own place, but not another's that fits there
                (rank, columns[place] == name, place not in ranks.get(columns[place] or "", ()), place)
                for place, rank in places.items()
                if place not in order
            ),
            default=None,
        )
        if best:
            order[best[-1]] = name
        elif name in ("recid", "date", "id_Contact"):
            return None
    rest = [place for place, name in enumerate(columns) if name not in order.values()]
    order |= {place: columns[place] for place in rest if place not in order}
    moved = [columns[place] for place in rest if order[place] != columns[place]]
    for moving, place in zip(moved, [place for place in range(len(columns)) if place not in order], strict=True):
        if moving in ("id", "NexusExportDate") and any(fields[place]):
            return None
        order[place] = moving
    suggested = [order[place] for place in range(len(columns))]
    return None if suggested == columns else ",".join(name or DROPPED for name in suggested)


def describe_order(order: str) -> str:
    """What to say about an order that fits."""
    return (
        f"the values would fit --columns {order}: compare that, above all the places of free text, "
        "with the fields in FileMaker's export dialog"
    )


def fitting_places(name: str, fields: Sequence[Sequence[str]]) -> dict[int, int]:
    """The places whose values fit the column `name`, and how well they do: the higher, the better."""
    reads, least, rank = LOOKS[name]
    found = {place: judge(values, reads) for place, values in enumerate(fields)}
    return {
        place: rank(column)
        for place, column in found.items()
        if column.filled and column.fits and column.different >= least * column.filled
    }
