"""What a column's values should be, and how many of them are."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from linkage.filemaker.export.date_order import ORDERS, date_ordinal
from linkage.texts import WHITE_SPACE, recid_number


def is_record_number(text: str) -> bool:
    """Whether a trimmed text is a record's number."""
    return recid_number(text) > 0


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
