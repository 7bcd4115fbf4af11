"""Results of shards are merged whole, once, and so that the newest line about a destination stays the newest."""

import csv
import fcntl
import os
import random
import signal
import stat
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import merge_copy_results
from linkage.copying import merging
from linkage.copying.results import COLUMNS, COPY_RESULTS, HEADER
from linkage.errors import UnusableInput
from linkage.files import csv_lines
from linkage.ledger import open_ledger
from linkage.paths import SAMPLE_FOLDER
from tests.support.copying import assert_refused


def line(destination: str, second: int, outcome: str = "copied", run: str = "run", error: str = "") -> tuple[str, ...]:
    time = f"2026-01-02T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}.000000Z"
    image, source, etag = f"image {destination}", f"dump/{destination}", "0" * 32
    return run, time, image, "b", source, etag, "b", destination, etag, "1", outcome, "1", error


def write(path: Path, *lines: tuple[str, ...]) -> Path:
    path.write_bytes(HEADER + csv_lines(lines).encode())
    return path


def read(path: Path) -> list[tuple[str, ...]]:
    header, *lines = csv.reader(path.open(encoding="utf-8", newline=""), strict=True)
    assert tuple(header) == COLUMNS
    return [tuple(line) for line in lines]


def newest(path: Path) -> dict[str, str]:
    """Destination → outcome of its last line."""
    return {line[7]: line[10] for line in read(path)}


def shard(folder: Path, number: int, count: int = 2) -> Path:
    return folder / f"copy_results-{number:05}-of-{count:05}.csv"


@pytest.fixture
def merge(run_here, tmp_path):
    """Callable: merge these files into `copy_results.csv` of the data folder, `tmp_path`."""

    def run(*arguments: object):
        return run_here(merge_copy_results.main, *arguments, environment={"LINKAGE_DATA": str(tmp_path)})

    return run


