"""What the converter reports about an export: counts and names of columns, never a value."""

from collections.abc import Mapping, Sequence

import pandas as pd

from linkage.filemaker.export.columns import Columns, printable
from linkage.filemaker.export.date_order import ORDERS, supported_order, undecided_orders
from linkage.filemaker.export.judgement import describe_judgement
from linkage.filemaker.export.layout import SEPARATORS, Layout
from linkage.filemaker.export.values import Judgement
from linkage.texts import WHITE_SPACE

# What a column without values switches off.
SWITCHED_OFF = {
    "recid": "every record is skipped (invalid_recid)",
    "id_Contact": "every record is skipped (missing_patient_id)",
    "date": "every record is skipped (missing_date)",
    "Type": "images have no category",
    "id": "image ids are made from recid, Nexus's images are not recognised by FileMaker's id, and no record is "
    "skipped as duplicate_filemaker_id",
    "fileName": "file names cannot confirm that record numbers and objects belong together",
    "NexusExportDate": "no record is skipped as not_exported, although FileMaker may not have exported it yet",
}


def describe_layout(layout: Layout) -> list[str]:
    """Form, record separator and header, as lines to print."""
    return [
        f"format            {layout.form.name}",
        f"record separator  {SEPARATORS[layout.separator]}",
        f"header            {'none' if layout.header is None else 'yes, its names give the columns'}",
    ]


def describe_fill(frame: pd.DataFrame) -> list[str]:
    """How many rows have a value in each column, as lines to print."""
    lines = []
    for name in frame.columns:
        filled = sum(1 for value in frame[name].to_list() if value.strip(WHITE_SPACE))
        lines.append(f"  {name:<16}{filled:>11,}  {filled / len(frame):>6.1%}")
    return ["filled columns", *lines]


def describe_columns(header: Sequence[str] | None, columns: Columns, judgements: Mapping[str, Judgement]) -> list[str]:
    """How many values read as what they should be, and which of the header's names are dropped, as lines to print."""
    lines = ["values that read"]
    lines += [f"  {name:<16}{describe_judgement(name, column)}" for name, column in judgements.items() if column.filled]
    dropped = [printable(name) or "(no name)" for name, taken in zip(header or (), columns, strict=False) if not taken]
    return lines + [f"dropped columns   {', '.join(dropped)}"] * bool(dropped)


def describe_empty(frame: pd.DataFrame, columns: Columns) -> list[str]:
    """The seed's columns without any value, and what that switches off, as lines to print."""
    lines = []
    for name in frame.columns:
        if not any(value.strip(WHITE_SPACE) for value in frame[name].to_list()):
            why = "empty in every record" if name in columns else "not in the export"
            lines.append(f"  {name:<16}{why}: {SWITCHED_OFF.get(name, 'nothing depends on it')}")
    return ["empty columns", *lines] if lines else []


def describe_dates(evidence: pd.DataFrame, configured: str) -> list[str]:
    """The evidence for each date order and the conclusion, as lines to print."""
    lines = ["date order      readable  impossible   in future  steps back     misfits    weekends"]
    for order in ORDERS:
        row = evidence.loc[order]
        weekends = f"{row['weekends'] / row['readable']:.1%}" if row["readable"] else "-"
        kinds = ("readable", "impossible_here_readable_elsewhere", "in_future", "steps_back", "misfits")
        lines.append(f"  {order:<10}" + "".join(f"{row[kind]:>12,}" for kind in kinds) + f"{weekends:>12}")
    supported = supported_order(evidence, configured)
    if not evidence["readable"].any():
        lines.append("No value in the date column is a date in any order.")
    elif supported == configured:
        lines.append(f"The dates support {supported}, as filemaker_date_order says.")
    elif supported is None:
        rivals = " or ".join(undecided_orders(evidence, configured))
        lines.append(
            f"UNDECIDED: filemaker_date_order is {configured}, but the dates could also be {rivals}. "
            "Few people work at weekends: the order with the smaller share of weekends is the likelier one."
        )
    else:
        lines.append(
            f"CONTRADICTED: filemaker_date_order is {configured}, but the dates support {supported}: dbt build will "
            f"fail. Set `filemaker_date_order: {supported}` in dbt_project.yml, or pass "
            f"--vars '{{filemaker_date_order: {supported}}}' to dbt."
        )
    return lines
