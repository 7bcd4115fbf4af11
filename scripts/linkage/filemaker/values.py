"""What a column's values should be, how many of them are, and the shape of those that are not."""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from linkage.filemaker.date_order import ORDERS, WHITE_SPACE, date_ordinal, recid_number

UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
LONGEST_SHAPE = 40


def is_record_number(text: str) -> bool:
    """Whether a trimmed text is a record's number."""
    return recid_number(text) > 0


def is_uuid(text: str) -> bool:
    """Whether a trimmed text is 8-4-4-4-12 hex."""
    return bool(UUID.fullmatch(text))


def is_date(text: str) -> bool:
    """Whether a trimmed text is a date in any of the orders."""
    return any(date_ordinal(text, order) for order in ORDERS)


class Judgement(NamedTuple):
    """How many of a column's values are filled, how many of those read, and how many different ones there are."""

    filled: int
    read: int
    different: int
    # how often each text occurs that does not read
    unread: Counter[str]

    @property
    def fits(self) -> bool:
        """Whether at least half of the filled values read."""
        return 2 * self.read >= self.filled


def judge(values: Sequence[str], reads: Callable[[str], object]) -> Judgement:
    """Judge a column's values, each without the white space around it, by whether it `reads`."""
    texts = Counter(value.strip(WHITE_SPACE) for value in values)
    del texts[""]
    unread = Counter({text: number for text, number in texts.items() if not reads(text)})
    return Judgement(texts.total(), texts.total() - unread.total(), len(texts), unread)


def shape(text: str) -> str:
    """The text with each digit as 9 and each letter as A, on one line and not too long."""
    marks = {"N": "9", "L": "A", "M": "A", "Z": " ", "C": " "}
    start = text[: LONGEST_SHAPE + 1]
    whole = "".join(marks.get(unicodedata.category(character)[0], character) for character in start)
    return whole if len(whole) <= LONGEST_SHAPE else f"{whole[:LONGEST_SHAPE]}…"
