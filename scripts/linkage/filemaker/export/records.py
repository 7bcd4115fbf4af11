"""An export's records as the rows of the seed."""

import sys
from collections.abc import Sequence

import pandas as pd

from linkage.errors import UnusableInput
from linkage.filemaker.export.column_order import describe_order, fitting_order
from linkage.filemaker.export.columns import DROPPED, SEED, Columns
from linkage.filemaker.export.layout import Layout, record_name
from linkage.seeds import SEED_COLUMNS

# FileMaker's characters for a return inside a field and before the next repetition of one.
VT, GS = "\x0b", "\x1d"


def read_records(text: str, layout: Layout, columns: Columns) -> tuple[list[list[str]], str]:
    """The values of each of the export's columns, and a description of the line breaks found inside values.

    A VT, a GS, a CR and a CRLF each become a line feed; any other character stays.

    Raises UnusableInput if a record has the wrong number of fields, or there are no records.
    """
    delimiter, separator = layout.form.delimiter, layout.separator
    text = without_trailer(text, layout.form.is_quoted)
    if layout.form.is_quoted:
        text, delimiter, separator = without_quotes(text, layout)
    records = text.split(separator) if text else []
    del text
    for index, record in enumerate(records):
        fields = record.count(delimiter) + 1
        if fields != len(columns):
            own_columns = "" if layout.header else own_columns_hint(records, delimiter, columns)
            raise UnusableInput(
                f"{record_name(index, layout)} has {fields} {'field' if fields == 1 else 'fields'}, "
                f"not {len(columns)}; export again{own_columns}"
            )
    if layout.header is not None:
        del records[:1]
    if not records:
        raise UnusableInput("the export contains no records; export them again")

    joined = delimiter.join(records)
    del records
    breaks = (
        f"{joined.count(VT):,} VT and {joined.count(GS):,} GS, replaced by line feeds, as are "
        f"{joined.count(chr(13)):,} CR; {joined.count(chr(10)):,} LF, kept"
    )
    cells = joined.replace(VT, "\n").replace(GS, "\n").replace("\r\n", "\n").replace("\r", "\n").split(delimiter)
    del joined
    return [cells[place :: len(columns)] for place in range(len(columns))], breaks


def own_columns_hint(records: Sequence[str], delimiter: str, columns: Columns) -> str:
    """How to name the columns, and the order that fits if all records have the same number of additional ones."""
    told = f", or list the export's columns in their order with --columns ({DROPPED} drops one)"
    rows = [record.split(delimiter) for record in records]
    more = len(rows[0]) - len(columns)
    if more > 0 and len({len(row) for row in rows}) == 1:
        order = fitting_order(list(zip(*rows, strict=True)), [*columns, *[None] * more])
        if order:
            told += f"; {describe_order(order)}"
    return told


def as_frame(fields: Sequence[list[str]], columns: Columns) -> pd.DataFrame:
    """The seed: its columns, all text, those that the export does not have empty."""
    found = dict(zip(columns, fields, strict=True))
    rows = len(fields[0])
    return pd.DataFrame({name: found.get(name) or [""] * rows for name in SEED_COLUMNS[SEED]}, dtype=object)


def without_trailer(text: str, is_quoted: bool) -> str:
    """The text without what tools leave behind the last record: line ends, blanks, and DOS's Ctrl-Z."""
    whole = text.rstrip(" \r\n\x1a")
    if not whole or (is_quoted and whole.endswith('"')):
        return whole
    # blanks in front of a line end are the last value's own
    trailer = text[len(whole) :]
    return whole + trailer[: len(trailer) - len(trailer.lstrip(" "))]


def without_quotes(text: str, layout: Layout) -> tuple[str, str, str]:
    """The text with its quoting undone, and the characters that now separate its fields and its records.

    Two characters that the text does not contain replace the separators, so that
    it splits like a `.tab` file. The csv module is no alternative: it ends a record at
    any CR or LF outside quotation marks, and lets a stray quotation mark pass.

    Raises UnusableInput if a quotation mark is in the middle of a value, or is never closed.
    """
    edges = (layout.form.delimiter, layout.separator)
    free = (
        chr(code) for code in range(1, sys.maxunicode) if chr(code) not in text and chr(code) not in f"{VT}{GS}\r\n"
    )
    delimiter, separator = next(free), next(free)
    # every second piece is between quotation marks; an empty piece between two of those is a doubled mark
    pieces = text.split('"')
    outside = pieces[::2]
    last = len(outside) - 1
    sound = {piece for piece in set(outside) if not piece or (piece.startswith(edges) and piece.endswith(edges))}
    for place, piece in enumerate(outside):
        if piece in sound:
            continue
        begins_well = place == 0 or piece.startswith(edges)
        ends_well = place == last or piece.endswith(edges)
        if not (begins_well and ends_well):
            before = "".join(outside[: place + 1] if begins_well else outside[:place])
            raise UnusableInput(
                f"{record_name(before.count(layout.separator), layout)} has a quotation mark in the middle of a value; "
                "double it, or export in FileMaker's .tab format"
            )
    if len(pieces) % 2 == 0:
        index = "".join(outside).count(layout.separator)
        raise UnusableInput(f"{record_name(index, layout)} opens a quotation mark that is never closed; export again")

    plain = {
        piece: piece.replace(layout.separator, separator).replace(layout.form.delimiter, delimiter)
        for piece in set(outside)
    }
    pieces[::2] = [plain[piece] or '"' for piece in outside]
    pieces[0], pieces[-1] = plain[outside[0]], plain[outside[-1]]
    return "".join(pieces), delimiter, separator
