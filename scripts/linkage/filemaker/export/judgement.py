"""Whether each column can be what it is called: judged as a whole, and shown by shapes, never by a value."""

import re
from collections import Counter
from collections.abc import Callable, Sequence

import pandas as pd

from linkage.errors import UnusableInput
from linkage.filemaker.export.column_order import describe_order, fitting_order
from linkage.filemaker.export.columns import Columns
from linkage.filemaker.export.date_order import ORDERS, date_ordinal
from linkage.filemaker.export.values import Judgement, is_date, is_record_number, judge
from linkage.texts import WHITE_SPACE, is_uuid, shape

READS: dict[str, tuple[str, Callable[[str], bool]]] = {
    "recid": ("a record number", is_record_number),
    "id_Contact": ("a UUID", is_uuid),
    "date": (f"a date ({', '.join(ORDERS[:-1])} or {ORDERS[-1]})", is_date),
    "id": ("a UUID", is_uuid),
}
# No image can be linked without these.
REQUIRED = ("recid", "id_Contact", "date")
# Values that do not read, but are known: what they are and what to do.
REMEDIES = {
    "recid": (
        re.compile(r"[0-9]{1,3}([. '’\xa0\u202f][0-9]{3})+"),
        "dots for thousands, or another separator than the comma, and 6.000 could be 6 or 6000; export plain numbers "
        "(in FileMaker's export dialog, do not apply the layout's data formatting)",
    ),
    "date": (
        re.compile(r"[0-9]+[-/.][0-9]+[-/.][0-9]+[ ,T]+[0-9]{1,2}[:.][0-9]{2}.*", re.DOTALL),
        "a timestamp; have FileMaker export a date instead, such as a calculation field with GetAsDate",
    ),
}


def judge_columns(fields: Sequence[list[str]], columns: Columns, has_header: bool) -> dict[str, Judgement]:
    """A judgement of each column in `READS` that the export has.

    Raises UnusableInput if a required column cannot be what it is called: fewer than
    half of its filled values read. Without a header, the sentence has the order of
    the columns that would fit, if there is one.
    """
    judgements = {
        name: judge(fields[columns.index(name)], reads) for name, (_, reads) in READS.items() if name in columns
    }
    wrong = {name: judgements[name] for name in REQUIRED if name in judgements and not judgements[name].fits}
    if wrong:
        # a known mistake in one column does not explain another column
        is_known = all(known_remedy(name, column.unread) for name, column in wrong.items())
        told = [f"{name}: {describe_judgement(name, column, is_known)}" for name, column in wrong.items()]
        if not is_known:
            told.append(other_columns(fields, columns, has_header))
        raise UnusableInput("; ".join(told))
    return judgements


def describe_judgement(name: str, column: Judgement, with_remedy: bool = True) -> str:
    """How many values read as what, and the commonest shape of the others, with what to do where that is known."""
    told = f"{column.read:,} of {column.filled:,} values read as {READS[name][0]}"
    if not column.unread:
        return told
    shapes: Counter[str] = Counter()
    for text, number in column.unread.items():
        shapes[shape(text)] += number
    [(commonest, number)] = shapes.most_common(1)
    remedy = known_remedy(name, column.unread) if with_remedy else None
    return (
        f"{told}; the commonest shape of the others is {commonest} "
        f"({number:,} of {column.unread.total():,}; 9: a digit, A: a letter)"
        f"{': ' + remedy if remedy else ''}"
    )


def known_remedy(name: str, unread: Counter[str]) -> str | None:
    """What to do about values that do not read, if at least half of them are of a kind in `REMEDIES`."""
    if name not in REMEDIES:
        return None
    pattern, remedy = REMEDIES[name]
    known = sum(number for text, number in unread.items() if pattern.fullmatch(text))
    return remedy if 0 < unread.total() <= 2 * known else None


def other_columns(fields: Sequence[list[str]], columns: Columns, has_header: bool) -> str:
    """What to do where a column has something else."""
    if has_header:
        return "export another field under this name"
    order = fitting_order(fields, columns)
    if order:
        return describe_order(order)
    return "list the export's columns in their order with --columns, or export the right fields"


def column_doubts(
    frame: pd.DataFrame, judgements: dict[str, Judgement], date_order: str, has_header: bool
) -> list[str]:
    """What is odd about columns that read, as lines to print: they may be exchanged with others of the same kind."""
    doubts = []
    recid, image, patient = (judgements.get(name) for name in ("recid", "id", "id_Contact"))
    if recid and 2 * recid.different < recid.filled:
        doubts.append(
            f"recid repeats its values ({recid.different:,} different in {recid.filled:,}), "
            "and records that share a number are all skipped"
        )
    if image and patient and image.fits and image.different < patient.different:
        doubts.append("id has fewer different values than id_Contact, although a patient can have many images")
    if "date" in judgements:
        taken, exported = (
            [date_ordinal(value.strip(WHITE_SPACE), date_order) for value in frame[name].to_list()]
            for name in ("date", "NexusExportDate")
        )
        both = [(day, export) for day, export in zip(taken, exported, strict=True) if day and export]
        if 2 * sum(export < day for day, export in both) > len(both):
            doubts.append("most values of NexusExportDate are before the date of the image")
    where = "header" if has_header else "order of the columns (--columns)"
    return [f"CHECK the {where}: {doubt}." for doubt in doubts]
