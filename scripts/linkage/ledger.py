"""Ledgers: CSV files to which one run at a time appends a line for each outcome, whole and on disk."""

import codecs
import csv
import fcntl
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, NamedTuple

from linkage.errors import UnusableInput
from linkage.files import csv_line, csv_lines, sync_folder
from linkage.seeds import CUT_OFF

TIME_COLUMN = "recorded_at"


class Ledger(NamedTuple):
    """A kind of ledger: its columns, one of them `recorded_at`, and what its messages say.

    `elsewhere`: how to use another file. `finished`: what is not lost if a line cannot be written.
    `again`: what happens with the one whose line is cut off.
    """

    columns: tuple[str, ...]
    elsewhere: str
    finished: str
    again: str


class Records:
    """The whole records of a ledger that is open for reading, as far as it has been written by then.

    After they were read, `end` is where the last one ends, in bytes, and `last`
    has its values; `is_torn` says whether a record that is cut off follows.
    """

    def __init__(self, path: Path, file: BinaryIO, ledger: Ledger) -> None:
        """Raises UnusableInput if it is a file of another kind; a header that is cut off counts as no record."""
        self.path, self.file, self.ledger, self.end = path, file, ledger, 0
        self.last: list[str] = []
        self.size = os.fstat(file.fileno()).st_size  # another run may be appending
        header = file.readline()
        self.line_end = "\r\n" if header.endswith(b"\r\n") else "\n"
        expected = csv_line(ledger.columns).encode()
        if header.decode("utf-8-sig", "replace").replace('"', "") == ",".join(ledger.columns) + self.line_end:
            self.end = len(header)
        elif not any(whole.startswith(header.removesuffix(b"\r")) for whole in (expected, codecs.BOM_UTF8 + expected)):
            raise UnusableInput(
                f"{path} is not a results file: its first line is not the header of one; {ledger.elsewhere}"
            )

    @property
    def is_torn(self) -> bool:
        """Whether something follows the last whole record."""
        return self.end < self.size

    def __iter__(self) -> Iterator[bytes]:
        """Every record, with `\\n` at its end, up to the end or to a last one that is cut off.

        Python's csv module, 4 s for a million records, reads them, because DuckDB
        does not distinguish a record that is cut off from a malformed one.

        Raises UnusableInput for a malformed record that others follow.
        """
        self.file.seek(self.end)
        lines: list[bytes] = []

        def texts() -> Iterator[str]:
            left = self.size - self.end
            for line in self.file if left else ():
                left -= len(line)
                lines.append(line[:left] if left < 0 else line)
                yield lines[-1].decode()
                if left <= 0:
                    return

        records = csv.reader(texts(), strict=True)
        ended, width = self.line_end.encode(), len(self.ledger.columns)
        while True:
            number, values, problem = records.line_num + 2, [], ""
            try:
                values = next(records)
            except StopIteration:
                return
            except UnicodeDecodeError:
                problem = "line {} is not UTF-8"
            except csv.Error:
                problem = "the quotes in line {} do not match"
            record = b"".join(lines)
            lines.clear()
            is_whole = len(values) == width and record.endswith(ended) and b"\0" not in record
            if not is_whole or (ended == b"\n" and record.endswith(b"\r\n")):
                problem = problem or find_problem(record, values, ended, width)
            if problem:
                self.refuse_unless_cut_off(record, problem.format(number))
                return
            self.end += len(record)
            if values:  # an empty line has none
                self.last = values
                yield record if ended == b"\n" else record[: -len(ended)] + b"\n"

    def refuse_unless_cut_off(self, record: bytes, problem: str) -> None:
        """Raise UnusableInput for a record with a problem, unless it is at the end and only a part of one.

        After a quotation mark too many, all other lines look like a part of its record.
        """
        is_cut_off = not record.endswith(b"\n") or record.count(b'"') % 2 == 1
        others = any(line.count(b",") >= len(self.ledger.columns) - 1 for line in record.split(b"\n")[1:])
        if self.end + len(record) == self.size and is_cut_off and not others:
            return
        raise UnusableInput(
            f"{self.path.name} cannot be read: {problem}; correct that line, or {self.ledger.elsewhere}"
        )


def find_problem(record: bytes, values: list[str], ended: bytes, width: int) -> str:
    """What is wrong with a record, in the words of the build, with `{}` for its line; empty for an empty line."""
    if b"\0" in record:
        return "line {} has a NUL byte"
    if not record.endswith(ended) or (ended == b"\n" and record.endswith(b"\r\n")):
        return "line {} ends differently from line 1"
    if len(values) > width:
        return f"line {{}} has more than {width} fields"
    return f"line {{}} has {len(values)} fields, not {width}" if values else ""


