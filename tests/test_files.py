"""Files appear whole or not at all, and what a killed run leaves behind is removed by the next."""

import csv
import errno
import fcntl
import io
import os
import resource
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from linkage.errors import UnusableInput
from linkage.files import create_file, csv_line, write_atomically, write_whole
from linkage.paths import PROJECT_ROOT


@pytest.fixture
def paths(tmp_path):
    """Three paths, of which the first two are files already."""
    folder = tmp_path / "data"
    folder.mkdir()
    files = [folder / name for name in "abc"]
    for path in files[:2]:
        path.write_text(f"old {path.name}")
    return files


def contents(paths):
    """What the folder of these paths holds."""
    return {path.name: path.read_text() for path in paths[0].parent.iterdir()}


OLD = {"a": "old a", "b": "old b"}
NEW = {"a": "new a", "b": "new b", "c": "new c"}


def write_all(paths):
    with write_whole(paths) as files:
        for path, file in zip(paths, files, strict=True):
            file.write(f"new {path.name}")


def test_all_files_are_replaced_and_private(paths):
    write_all(paths)
    assert contents(paths) == NEW
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths} == {0o600}


def test_a_file_system_without_hard_links_and_locks_is_enough(paths, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(fcntl, "flock", refuse)
    write_all(paths)
    create_file(paths[0].with_name("d"), "new d")
    assert contents(paths) == NEW | {"d": "new d"}


def test_until_the_last_is_whole_every_path_keeps_its_old_contents(paths):
    with write_whole(paths) as files:
        for file in files:
            file.write("new")
            file.flush()
            assert {name: text for name, text in contents(paths).items() if len(name) == 1} == OLD


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, UnusableInput])
def test_after_an_exception_everything_is_unchanged(paths, error):
    with pytest.raises(error), write_whole(paths) as files:
        for file in files:
            file.write("new")
        raise error
    assert contents(paths) == OLD


@pytest.mark.parametrize("folder", [0, 2])
def test_if_one_path_is_a_folder_no_file_is_written(paths, folder):
    paths[folder].unlink(missing_ok=True)
    paths[folder].mkdir()
    with pytest.raises(UnusableInput, match="it is a folder; name a file in it"):
        write_all(paths)
    paths[folder].rmdir()
    assert contents(paths) == {name: text for name, text in OLD.items() if name != paths[folder].name}


def test_if_one_folder_is_missing_no_file_is_written(paths, tmp_path):
    with pytest.raises(UnusableInput, match="No such file or directory"):
        write_all([*paths, tmp_path / "nowhere" / "d"])
    assert contents(paths) == OLD


def test_if_one_folder_cannot_be_written_to_no_file_is_written(paths, monkeypatch):
    make = tempfile.mkstemp

    def refuse_the_second(prefix, **rest):
        if prefix == ".b.":
            raise PermissionError(13, "Permission denied")
        return make(prefix=prefix, **rest)

    monkeypatch.setattr(tempfile, "mkstemp", refuse_the_second)  # root may write everywhere
    with pytest.raises(UnusableInput, match="Permission denied"):
        write_all(paths)
    assert contents(paths) == OLD


@pytest.mark.parametrize(("refused", "said"), [("a", "replace it$"), ("c", "replace it, and run again: a, b already")])
def test_a_file_that_cannot_be_replaced_is_named_with_those_that_already_are(paths, monkeypatch, refused, said):
    replace = Path.replace

    def refuse(path, target):
        if Path(target).name == refused:
            raise PermissionError(1, "Operation not permitted")
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", refuse)  # as for a file that somebody has made immutable
    with pytest.raises(UnusableInput, match=f"cannot write .*/{refused}: Operation not permitted; .*{said}"):
        write_all(paths)
    assert contents(paths) == (OLD if refused == "a" else {"a": "new a", "b": "new b"})
    monkeypatch.undo()
    write_all(paths)
    assert contents(paths) == NEW


WRITER = """
import sys
from pathlib import Path
from linkage.files import write_atomically
with write_atomically(Path(sys.argv[1])) as file:
    file.write("half")
    print(flush=True)
    input()
"""


def other_run(path):
    """A process that is in the middle of writing to `path`."""
    run = subprocess.Popen(
        [sys.executable, "-c", WRITER, path],
        env=os.environ | {"PYTHONPATH": str(PROJECT_ROOT / "scripts")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert run.stdout.readline() == "\n"
    return run


def test_the_next_run_removes_the_files_of_a_killed_one_and_no_others(paths):
    path, other, _ = paths
    others = {".a.12345678.old", ".a.csv.swp", ".a.part", ".b.12345678.part"}
    for name in others:
        path.with_name(name).touch()
    with other_run(path) as run:
        run.kill()
    assert len(contents(paths)) == len({*OLD, *others}) + 1
    write_all([path])
    assert contents(paths).keys() == {*OLD, *others}
    write_all([other])
    assert contents(paths).keys() == {*OLD, *others} - {".b.12345678.part"}


def test_the_temporary_file_of_a_run_that_is_alive_is_left_to_it(paths):
    with other_run(paths[0]) as run:
        write_all(paths[:1])
        assert contents(paths)["a"] == "new a"
        run.communicate("\n")
    assert run.returncode == 0
    assert contents(paths) == OLD | {"a": "half"}


def test_a_file_is_created_only_if_there_is_none(paths):
    for path in paths:
        create_file(path, f"new {path.name}")
    assert contents(paths) == OLD | {"c": "new c"}
    assert stat.S_IMODE(paths[2].stat().st_mode) == 0o600
    with pytest.raises(UnusableInput, match=r"cannot write .*: Not a directory"):
        create_file(paths[0] / "d", "")


def test_a_file_that_is_created_appears_whole(paths, monkeypatch):
    there = []
    monkeypatch.setattr(os, "fsync", lambda _: there.append(paths[2].exists()))
    create_file(paths[2], "new c")
    assert (there, contents(paths)) == ([False], OLD | {"c": "new c"})


@pytest.mark.parametrize("characters", [5_000, 500_000])
def test_a_disk_that_fills_up_leaves_everything_unchanged(paths, characters):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_096, limits[1]))
    try:
        with pytest.raises(UnusableInput, match="make room and run again"), write_whole(paths) as files:
            for file in files:
                file.write("x" * characters)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert contents(paths) == OLD


def test_line_ends_and_characters_are_written_unchanged(tmp_path):
    with write_atomically(tmp_path / "a") as file:
        file.write("ü\r\n日\n\r")
    assert (tmp_path / "a").read_bytes() == "ü\r\n日\n\r".encode()


@pytest.mark.parametrize("value", ["a", "", 'a"b', "a,b", "a\nb", "a\r\nb", "\r", " a ", "NULL", "ü", "\v\x1d"])
def test_a_csv_line_reads_back_as_its_values(value):
    line = csv_line(["x", value, None])
    assert next(csv.reader(io.StringIO(line, newline=""), strict=True)) == ["x", value, ""]
    assert line.endswith(",\n")
    assert "\r" not in line.replace(f'"{value}"', "")
