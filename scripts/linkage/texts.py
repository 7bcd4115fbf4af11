"""How FileMaker's texts read as a record number or a UUID, and what is shown of those that do not."""

import re
import unicodedata

# White space as the whole project trims it: dbt's macro for it has the same characters.
WHITE_SPACE = " \t\n\v\f\r\xa0"
UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
# not 6.000, which may be a thousand with a dot
RECID = re.compile(r"(?![0-9]{1,3}\.000$)([0-9]+|[0-9]{1,3}(?:,[0-9]{3})+)(?:\.0*)?")


def recid_number(text: str) -> int:
    """The record number in a trimmed text (`6066`, `6066.0`, `06066`, `6,066`); 0 if it is not a positive number."""
    match = RECID.fullmatch(text)
    if not match:
        return 0
    digits = match[1].replace(",", "").lstrip("0")
    return int(digits) if 1 <= len(digits) <= 18 else 0


def is_uuid(text: str) -> bool:
    """Whether a trimmed text is 8-4-4-4-12 hex."""
    return bool(UUID.fullmatch(text))


def shape(text: str, longest: int = 40) -> str:
    """The text with each digit as 9 and each letter as A, on one line and not longer than `longest` characters."""
    marks = {"N": "9", "L": "A", "M": "A", "Z": " ", "C": " "}
    start = text[: longest + 1]
    whole = "".join(marks.get(unicodedata.category(character)[0], character) for character in start)
    return whole if len(whole) <= longest else f"{whole[:longest]}…"
