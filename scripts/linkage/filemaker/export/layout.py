"""How an export's text is laid out: the form of its fields, the separator of its records, and the header.

FileMaker writes `.tab` (nothing quoted), `.csv` (every value quoted, without a header) and `.mer`
(the same with a header, with semicolons in some countries). The content decides, not the
file's name. See docs/specification.md, FileMaker export.
"""

import csv
import re
from collections import Counter
from typing import NamedTuple

from linkage.filemaker.export.columns import EXPORT_COLUMNS, Columns, seed_name

SEPARATORS = {"\r\n": "CRLF", "\r": "CR", "\n": "LF"}
# Each separator where it is not part of another one.
ALONE = {"\r\n": r"\r\n", "\r": r"\r(?!\n)", "\n": r"(?<!\r)\n"}


class Form(NamedTuple):
    """A way to separate fields, and the file name suffixes that usually go with it."""

    name: str
    delimiter: str
    is_quoted: bool
    suffixes: tuple[str, ...]


FORMS = (
    Form("tab-separated, nothing quoted", "\t", False, (".tab", ".txt", ".tsv")),
    Form("comma-separated, quoted", ",", True, (".csv", ".mer")),
    Form("semicolon-separated, quoted", ";", True, (".mer", ".csv")),
)
# As many characters as it takes to choose a form.
SAMPLE = 200_000


class Layout(NamedTuple):
    """How an export's text is laid out."""

    form: Form
    separator: str
    # the names in the header; None without one
    header: list[str] | None


def find_layout(text: str, suffix: str, columns: Columns | None) -> Layout:
    """The layout of `text`, judged by its content; the file name's `suffix` only breaks a tie.

    The form and the separator are those with which most records have the expected
    number of fields or, if that is less than half of them, the same number. The form
    is chosen by the first part of the text, the separator by all of it.
    """
    expected = len(columns or EXPORT_COLUMNS)

    def form_key(form: Form) -> tuple[bool, float, bool]:
        sample = outside_quotes(text[:SAMPLE], form)
        fits, good, total = max(agreement(sample, form, separator, expected) for separator in SEPARATORS)
        return fits, good / total, suffix.lower() in form.suffixes

    form = max(FORMS, key=form_key)
    structure = outside_quotes(text, form)

    def separator_key(separator: str) -> tuple[bool, int, bool]:
        fits, good, _ = agreement(structure, form, separator, expected)
        return fits, good, structure.endswith(separator)

    separator = max(SEPARATORS, key=separator_key)
    return Layout(form, separator, find_header(text, form, separator))


def outside_quotes(text: str, form: Form) -> str:
    """The text without what is between quotation marks, if the form has them."""
    return '"'.join(text.split('"')[::2]) if form.is_quoted else text


def agreement(structure: str, form: Form, separator: str, expected: int) -> tuple[bool, int, int]:
    """How well records split at `separator` agree in their number of fields.

    Whether at least half have the `expected` number; how many have that number, or
    else the most frequent one; how many records there are (at least 1). Records of a
    single field do not agree.
    """
    records = re.split(ALONE[separator], structure) if separator in structure else [structure]
    counts = Counter(record.count(form.delimiter) + 1 for record in records if record)
    total = max(counts.total(), 1)
    fits = expected > 1 and 2 * counts[expected] >= total
    fields = expected if fits else max(counts, key=lambda number: counts[number], default=1)
    return fits, counts[fields] if fields > 1 else 0, total


def find_header(text: str, form: Form, separator: str) -> list[str] | None:
    """The names in the first record; None if it is not a header.

    It is one if it has nothing but names of the seed's columns, at least two of them
    and no more others, or four different ones. No record of data has these.
    """
    first = text.partition(separator)[0]
    try:
        cells = (
            next(csv.reader([first], delimiter=form.delimiter), []) if form.is_quoted else first.split(form.delimiter)
        )
    except csv.Error:
        return None
    known = [name for name in map(seed_name, cells) if name]
    is_header = len(known) == len(cells) or (len(known) >= 2 and 2 * len(known) >= len(cells)) or len(set(known)) >= 4
    return cells if known and is_header else None


def record_at(text: str, position: int, suffix: str, columns: Columns | None) -> str:
    """What to call the record that has the character at `position`; the other arguments are `find_layout`'s."""
    layout = find_layout(text, suffix, columns)
    return record_name(outside_quotes(text[:position], layout.form).count(layout.separator), layout)


def record_name(index: int, layout: Layout) -> str:
    """What to call record `index` of the file, counted from 0: records of data are counted from 1."""
    if layout.header is None:
        return f"record {index + 1}"
    return f"record {index} ({index + 1} counting the header)" if index else "the header"
