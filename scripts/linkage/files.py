"""Private files, each of which appears whole or not at all."""

import csv
import errno
import fcntl
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import TextIO

from linkage.errors import UnusableInput

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
SUFFIX = ".part"


@contextmanager
def write_atomically(path: Path) -> Iterator[TextIO]:
    """Open a text file (UTF-8, `\\n` line ends) that replaces `path` once it is whole.

    Like `write_whole`, for one file.
    """
    with write_whole([path]) as [file]:
        yield file


@contextmanager
def write_whole(paths: list[Path]) -> Iterator[list[TextIO]]:
    """Open a text file (UTF-8, `\\n` line ends) for each of `paths`, which they replace once all are whole.

    Each file has mode 0600, is written under a temporary name beside its path,
    and is on disk before the first one takes its name. On any exception until
    then every path stays as it was and nothing else is left behind.

    The names are then taken one after the other, so a run that is killed there, or
    refused a name, leaves the first paths new and the others as they were: each
    file is whole, but they do not belong together until the same step runs again.
    Only rename is used, which exFAT and SMB have too. They have no hard links, with
    which the first names could be taken back.

    Raises UnusableInput if a path is a folder, its own folder cannot be
    written to, the disk is full, or the file at the path cannot be replaced.
    """
    temporaries: list[Path] = []
    try:
        with ExitStack() as open_files:
            files: list[TextIO] = []
            for path in paths:
                descriptor, temporary = make_temporary(path)
                temporaries.append(temporary)
                files.append(open_files.enter_context(os.fdopen(descriptor, "w", encoding="utf-8", newline="")))
            yield files
            for file in files:
                file.flush()
                os.fsync(file.fileno())
            take_names(temporaries, paths)  # while the files are open, for only then are they locked
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
    """Make an empty private file beside `path`, open for writing and locked, after removing leftovers."""
    if path.is_dir():
        raise UnusableInput(f"cannot write {path}: it is a folder; name a file in it")
    try:
        remove_leftovers(path)
        while True:
            descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=SUFFIX)
            # Between the two calls another run may have taken the file for a leftover.
            if lock(descriptor) and Path(name).exists():
                return descriptor, Path(name)
            os.close(descriptor)
    except OSError as error:
        raise UnusableInput(f"cannot write {path}: {error.strerror}; name another file with an option") from None


def remove_leftovers(path: Path) -> None:
    """Remove the temporary files beside `path` whose run was killed.

    A run holds a lock (flock) on each of its temporary files, which the system
    releases when the run ends, however it ends. The process id in the name is
    not enough: the files may be on a share, and ids are reused. Where the file
    system has no locks, nothing is removed.
    """
    for leftover in path.parent.iterdir():
        if re.fullmatch(rf"\.{re.escape(path.name)}\.[a-z0-9_]{{8}}{re.escape(SUFFIX)}", leftover.name):
            with suppress(OSError), leftover.open("r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                leftover.unlink()


def lock(descriptor: int) -> bool:
    """Lock an open file; False if another process has locked it. Where there are no locks, it stays unlocked."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def take_names(temporaries: list[Path], paths: list[Path]) -> None:
    """Give each temporary file the name of its path, in this order.

    Raises UnusableInput for the first name that cannot be taken, such as that of an immutable file.
    """
    for count, (temporary, path) in enumerate(zip(temporaries, paths, strict=True)):
        try:
            temporary.replace(path)
        except OSError as error:
            replaced = ", ".join(done.name for done in paths[:count])
            raise UnusableInput(
                f"cannot write {path}: {error.strerror}; check who may replace it"
                + (f", and run again: {replaced} already replaced" if replaced else "")
            ) from None


def create_file(path: Path, text: str) -> None:
    """Create a private file with a short `text`; a file that exists, or that another run creates meanwhile, stays.

    Where there are hard links, it appears whole, for other runs may read it at once.

    Raises UnusableInput if it cannot be written.
    """
    if path.exists():
        return
    with suppress(OSError):
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=SUFFIX)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
                lock(descriptor)
                file.write(text)
                file.flush()
                os.fsync(descriptor)
                os.link(temporary, path)
            return
        finally:
            Path(temporary).unlink()
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(descriptor)
    except FileExistsError:
        return
    except OSError as error:
        raise UnusableInput(
            f"cannot write {path}: {error.strerror}; correct that, delete the file if it is empty, and run again"
        ) from None


def sync_folder(folder: Path) -> None:
    """Put a folder's entries on disk, so that a file's new name survives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # a network file system that does this by itself
            raise
    finally:
        os.close(descriptor)


def csv_line(values: Iterable[object]) -> str:
    """One CSV record with its `\\n` (docs/specification.md, Flow)."""
    return csv_lines([values])


def csv_lines(records: Iterable[Iterable[object]], end: str = "\n") -> str:
    """CSV records, each with its line end, `\\n` unless a file has another (docs/specification.md, Flow)."""
    lines: list[str] = []
    # "\r\n" as the line end, then cut: before Python 3.13 the csv module quotes a CR inside a value only then.
    written = SimpleNamespace(write=lambda line: lines.append(line.removesuffix("\r\n") + end))
    csv.writer(written, lineterminator="\r\n").writerows(records)
    return "".join(lines)
