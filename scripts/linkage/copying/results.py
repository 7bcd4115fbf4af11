"""The results file: one line for each outcome, appended by one run at a time, whole and on disk."""

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
    """A line of the results file; the size in bytes, ETags without quotation marks."""

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


class Records:
    """The whole records of a results file that is open for reading; `end` is where the last one ends, in bytes."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        """Raises UnusableInput if it is a file of another kind; a header that is cut off counts as no record."""
        self.path, self.file, self.end = path, file, 0
        header = file.readline()
        if header == HEADER:
            self.end = len(HEADER)
        elif not (HEADER.startswith(header) and not file.read(1)):
            raise UnusableInput(
                f"{path} is not a results file: its first line is not the header of one; name another with --results"
            )

    def __iter__(self) -> Iterator[bytes]:
        """Every record, unchanged, up to the end or to a last one that is cut off.

        Python's csv module, 4 s for a million records, reads them, because DuckDB
        does not distinguish a record that is cut off from a malformed one.

        Raises UnusableInput for an incomplete record that others follow.
        """
        self.file.seek(self.end)
        lines: list[bytes] = []

        def texts() -> Iterator[str]:
            for line in self.file:
                lines.append(line)
                yield line.decode()

        records = csv.reader(texts(), strict=True)
        number = 1
        while (values := next_record(records)) is not None:
            number += 1
            record = b"".join(lines)
            lines.clear()
            if not (record.endswith(b"\n") and len(values) == len(COLUMNS)):
                break
            self.end += len(record)
            yield record
        if self.file.read(1):
            raise UnusableInput(
                f"record {number} of {self.path} is incomplete; correct it by hand, or name another file with --results"
            )


def next_record(records: Iterator[list[str]]) -> list[str] | None:
    """The next record, without values if it is malformed; None at the end."""
    try:
        return next(records, None)
    except (csv.Error, UnicodeDecodeError):
        return []


class ResultsFile:
    """A results file that this run alone appends to."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path, self.descriptor = path, descriptor
        self.end = 0

    def read(self) -> Iterator[bytes]:
        """Every whole record, unchanged; what follows the last one is set aside at the end."""
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
                "make room, or name another file with --results"
            ) from None
        print(
            f"the last line of {self.path} was cut off, for example by a power cut; it has been moved to {aside.name}, "
            "and its object is checked again",
            file=sys.stderr,
        )

    def append(self, lines: bytes) -> None:
        """Append whole lines; when this returns they are on disk, and if it fails none of them is in the file.

        Raises UnusableInput if they cannot be written, for example because the disk is full.
        """
        try:
            write_whole(self.descriptor, lines)
            os.fsync(self.descriptor)
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(self.descriptor, self.end)
            raise UnusableInput(
                f"cannot write to the results file {self.path}: {error.strerror}; finished copies stay; make room and "
                "run again"
            ) from None
        self.end += len(lines)


def write_whole(descriptor: int, content: bytes) -> None:
    """Write all of `content`; a disk that is almost full may take only a part at first."""
    while content:
        content = content[os.write(descriptor, content) :]


@contextmanager
def open_results(path: Path) -> Iterator[ResultsFile]:
    """The results file, created with mode 0600 if it is new, and locked against other runs.

    Raises UnusableInput if it cannot be written to, or if another run is writing to it.
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
    """Keep other runs away from the file until the descriptor is closed or this process ends."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UnusableInput(
            f"another run is writing to {path}; wait until it ends, or name another file with --results"
        ) from None
    except OSError as error:
        raise UnusableInput(f"cannot lock {path}: {error.strerror}; name a file on this machine's disk") from None


def read_results(path: Path) -> Iterator[bytes]:
    """The whole records of a results file, unchanged, without writing to it; none if there is no file."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    except OSError as error:
        raise UnusableInput(f"cannot read the results file {path}: {error.strerror}; name one with --results") from None
    with file:
        yield from Records(path, file)
