"""Private files that appear whole or not at all."""

import csv
import errno
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import TextIO

from linkage.errors import UnusableInput

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def write_atomically(path: Path) -> Iterator[TextIO]:
    """Open a text file (UTF-8, `\\n` line ends) that replaces `path` once it is whole.

    Like `write_together`, for one file.
    """
    with write_together([path]) as [file]:
        yield file


@contextmanager
def write_together(paths: list[Path]) -> Iterator[list[TextIO]]:
    """Open a text file (UTF-8, `\\n` line ends) for each of `paths`, which they replace once all are whole.

    The files have mode 0600 and are on disk before they take their names. On
    any exception every path stays as it was and nothing else is left behind.

    Raises UnusableInput where a path is a folder, or its own folder cannot be written to.
    """
    temporaries: list[Path] = []
    try:
        with ExitStack() as open_files:
            files = []
            for path in paths:
                descriptor, temporary = make_temporary(path)
                temporaries.append(temporary)
                files.append(open_files.enter_context(os.fdopen(descriptor, "w", encoding="utf-8", newline="")))
            yield files
            for file in files:
                file.flush()
                os.fsync(file.fileno())
        take_names(temporaries, paths)
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise UnusableInput(f"cannot write {paths[0]}: {error.strerror}; make room and run again") from None
    finally:
        for temporary in temporaries:
            temporary.unlink(missing_ok=True)
    for folder in {path.parent for path in paths}:
        sync_folder(folder)


def make_temporary(path: Path) -> tuple[int, Path]:
    """An empty file of its owner's alone beside `path`, open for writing."""
    if path.is_dir():
        raise UnusableInput(f"cannot write {path}: it is a folder; name a file in it")
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise UnusableInput(f"cannot write {path}: {error.strerror}; name another file with an option") from None
    return descriptor, Path(name)


def take_names(temporaries: list[Path], paths: list[Path]) -> None:
    """Give every temporary file the name of its path, or none of them.

    Raises UnusableInput where a name cannot be taken, such as that of an immutable file.
    """
    taken: list[tuple[Path, Path]] = []
    try:
        for temporary, path in zip(temporaries, paths, strict=True):
            old = temporary.with_name(f"{temporary.name}.old")
            taken.append((old, path))
            if path.exists():
                old.hardlink_to(path)
            temporary.replace(path)
    except OSError as error:
        for old, before in taken[:-1]:
            if old.exists():
                old.replace(before)
            else:
                before.unlink(missing_ok=True)
        raise UnusableInput(f"cannot write {path}: {error.strerror}; see who may replace it") from None
    finally:
        for old, _ in taken:
            old.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Put a folder's entries on disk, so that a file's new name survives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def csv_line(values: Iterable[object]) -> str:
    """One CSV record with its `\n` (§1 of the contract)."""
    return csv_lines([values])


def csv_lines(records: Iterable[Iterable[object]]) -> str:
    """CSV records, each with its `\n` (§1 of the contract)."""
    lines: list[str] = []
    # "\r\n" as the line end, then cut: before Python 3.13 a CR inside a value is quoted only so.
    written = SimpleNamespace(write=lambda line: lines.append(line.removesuffix("\r\n") + "\n"))
    csv.writer(written, lineterminator="\r\n").writerows(records)
    return "".join(lines)
