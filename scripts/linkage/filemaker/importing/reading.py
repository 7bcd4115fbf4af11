"""All records of the layout: which are to be imported, and the seed of their metadata."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar

from linkage.errors import UnusableInput
from linkage.filemaker.data_api.records import Record, Shifted, read_pages
from linkage.filemaker.data_api.session import Session
from linkage.filemaker.importing.layout import COLUMNS, RECID, Layout
from linkage.filemaker.importing.record import Task
from linkage.files import csv_line, csv_lines, write_atomically

READINGS = 5  # while records come or go
T = TypeVar("T")
INVALID, DUPLICATE = "InvalidRecid", "DuplicateRecid"


class Work(NamedTuple):
    """How many records the layout has, and those that are not marked, in the order of their record numbers.

    Those that cannot be imported come last, so that a run with a limit has pictures to show.
    """

    records: int
    to_do: list[Task]


def find_work(session: Session, layout: Layout) -> Work:
    """Read all records, and find those to import; about 300 bytes of memory for each that is not marked.

    A record number that another record has, too, or that does not read, is the problem of its task: the name of its
    object would not show whose picture it is.

    Raises UnusableInput if the layout has no record.
    """
    work = still(lambda: read_work(session, layout))
    refuse_empty(layout, work.records)
    return work._replace(to_do=sorted(work.to_do, key=in_order))


def in_order(task: Task) -> tuple[bool, int, str]:
    """Where a task comes among the others."""
    return bool(task.problem or not task.container), task.recid, task.record_id


def read_work(session: Session, layout: Layout) -> Work:
    """Read all records once."""
    seen: Counter[int] = Counter()
    to_do, count = [], 0
    for page in read_pages(session, layout.name):
        count += len(page)
        for record in page:
            recid = layout.recid(record)
            seen[recid] += 1
            if not layout.is_marked(record):
                to_do.append(Task(record.record_id, recid, layout.best_container(record)))
    for task in to_do:
        task.problem = INVALID if not task.recid else DUPLICATE if seen[task.recid] > 1 else ""
    return Work(count, to_do)


def write_metadata(session: Session, layout: Layout, path: Path) -> int:
    """Write the seed of all records as they are now, marked or not, and return how many there are."""

    def write() -> int:
        with write_atomically(path) as file:
            file.write(csv_line(COLUMNS))
            count = 0
            for page in read_pages(session, layout.name):
                file.write(csv_lines(metadata_row(layout, record) for record in page))
                count += len(page)
            refuse_empty(layout, count)
        return count

    return still(write)


def refuse_empty(layout: Layout, records: int) -> None:
    """Raise UnusableInput if the layout has no record: an older seed would lose all of them."""
    if not records:
        raise UnusableInput(
            f"the layout {layout.name} has no record; check which table it shows, and what the account may see"
        )


def metadata_row(layout: Layout, record: Record) -> Iterator[str]:
    """A record in the columns of the seed, with line feeds and blanks as the converter makes them of an export's."""
    for column in COLUMNS:
        text = record.record_id if column == RECID and RECID not in layout.fields else layout.value(record, column)
        yield text.replace("\r\n", "\n").replace("\r", "\n").replace("\v", "\n").replace("\t", " ")


def still(read: Callable[[], T]) -> T:
    """Read until no record came or went meanwhile; raises UnusableInput if they always do."""
    for _ in range(READINGS):
        try:
            return read()
        except Shifted:
            pass
    raise UnusableInput(
        f"records were created or deleted in FileMaker each of the {READINGS} times that all were read; run again when "
        "fewer people work there"
    )