def test_all_lines_of_all_shards_are_added_once(merge, tmp_path):
    merged = write(tmp_path / "copy_results.csv", line("old", 1))
    one = write(shard(tmp_path, 1), line("a", 10), line('b "q",\nü', 30))
    two = write(shard(tmp_path, 2), line("c", 20))
    before = [path.read_bytes() for path in (one, two)]
    ended = merge(one, two)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("files 2   lines 3   added 3   already there 0: ")
    assert read(merged) == [line("old", 1), line("a", 10), line("c", 20), line('b "q",\nü', 30)]
    assert stat.S_IMODE(merged.stat().st_mode) == 0o600
    after = merged.stat()
    ended = merge(two, one)
    assert (ended.returncode, ended.stdout.split(":")[0]) == (0, "files 2   lines 3   added 0   already there 3")
    assert (merged.stat().st_ino, merged.stat().st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert [path.read_bytes() for path in (one, two)] == before


def test_the_newest_line_about_a_destination_stays_the_newest(merge, tmp_path):
    merged = write(
        tmp_path / "copy_results.csv", line("x", 1, "failed"), line("y", 50, "conflict"), line("z", 60, "copied")
    )
    earlier = write(shard(tmp_path, 1, 4), line("x", 10), line("y", 11), line("w", 12, "source_missing"))
    later = write(shard(tmp_path, 1, 3), line("w", 40))
    merge(later, earlier)
    assert newest(merged) == {"x": "copied", "y": "conflict", "w": "copied", "z": "copied"}
    times = [line[1] for line in read(merged)]
    assert times == sorted(times)


def test_within_one_file_the_position_counts_even_where_a_clock_was_set_back(merge, tmp_path):
    merged = write(tmp_path / "copy_results.csv", line("a", 900, "failed"), line("a", 100), line("b", 5, "failed"))
    merge(write(shard(tmp_path, 1), line("c", 800, "failed"), line("c", 10), line("d", 20)))
    assert newest(merged) == {"a": "copied", "b": "failed", "c": "copied", "d": "copied"}
    merge(shard(tmp_path, 1))
    assert len(read(merged)) == 6, "a line was added twice"


def test_random_files_are_merged_in_any_portions_without_losing_a_line(merge, tmp_path, monkeypatch):
    monkeypatch.setattr(merging, "BATCH", 3)
    monkeypatch.setattr(merging, "JOINED", 4)
    chance = random.Random(1)
    merged = write(tmp_path / "copy_results.csv")
    grown = {shard(tmp_path, number, 4): [] for number in range(1, 5)}
    for _ in range(8):
        for path, lines in grown.items():
            for _ in range(chance.randrange(4)):
                second = max([0, *(int(line[8]) for line in lines)]) + chance.randrange(3)
                new = line(f"{path.stem[13:18]}/{chance.randrange(5)}", second, chance.choice(["copied", "failed"]))
                lines.append((*new[:8], str(second), *new[9:]))
            write(path, *lines)
        ended = merge(*chance.sample(sorted(grown), chance.randrange(1, 5)))
        assert ended.returncode == 0, ended
    merge(*grown)
    assert Counter(read(merged)) == Counter(line for lines in grown.values() for line in lines)
    latest = {line[7]: line[10] for lines in grown.values() for line in lines}
    assert newest(merged) == latest


def test_a_line_that_a_file_has_twice_stays_twice_and_one_of_two_files_is_added_once(merge, tmp_path):
    merged = tmp_path / "copy_results.csv"
    merge(write(shard(tmp_path, 1), line("a", 1), line("a", 1)), write(tmp_path / "other.csv", line("a", 1)))
    assert read(merged) == [line("a", 1)] * 2


def test_a_line_that_a_kill_has_torn_is_left_out_with_a_word_and_stays_in_its_file(merge, tmp_path):
    path = write(shard(tmp_path, 1), line("a", 1), line("b", 2))
    path.write_bytes(torn := path.read_bytes()[:-9])
    (empty := shard(tmp_path, 2)).write_bytes(HEADER[:7])
    ended = merge(path, empty)
    assert ended.returncode == 0
    assert f"{path}: the last line is cut off and is left out" in ended.stderr
    assert read(tmp_path / "copy_results.csv") == [line("a", 1)]
    assert path.read_bytes() == torn


def test_a_file_in_the_way_of_a_spreadsheet_is_merged_and_its_lines_are_recognised(merge, tmp_path):
    merged = write(tmp_path / "copy_results.csv", line("a", 1))
    merged.write_bytes(b"\xef\xbb\xbf" + merged.read_bytes().replace(b"\n", b"\r\n").replace(b"image a", b'"image a"'))
    merge(write(shard(tmp_path, 1), line("a", 1), line("b", 2)))
    assert read(merged) == [line("a", 1), line("b", 2)]


REFUSED = {
    "missing": "No such file",
    "another kind": "is not a results file",
    "malformed": "line 2 has 2 fields, not 13",
    "twice": "is named twice",
    "itself": "is the file to write to",
    "running": "a run is writing to",
    "merging": "another run is writing to",
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_merged_is_refused_and_nothing_is_written(merge, tmp_path, case):
    merged = write(tmp_path / "copy_results.csv", line("old", 1))
    one, two = write(shard(tmp_path, 1), line("a", 1)), write(shard(tmp_path, 2), line("b", 1))
    files = [one, two]
    if case == "missing":
        two.unlink()
    elif case == "another kind":
        two.write_text("recid\n1\n")
    elif case == "malformed":
        two.write_bytes(HEADER + b"a,b\n" + csv_lines([line("b", 1)]).encode())
    elif case == "twice":
        files = [one, tmp_path / "." / one.name]
    elif case == "itself":
        files = [one, merged]
    before = merged.read_bytes()
    with (merged if case == "merging" else two if case == "running" else Path(os.devnull)).open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert_refused(merge(*files), saying=REFUSED[case])
    assert merged.read_bytes() == before


def test_the_sample_is_refused(merge, tmp_path):
    ended = merge(write(shard(tmp_path, 1), line("a", 1)), "-o", SAMPLE_FOLDER / "copy_results.csv")
    assert_refused(ended, saying="seeds/sample is the project's own sample")


def test_shards_without_a_file_are_named(merge, tmp_path):
    ended = merge(write(shard(tmp_path, 2, 4), line("a", 1)), write(tmp_path / "other.csv"))
    assert (ended.returncode, ended.stderr.splitlines()) == (
        0,
        ["warning: shards 1, 3, 4 are missing of 4; merge their files, too, once they have run"],
    )


def test_a_run_that_opened_the_file_before_it_was_merged_is_refused(merge, tmp_path, monkeypatch):
    """It would append to a file that no longer has a name."""
    merged = write(tmp_path / "copy_results.csv")
    locks = fcntl.flock

    def merge_first(descriptor, operation):
        monkeypatch.setattr(fcntl, "flock", locks)
        write(tmp_path / "new.csv", line("a", 1)).replace(merged)
        locks(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", merge_first)
    with pytest.raises(UnusableInput, match="has just been replaced"), open_ledger(merged, COPY_RESULTS):
        pass


def test_a_merge_that_is_killed_leaves_the_file_as_it_was(tmp_path):
    merged = write(tmp_path / "copy_results.csv", line("old", 1))
    before = merged.read_bytes()
    path = write(shard(tmp_path, 1), *(line(str(number), number) for number in range(20_000)))
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path)],
        env={**os.environ, "LINKAGE_DATA": str(tmp_path), "PYTHONPATH": "scripts"},
    )
    assert process.wait() == -signal.SIGKILL
    assert merged.read_bytes() == before


KILLED = """
import os, signal
from pathlib import Path
import merge_copy_results
from linkage import files
files.take_names = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
merge_copy_results.main()
"""
