"""Files appear whole, all of them together, or not at all."""

import csv
import io
import resource
import stat
import tempfile
from pathlib import Path

import pytest

from linkage.errors import UnusableInput
from linkage.files import csv_line, write_atomically, write_together


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
    with write_together(paths) as files:
        for path, file in zip(paths, files, strict=True):
            file.write(f"new {path.name}")


def test_all_files_are_replaced_and_their_owners_alone(paths):
    write_all(paths)
    assert contents(paths) == NEW
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths} == {0o600}


def test_until_the_last_is_whole_every_path_holds_what_it_held(paths):
    with write_together(paths) as files:
        for file in files:
            file.write("new")
            file.flush()
            assert {name: text for name, text in contents(paths).items() if len(name) == 1} == OLD


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, UnusableInput])
def test_after_an_exception_everything_is_as_it_was(paths, error):
    with pytest.raises(error), write_together(paths) as files:
        for file in files:
            file.write("new")
        raise error
    assert contents(paths) == OLD


@pytest.mark.parametrize("folder", [0, 1, 2])
def test_where_one_path_is_a_folder_no_file_is_written(paths, folder):
    paths[folder].unlink(missing_ok=True)
    paths[folder].mkdir()
    with pytest.raises(UnusableInput, match="it is a folder; name a file in it"):
        write_all(paths)
    paths[folder].rmdir()
    assert contents(paths) == {name: text for name, text in OLD.items() if name != paths[folder].name}


def test_where_one_folder_is_missing_no_file_is_written(paths, tmp_path):
    with pytest.raises(UnusableInput, match="No such file or directory"):
        write_all([*paths, tmp_path / "nowhere" / "d"])
    assert contents(paths) == OLD


def test_where_one_folder_cannot_be_written_to_no_file_is_written(paths, monkeypatch):
    make = tempfile.mkstemp

    def refuse_the_second(prefix, **rest):
        if prefix == ".b.":
            raise PermissionError(13, "Permission denied")
        return make(prefix=prefix, **rest)

    monkeypatch.setattr(tempfile, "mkstemp", refuse_the_second)  # root may write everywhere
    with pytest.raises(UnusableInput, match="Permission denied"):
        write_all(paths)
    assert contents(paths) == OLD


@pytest.mark.parametrize("refused", "abc")
def test_where_one_name_cannot_be_taken_none_is(paths, monkeypatch, refused):
    replace = Path.replace

    def refuse(path, target):
        if Path(target).name == refused and path.name.startswith(f".{refused}."):
            raise PermissionError(1, "Operation not permitted")
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", refuse)  # as with a file that somebody else made immutable
    with pytest.raises(UnusableInput, match=f"cannot write .*/{refused}: Operation not permitted"):
        write_all(paths)
    assert contents(paths) == OLD


@pytest.mark.parametrize("characters", [5_000, 500_000])
def test_a_disk_that_fills_up_leaves_everything_as_it_was(paths, characters):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_096, limits[1]))
    try:
        with pytest.raises(UnusableInput, match="make room and run again"), write_together(paths) as files:
            for file in files:
                file.write("x" * characters)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert contents(paths) == OLD


def test_line_ends_and_characters_are_written_as_they_are(tmp_path):
    with write_atomically(tmp_path / "a") as file:
        file.write("ü\r\n日\n\r")
    assert (tmp_path / "a").read_bytes() == "ü\r\n日\n\r".encode()


@pytest.mark.parametrize("value", ["a", "", 'a"b', "a,b", "a\nb", "a\r\nb", "\r", " a ", "NULL", "ü", "\v\x1d"])
def test_a_csv_line_reads_back_as_its_values(value):
    line = csv_line(["x", value, None])
    assert next(csv.reader(io.StringIO(line, newline=""), strict=True)) == ["x", value, ""]
    assert line.endswith(",\n")
    assert "\r" not in line.replace(f'"{value}"', "")
