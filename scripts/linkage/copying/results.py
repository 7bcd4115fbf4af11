"""The results file: one line for each outcome, appended by one run at a time, whole and on disk (§9)."""

import csv
import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

from linkage.errors import UnusableInput
from linkage.files import csv_line, sync_folder
from linkage.seeds import SEED_COLUMNS

COLUMNS = SEED_COLUMNS["copy_results"]
HEADER = csv_line(COLUMNS).encode()


class Result(NamedTuple):
    """A line of the results file (§2); the size in bytes, no etag with quote marks; -1 for what is no number."""

    run_id: str
    recorded_at: str
    image_id: str
    source_bucket: str
    source_key: str
    source_etag: str
    destination_bucket: str
    destination_key: str
    destination_etag: str
    size: int
    outcome: str
    attempts: int
    error: str

    @property
    def source_size(self) -> int:
        """The source's size, which a verified copy has too."""
        return self.size


class Records:
    """The whole records of a results file that is open for reading; `end` is where the last one ends, in bytes."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        """Raises UnusableInput where the file is another one; a header that is cut off is none yet."""
        self.path, self.file, self.end = path, file, 0
        header = file.readline()
        if header == HEADER:
            self.end = len(HEADER)
        elif not (HEADER.startswith(header) and not file.read(1)):
            raise UnusableInput(
                f"{path} is no results file: its first line is another one; name another with --results"
            )

    def __iter__(self) -> Iterator[Result]:
        """Every record up to the end, or up to a last one that is cut off.

        Raises UnusableInput for one that is not whole and has others after it.
        """
        self.file.seek(self.end)
        read, whole = self.end, True

        def lines() -> Iterator[str]:
            nonlocal read, whole
            for line in self.file:
                read += len(line)
                whole = line.endswith(b"\n")
                yield line.decode()

        records = csv.reader(lines(), strict=True)
        number = 1
        while (values := next_record(records)) is not None:
            number += 1
            if not (whole and len(values) == len(COLUMNS)):
                break
            self.end = read
            yield as_result(values)
        if self.file.read(1):
            raise UnusableInput(
                f"record {number} of {self.path} is not whole; mend it by hand, or name another file with --results"
            )


def next_record(records: Iterator[list[str]]) -> list[str] | None:
    """The next record, without values where it is none; None at the end."""
    try:
        return next(records, None)
    except (csv.Error, UnicodeDecodeError):
        return []


def as_result(values: list[str]) -> Result:
    """A record's values, in order."""
    *before, size, outcome, attempts, error = values
    return Result(*before, number(size), outcome, number(attempts), error)


def number(text: str) -> int:
    """A whole number, or -1."""
    return int(text) if text.isascii() and text.isdigit() else -1


class ResultsFile:
    """A results file that this run alone appends to."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path, self.descriptor = path, descriptor
        self.end = 0

    def read(self) -> Iterator[Result]:
        """Every whole record; what is after the last is set aside when it has been given."""
        with os.fdopen(os.dup(self.descriptor), "rb") as file:
            file.seek(0)
            records = Records(self.path, file)
            yield from records
            self.end = records.end
            file.seek(self.end)
            torn = file.read()
        if torn:
            self.set_aside(torn)
        if not self.end:
            self.append(HEADER)

    def set_aside(self, torn: bytes) -> None:
        """Move a last line that is cut off, as by a power cut, into a file of its own."""
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
                f"the last line of {self.path} is cut off and cannot be set aside in {aside.name}: {error.strerror}; "
                "make room, or name another file with --results"
            ) from None
        print(
            f"the last line of {self.path} was cut off, as by a power cut: it is set aside in {aside.name}, and what "
            "it was about is looked at again",
            file=sys.stderr,
        )

    def append(self, lines: bytes) -> None:
        """Append whole lines; they are on disk when this returns, or else none of them is in the file.

        Raises UnusableInput where the disk takes no more.
        """
        try:
            write_whole(self.descriptor, lines)
            os.fdatasync(self.descriptor)
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self.descriptor, self.end)
            raise UnusableInput(
                f"cannot write to the results file {self.path}: {error.strerror}; what was copied stays, make room and "
                "run again"
            ) from None
        self.end += len(lines)


def write_whole(descriptor: int, content: bytes) -> None:
    """Write all of `content`; again only where a full disk took a part."""
    while content:
        content = content[os.write(descriptor, content) :]


@contextmanager
def open_results(path: Path) -> Iterator[ResultsFile]:
    """The results file, made with mode 0600 if it is new, and locked against other runs.

    Raises UnusableInput where it cannot be written to, or another run is writing to it.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    except OSError as error:
        raise UnusableInput(
            f"cannot write the results file {path}: {error.strerror}; name one with --results"
        ) from None
    try:
        lock(path, descriptor)
        os.fchmod(descriptor, 0o600)
        yield ResultsFile(path, descriptor)
    finally:
        os.close(descriptor)


def lock(path: Path, descriptor: int) -> None:
    """Keep other runs away from the file until the descriptor is closed, or this process has ended."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UnusableInput(
            f"another run is writing to {path}; wait until it has ended, or name another file with --results"
        ) from None
    except OSError as error:
        raise UnusableInput(f"cannot lock {path}: {error.strerror}; name a file on this machine's disk") from None


def read_results(path: Path) -> Iterator[Result]:
    """The whole records of a results file, without writing to it; none where there is no file."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    except OSError as error:
        raise UnusableInput(f"cannot read the results file {path}: {error.strerror}; name one with --results") from None
    with file:
        yield from Records(path, file)
