"""How the double of FileMaker Server reads dates, finds and sorts.

Unlike in FileMaker, words are separated by blanks only, and operators for ranges (`<`, `...`), duplicates (`!`), today
(`//`), relaxed search (`~`), invalid values (`?`) and phrases (`"`) raise NotImplementedError unless they are escaped.
"""

import functools
import re
from collections.abc import Callable
from datetime import datetime

Value = str | int | float
DATE_PATTERNS = {
    "date": (re.compile(r"\d{1,2}/\d{1,2}/\d{4}"), "%m/%d/%Y"),
    "timeStamp": (re.compile(r"\d{1,2}/\d{1,2}/\d{4} \d{1,2}:\d\d:\d\d"), "%m/%d/%Y %H:%M:%S"),
}
NUMBER = re.compile(r"-?\d+(\.\d+)?")
TOKEN = re.compile(r"\\(.)|(//|\.\.\.|[<>≤≥!?\"~=])|([*@#])|(\s+)|(.)", re.DOTALL)
WILDCARDS = {"*": ".*", "@": ".", "#": r"\d"}


class FileMakerError(Exception):
    """An answer with one of FileMaker's codes."""

    def __init__(self, code: str, status: int = 500) -> None:
        super().__init__(code)
        self.code, self.status = code, status


def as_date(value: Value, kind: str) -> datetime | None:
    """Read the text of a field of the type `date` or `timeStamp` in US format; None if it is not one."""
    pattern, layout = DATE_PATTERNS[kind]
    if not isinstance(value, str) or not pattern.fullmatch(value):
        return None
    try:
        return datetime.strptime(value, layout)
    except ValueError:
        return None


def as_number(value: Value) -> Value:
    """Return the number that a text is, and any other value as it is."""
    if not isinstance(value, str) or not NUMBER.fullmatch(value):
        return value
    return float(value) if "." in value else int(value)


def matches(value: Value, kind: str, criterion: str) -> bool:
    """Return whether a field of this type with this value is found; raises FileMakerError 413 and 500."""
    if criterion in ("=", "=="):
        return value == ""
    if criterion == "*":
        return value != ""
    if kind == "container":
        raise FileMakerError("413")
    exact, whole = criterion.startswith("=="), criterion.startswith("=")
    wanted = criterion[2 if exact else int(whole) :]
    if kind in DATE_PATTERNS:
        if (day := as_date(wanted, kind)) is None:
            raise FileMakerError("500")
        return as_date(value, kind) == day
    if kind == "number" and NUMBER.fullmatch(wanted):
        return as_number(value) == as_number(wanted)
    if exact:
        return bool(pattern(wanted, False)[0].fullmatch(str(value)))
    words = str(value).split()
    fits: Callable[[re.Pattern[str], str], object] = re.Pattern.fullmatch if whole else re.Pattern.match
    return all(any(fits(one, word) for word in words) for one in pattern(wanted, True))


@functools.lru_cache(256)
def pattern(criterion: str, split: bool) -> list[re.Pattern[str]]:
    """Compile a criterion, or each of its words; without case, as FileMaker's index is."""
    words = [""]
    for escaped, operator, wildcard, blanks, other in TOKEN.findall(criterion):
        if operator:
            raise NotImplementedError(f"a find with the operator {operator}")
        if blanks and split:
            words.append("")
        else:
            words[-1] += WILDCARDS.get(wildcard) or re.escape(escaped or blanks or other)
    return [re.compile(word, re.IGNORECASE | re.DOTALL) for word in words if word or not split]


def sort_key(value: Value, kind: str) -> tuple[bool, float, str]:
    """Order the values of a field of this type, empty ones first, numbers and dates by value."""
    if kind in DATE_PATTERNS:
        day = as_date(value, kind)
        return value != "", day.timestamp() if day else 0, str(value)
    number = as_number(value) if kind == "number" else ""
    return value != "", float(number) if isinstance(number, int | float) else 0, str(value).casefold()
