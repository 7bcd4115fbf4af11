"""Private files that appear whole or not at all."""

import csv
import errno
import io
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from linkage.errors import UnusableInput

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def write_atomically(path: Path) -> Iterator[TextIO]:
    """Open a text file (UTF-8, `\\n` line ends) that replaces `path` once it is whole.

    The file has mode 0600 and is on disk before it takes its name. On any
    exception `path` stays as it was and nothing else is left behind.

    Raises UnusableInput where `path` is a folder, or its own folder cannot be written to.
    """
    if path.is_dir():
        raise UnusableInput(f"cannot write {path}: it is a folder; name a file in it")
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise UnusableInput(f"cannot write {path}: {error.strerror}; name another file with an option") from None
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        if error.errno not in FULL:
            raise
        raise UnusableInput(f"cannot write {path}: {error.strerror}; make room and run again") from None
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Put a folder's entries on disk, so that a file's new name survives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def csv_line(values: Iterable[object]) -> str:
    """One CSV record with its `\\n` (§1 of the contract)."""
    line = io.StringIO()
    # "\r\n" as the line end, then cut: before Python 3.13 a CR inside a value is quoted only so.
    csv.writer(line, lineterminator="\r\n").writerow(values)
    return line.getvalue().removesuffix("\r\n") + "\n"
