"""publish_results.csv: a line for each row that a run has inserted into Nexus, or relinked."""

import csv
import fcntl
import mmap
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

import psycopg
from psycopg import sql

from linkage.errors import UnusableInput
from linkage.files import csv_line, csv_lines, sync_folder
from linkage.nexus.export import fetch
from linkage.nexus.mapping import Mapping, expression
from linkage.nexus.postgres_errors import is_lost
from linkage.nexus.staging import PARTS
from linkage.nexus.tables import Nexus

WRITTEN = 10_000  # lines at a time
INSERTED, RELINKED = "inserted", "relinked"


class Change(NamedTuple):
    """A line: what a run did to a row of Nexus, and what it takes to undo that.

    `kind` is `image` or `batch`, and `id` is Nexus's. `row_md5` is of an inserted row as Nexus holds it.
    `patient_id` and `previous_patient_id` are those of a relinked batch, after and before.
    """

    published_at: str
    kind: str
    id: str
    recid: int | str
    action: str
    row_md5: str = ""
    patient_id: str = ""
    previous_patient_id: str = ""


HEADER = csv_line(Change._fields)


def read_changes(nexus: Nexus, published_at: datetime, relinked: int) -> Iterator[Change]:
    """What this run has done, as its transaction sees it before the commit; `relinked` batches are in their table."""
    moment = published_at.isoformat(sep=" ")
    for kind, part in PARTS.items():
        rows = sql.SQL(
            """
            select held_id, {recid}, row_md5
            from {new}
            inner join (
                select lower(cast({id} as text)) as held_id, {row_md5} as row_md5 from {table} as application
            ) as held on held_id = id
            order by number
            """
        ).format(
            recid=sql.SQL("recid" if kind == "image" else "''"),
            new=sql.Identifier(f"linkage_new_{kind}"),
            id=expression(nexus.mapping.tables[part].read["id"], nexus.values),
            row_md5=row_md5(nexus.mapping, part),
            table=nexus.table(part),
        )
        for row_id, recid, md5 in fetch(nexus.connection, rows):
            yield Change(moment, kind, row_id, recid, INSERTED, row_md5=md5)
    if relinked:
        for row_id, *patients in nexus.execute(
            "select relink_id, relink_new_patient_id, previous_patient_id from linkage_relinked order by number"
        ):
            yield Change(moment, "batch", row_id, "", RELINKED, "", *patients)


def row_md5(mapping: Mapping, part: str) -> sql.Composed:
    """SQL for the MD5 of a row of the table `application`, with every column but the image count.

    A row that the application has changed since has another one.
    """
    image_count = mapping.tables[part].image_count or ""
    return sql.SQL("md5(cast(to_jsonb(application) - {} as text))").format(sql.Literal(image_count))


def record_and_commit(path: Path, changes: Iterable[Change], commit: Callable[[], None]) -> int:
    """Append the changes to the file, and call `commit` once they are on disk; returns their number.

    So every row that is committed has its line. If the commit fails, the lines are
    removed again. Only a run that is killed in between, or that loses its connection
    while it commits, may leave lines of rows that were never committed: to undo those
    changes nothing.

    Raises UnusableInput if the file cannot be written; nothing is then committed.
    """
    changes = iter(changes)
    first = next(changes, None)
    if first is None:
        commit()
        return 0
    count = 0
    all_changes = chain([first], changes)
    try:
        with open_for_lines(path) as (descriptor, end):
            try:
                while some := list(islice(all_changes, WRITTEN)):
                    write_all(descriptor, csv_lines(some).encode())
                    count += len(some)
                os.fsync(descriptor)
                commit()
            except psycopg.Error as error:
                if not is_lost(error):  # else it may have been committed
                    os.ftruncate(descriptor, end)
                raise
            except OSError:
                with suppress(OSError):
                    os.ftruncate(descriptor, end)
                raise
    except OSError as error:
        raise UnusableInput(
            f"cannot write {path}: {error.strerror}; nothing was changed in Nexus; correct that and run again"
        ) from None
    return count


@contextmanager
def open_for_lines(path: Path) -> Iterator[tuple[int, int]]:
    """Open the file, made with its header if there is none, to append to: its descriptor, and where its lines end.

    A last line that is cut off is removed: its run was killed before it could commit.
    No other run can append to the file meanwhile.

    Raises UnusableInput if it is another file, and OSError.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.fchmod(descriptor, 0o600)
        header = HEADER.encode()
        if header.startswith(os.pread(descriptor, len(header) + 1, 0)):  # a new file, or a header that is cut off
            os.ftruncate(descriptor, 0)
            write_all(descriptor, header)
            sync_folder(path.parent)
        with mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) as contents:
            found, end = contents.readline(), contents.rfind(b"\n", 0) + 1
        if found.decode("utf-8-sig", errors="replace").rstrip() != HEADER.rstrip():
            raise UnusableInput(
                f"{path} is another file: its first line is not {HEADER.rstrip()}; move it away and run again"
            )
        os.ftruncate(descriptor, end)
        yield descriptor, end
    finally:
        os.close(descriptor)


def write_all(descriptor: int, content: bytes) -> None:
    """Write all of `content`; a disk that is almost full may take only a part at first."""
    while content:
        content = content[os.write(descriptor, content) :]


def read_lines(path: Path) -> Iterator[Change]:
    """The changes in the file, all values as text.

    Raises UnusableInput if it cannot be read, or is another file.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            records = csv.reader(file, strict=True)
            if tuple(next(records, ())) != Change._fields:
                raise UnusableInput(f"{path} is another file: its first line is not {HEADER.rstrip()}")
            for values in records:
                if len(values) == len(Change._fields):  # a last line that is cut off was never committed
                    yield Change(*values)
    except FileNotFoundError:
        raise UnusableInput(f"{path} is missing: no run is recorded in this data folder; set LINKAGE_DATA") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UnusableInput(f"{path} cannot be read ({type(error).__name__}); restore it from a backup") from None