class LedgerFile:
    """A ledger that this run alone appends to."""

    def __init__(self, path: Path, descriptor: int, ledger: Ledger) -> None:
        self.path, self.descriptor, self.ledger = path, descriptor, ledger
        self.end, self.line_end, self.last_time = 0, "\n", ""

    def read(self) -> Iterator[bytes]:
        """Every whole record, with `\\n` at its end; what follows the last one is set aside at the end.

        Then `last_time` is the last record's time, and `line_end` is that of the file.
        """
        with os.fdopen(os.dup(self.descriptor), "rb") as file:
            file.seek(0)
            records = Records(self.path, file, self.ledger)
            yield from records
            self.end, self.line_end = records.end, records.line_end
            self.last_time = records.last[self.ledger.columns.index(TIME_COLUMN)] if records.last else ""
            file.seek(self.end)
            torn = file.read()
        if torn:
            self.set_aside(torn)
        if not self.end:
            self.line_end = "\n"
            self.append([self.ledger.columns])

    def set_aside(self, torn: bytes) -> None:
        """Move a last line that is cut off, for example by a power cut, into a file of its own."""
        aside = self.path.with_name(f"{self.path.name}.torn")
        try:
            descriptor = os.open(aside, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(torn + b"\n")
                file.flush()
                os.fsync(descriptor)
            sync_folder(self.path.parent)
            os.ftruncate(self.descriptor, self.end)
        except OSError as error:
            raise UnusableInput(
                f"the last line of {self.path} is cut off and cannot be moved to {aside.name}: {error.strerror}; "
                f"make room, or {self.ledger.elsewhere}"
            ) from None
        print(
            f"the last line of {self.path} was cut off, for example by a power cut; it has been moved to {aside.name}, "
            f"and {self.ledger.again}",
            file=sys.stderr,
        )

    def append(self, records: Iterable[Iterable[object]]) -> None:
        """Append whole lines; when this returns they are on disk, and if it fails none of them is in the file.

        Their line end is that of the file, for a mixture is refused by the build.

        Raises UnusableInput if they cannot be written, for example because the disk is full.
        """
        lines = csv_lines(records, self.line_end).encode()
        try:
            write_whole(self.descriptor, lines)
            os.fsync(self.descriptor)
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self.descriptor, self.end)
            raise UnusableInput(
                f"cannot write to the results file {self.path}: {error.strerror}; {self.ledger.finished}; make room "
                "and run again"
            ) from None
        self.end += len(lines)


class LedgerClock:
    """The times of new lines, which never go back within a ledger, even if this machine's clock was set back."""

    def __init__(self, last_time: str) -> None:
        """`last_time` is the time in the last line, empty if there is none."""
        self.written, self.latest = last_time, as_written(last_time)

    def now(self) -> str:
        """The time to write in the next line."""
        now = utc_now()
        if now > self.latest:
            self.latest = self.written = now
        return self.written


def utc_now() -> str:
    """This machine's time as a ledger has it, so that texts compare like times."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def as_written(text: str) -> str:
    """Another program's way to write a time as `utc_now` writes it; empty if it is not a time."""
    try:
        time = datetime.fromisoformat(text)
        time = time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return ""
    return time.isoformat(timespec="microseconds").replace("+00:00", "Z")


def write_whole(descriptor: int, content: bytes) -> None:
    """Write all of `content`; a disk that is almost full may take only a part at first."""
    while content:
        content = content[os.write(descriptor, content) :]


@contextmanager
def open_ledger(path: Path, ledger: Ledger) -> Iterator[LedgerFile]:
    """The ledger at `path`, created with mode 0600 if it is new, and locked against other runs.

    Raises UnusableInput if it cannot be written to, or if another run is writing to it.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    except OSError as error:
        raise UnusableInput(f"cannot write the results file {path}: {error.strerror}; {ledger.elsewhere}") from None
    try:
        lock(path, descriptor, ledger)
        refuse_replaced(path, descriptor)
        os.fchmod(descriptor, 0o600)
        yield LedgerFile(path, descriptor, ledger)
    finally:
        os.close(descriptor)


def lock(path: Path, descriptor: int, ledger: Ledger) -> None:
    """Keep other runs away from the file until the descriptor is closed or this process ends."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UnusableInput(f"another run is writing to {path}; wait until it ends, or {ledger.elsewhere}") from None
    except OSError as error:
        raise UnusableInput(f"cannot lock {path}: {error.strerror}; name a file on this machine's disk") from None


def refuse_replaced(path: Path, descriptor: int) -> None:
    """Raise UnusableInput if the file was replaced before it was locked, as merging does: lines in it would be lost."""
    try:
        same = os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        same = False
    if not same:
        raise UnusableInput(f"{path} has just been replaced by another run; run again")


def read_ledger(path: Path, ledger: Ledger) -> Iterator[bytes]:
    """The whole records of a ledger, with `\\n` at their ends, without writing to it; none if there is no file.

    A last one that is cut off is left out, and that is said on stderr, unless a run is writing just now.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    except OSError as error:
        raise UnusableInput(f"cannot read the results file {path}: {error.strerror}; {ledger.elsewhere}") from None
    with file:
        records = Records(path, file, ledger)
        yield from records
        if records.is_torn and not is_locked(file):
            print(f"{path}: {CUT_OFF}", file=sys.stderr)


def is_locked(file: BinaryIO) -> bool:
    """Whether a run holds the lock of the file."""
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        fcntl.flock(file, fcntl.LOCK_UN)
    except BlockingIOError:
        return True
    except OSError:  # no locks there, so no run either
        pass
    return False
