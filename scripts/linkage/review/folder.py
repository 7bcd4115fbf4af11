"""Replacing a folder as a whole: the old review site stays until the new one is complete."""

import ctypes
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from linkage.errors import UnusableInput
from linkage.files import FULL, lock, sync_folder
from linkage.paths import PROJECT_ROOT, data_folder, outside_sample
from linkage.seeds import hide_from_git

MARKER = ".image-linkage-review"  # in every site; only a folder that has it is replaced
AT_FDCWD, EXCHANGE = -100, 2  # of Linux's renameat2; macOS's renamex_np has the same number for it


@contextmanager
def replaced_folder(path: Path) -> Iterator[Path]:
    """Yield a new folder (0700, empty but for hidden files of ours) beside `path`, whose place it takes when complete.

    It is complete when the body ends without an exception. After an exception `path` is as it was and the new folder
    is removed; a run that is killed leaves it behind, under a hidden name, and the next run removes it.

    On Linux and macOS the two folders are exchanged in one step: at every moment `path` is the whole old or the whole
    new site. A file system that cannot do this, such as some network shares, takes two renames; a run that is killed
    between them leaves nothing at `path`, and the next run puts the old site back before it begins.

    Raises UnusableInput, before anything is written, if `check_replaceable` refuses `path` or another run is building
    it; and if the folders cannot be written or removed.
    """
    if path.is_symlink():
        raise UnusableInput(f"{path} is a symbolic link; name the folder that it leads to")
    path = path.resolve()
    check_replaceable(path)
    new, old, locked = (path.with_name(f".{path.name}.image-linkage-{kind}") for kind in ("new", "old", "lock"))
    with only_run(path, locked):
        with writable(path):
            put_back(old, path)
            check_replaceable(path)
            remove(new)
            remove(old)
            new.mkdir(mode=0o700)
        try:
            (new / MARKER).touch(mode=0o600)
            hide_from_git(new)
            yield new
            check_replaceable(path)  # somebody may have taken the name meanwhile
            with writable(path):
                os.sync()  # no power cut leaves a new site of empty files
                take_place(new, path, old)
                remove(old)
                sync_folder(path.parent)
        except OSError as error:
            if error.errno not in FULL:
                raise
            raise UnusableInput(f"cannot write {path}: {error.strerror}; make room and run again") from None
        finally:
            with writable(path):
                remove(new)  # where the folders were exchanged, this is the old site


def check_replaceable(path: Path) -> None:
    """Raise UnusableInput unless nothing is lost if `path`, absolute and without symbolic links, is replaced.

    That is so if it does not exist, is empty, or is a review site. It may not be in the sample, nor be the data
    folder, the project, the home folder, or a folder around one of these, whatever is in it.
    """
    outside_sample(path)
    for kept, name in ((data_folder(), "the data folder"), (PROJECT_ROOT, "the project"), (Path.home(), "your home")):
        around = [kept.resolve(), *kept.resolve().parents]
        # samefile, because a file system may not distinguish upper and lower case
        if path in around or (path.exists() and any(one.exists() and path.samefile(one) for one in around)):
            raise UnusableInput(
                f"{path} is, or contains, {name}, and would be replaced as a whole; name a new folder for the site"
            )
    if not path.parent.is_dir():
        raise UnusableInput(f"the folder {path.parent} does not exist; create it, or name another folder for the site")
    try:
        inside = os.listdir(path)  # noqa: PTH208 (the names)
    except FileNotFoundError:
        return
    except OSError as error:
        raise UnusableInput(f"{path} cannot be replaced: {error.strerror}; name a new folder for the site") from None
    if inside and MARKER not in inside:
        raise UnusableInput(
            f"{path} contains something that is not a review site of this project, and would be replaced as a whole; "
            "name a new or empty folder"
        )


@contextmanager
def only_run(path: Path, locked: Path) -> Iterator[None]:
    """Hold the lock of the site at `path`, which the system releases when this process ends.

    The empty file `locked` stays: whoever removed it could remove the lock of another run.
    """
    with writable(path):
        descriptor = os.open(locked, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if not lock(descriptor):
            raise UnusableInput(f"another run is building {path}; wait until it has ended")
        yield
    finally:
        os.close(descriptor)


@contextmanager
def writable(path: Path) -> Iterator[None]:
    """Turn errors about the folders beside `path`, except that the disk is full, into UnusableInput."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise
        which = f" ({error.filename})" if error.filename else ""
        raise UnusableInput(f"cannot replace {path}: {error.strerror}{which}; check who may write there") from None


def take_place(new: Path, path: Path, old: Path) -> None:
    """Give the folder `new` the place of `path`, if there is one, which ends up at `new` or at `old`."""
    if exchange(new, path):
        return
    try:
        if path.exists():
            path.rename(old)
        new.rename(path)
    except BaseException:
        put_back(old, path)
        raise


def put_back(old: Path, path: Path) -> None:
    """Undo the first of two renames if the second did not happen."""
    if old.exists() and not path.exists():
        old.rename(path)


def exchange(one: Path, other: Path) -> bool:
    """Exchange two folders in one step; False where the system or the file system cannot, or one does not exist."""
    libc = ctypes.CDLL(None)
    names = os.fsencode(one), os.fsencode(other)
    if sys.platform == "darwin":
        return bool(libc.renamex_np(*names, EXCHANGE) == 0)
    if not hasattr(libc, "renameat2"):
        return False
    return bool(libc.renameat2(AT_FDCWD, names[0], AT_FDCWD, names[1], EXCHANGE) == 0)


def remove(folder: Path) -> None:
    """Remove one of our own folders, if it exists, with everything in it."""
    if folder.exists():
        shutil.rmtree(folder)
