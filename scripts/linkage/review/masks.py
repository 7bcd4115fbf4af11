"""What the site and its lists show of a value, and what a spreadsheet may be given.

A value that should be a number, a UUID or a date and is none of these may be anything that somebody typed into the
wrong field, such as a name. Of such a value only a shape is shown.
"""

import re
import unicodedata
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from linkage.files import csv_line, write_atomically
from linkage.macros import macro_sql
from linkage.texts import WHITE_SPACE, is_uuid, recid_number, shape

LONGEST_MASK = 20  # characters
# What numbers, UUIDs, dates and keys are written with, and FileMaker's "cannot show this value".
NOT_OF_A_MASK = re.compile(r"[^9A \-/.,:?{}…]")
# Three parts, because a telephone or card number can be written in two.
DATE = re.compile(r"[0-9]{1,4}[-/.][0-9]{1,2}[-/.][0-9]{1,4}([ T][0-9]{1,2}(:[0-9]{2}){1,2}( [AaPp][Mm])?)?")
OBJECT_NAME = re.compile(r"[1-9][0-9]{0,17}")

NUMBER = re.compile(r"[-+]?[0-9]+([.,][0-9]+)*")
# Where a cell may begin within a text: a spreadsheet that splits cells at semicolons, as in many countries, or at tabs
# does so within quotation marks, too, where these do not begin the line.
CELL = re.compile(r"(?<=[;\t\r\n])")
BOM = "\ufeff"


def mask(text: str) -> str:
    """The shape of a text: 9 for a digit, A for a letter, # for most other characters, and not over 20 of them.

    It shows nothing of the text but how long its runs of letters and digits are, and what is between them.
    """
    return NOT_OF_A_MASK.sub("#", shape(text, LONGEST_MASK))


def shown_recid(text: str | None) -> str:
    """FileMaker's text for a record number, without the white space around it; masked if it is not a number."""
    trimmed = (text or "").strip(WHITE_SPACE)
    return trimmed if trimmed == "0" or recid_number(trimmed) else mask(trimmed)


def shown_uuid(text: str | None) -> str:
    """A text that should be a UUID, without the white space around it; masked if it is not one."""
    trimmed = (text or "").strip(WHITE_SPACE)
    return trimmed if is_uuid(trimmed) else mask(trimmed)


def shown_id(text: str | None) -> str:
    """An id of Nexus's, which may also be a number; masked if it is neither a UUID nor a number nor a date."""
    return text if text and plain(text) else mask(text or "")


def shown_date(text: str | None) -> str:
    """A text that should be a date, possibly with a time, without the white space around it.

    Masked unless it is three numbers with `/`, `-` or `.` between them, whether or not the calendar has such a day.
    """
    trimmed = (text or "").strip(WHITE_SPACE)
    return trimmed if DATE.fullmatch(trimmed) else mask(trimmed)


def shown_key(key: str | None, *places: str) -> str:
    """An object's key, with every part of it masked that may be anything.

    Shown are folders that `places` names (`source_prefix`, `destination_key_template`) or that are a UUID, a number or
    a date, and a name that is a record number with the extension of a known kind of file, such as `228.jpg`. Of another
    name only such an extension is shown.
    """
    known = {folder for place in places for folder in place.split("/")}
    *folders, name = (key or "").split("/")
    shown = [one if one in known or plain(one) else mask(one) for one in folders]
    stem, _, extension = name.rpartition(".")
    if extension.lower() not in known_extensions():
        return "/".join([*shown, mask(name)])
    return "/".join([*shown, f"{stem if OBJECT_NAME.fullmatch(stem) else mask(stem)}.{extension}"])


def plain(text: str) -> bool:
    """Whether a text is a UUID, a record number or a date."""
    return is_uuid(text) or bool(OBJECT_NAME.fullmatch(text)) or bool(DATE.fullmatch(text))


@cache
def known_extensions() -> frozenset[str]:
    """The extensions, in lower case, of the kinds of files that dbt's macro `file_type` knows."""
    return frozenset(re.findall("'([a-z0-9]+)'", macro_sql("file_type", "extension")))


def spreadsheet_text(value: object) -> str:
    """A value for a cell, with an apostrophe wherever a spreadsheet would begin to read a formula; `""` for None.

    Formulas begin with =, +, - or @, also full-width or behind white space. A number stays as it is.
    """
    text = "" if value is None else str(value)
    if NUMBER.fullmatch(text):
        return text
    told = "".join(f"'{cell}" if begins_formula(cell) else cell for cell in CELL.split(text))
    return f"'{told}" if told[:1] in {"\t", "\r", "\n"} else told  # some programs drop these


def begins_formula(cell: str) -> bool:
    """Whether the first character that is seen may begin a formula."""
    first = next((one for one in cell if unicodedata.category(one)[0] not in "ZC"), "")
    return unicodedata.normalize("NFKC", first)[:1] in {*"=+-@", "\N{MINUS SIGN}"}


def write_list(path: Path, columns: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """Write a list for people: CSV (RFC 4180) with a header, mode 0600, each value as `spreadsheet_text` gives it.

    Unlike the project's other files it begins with a BOM: without one, Excel reads a CSV file in the machine's own
    character set, and people open these lists with a double click. Raises UnusableInput if the file cannot be written.
    """
    with write_atomically(path) as file:
        file.write(BOM + csv_line(columns))
        for row in rows:
            file.write(csv_line(map(spreadsheet_text, row)))
