"""The results file and a run's output: whole lines, on disk before they count, one writer, and nothing private."""

import csv
import errno
import fcntl
import json
import os
import re
import resource
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from copy_objects import main
from linkage import paths
from linkage import progress as progress_module
from linkage.copying import results as results_module
from linkage.copying import tables
from linkage.copying.results import COLUMNS, HEADER, Result, open_results, read_results
from linkage.errors import UnusableInput
from linkage.files import csv_lines
from linkage.progress import progress
from tests.support.copying import (
    SCRIPT,
    assert_refused,
    objects,
    outcomes,
    picture,
    pictures,
    results,
    without_canary,
    write_manifest,
)
from tests.support.proxy import COPY, answering, answering_proxy, error


def result(number: int, key: str = "patients/1.jpg") -> Result:
    etag = f"{number:032x}"
    return Result("run", "2026-01-02T03:04:05.000006Z", f"image-{number}", "b", f"dump/{number}.jpg", etag, "b", key,
                  etag, number, "copied", 1, "")  # fmt: skip


def lines_of(*results: Result) -> bytes:
    return csv_lines(results).encode()


def read_again(path: Path) -> bytes:
    """What the next run reads, having set aside what is torn."""
    with open_results(path) as file:
        return b"".join(file.read())


# --- one writer ------------------------------------------------------------------------------------------------------


def test_a_second_run_on_the_same_results_is_refused_at_once(s3, tmp_path, run_here):
    manifest = write_manifest(tmp_path, [picture(s3, 1)])
    file = tmp_path / "results.csv"
    with file.open("wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        run = run_here(main, manifest, "--results", file, environment=s3.environment)
        assert_refused(run, saying=f"another run is writing to {file}")
        assert not objects(s3, "patients/")
        assert file.read_bytes() == b""
    assert run_here(main, manifest, "--results", file, environment=s3.environment).returncode == 0


def test_a_run_holds_its_results_until_it_ends_and_a_dead_one_does_not(s3, tmp_path):
    manifest = write_manifest(tmp_path, pictures(s3, 200))
    file = tmp_path / "results.csv"
    with answering_proxy(s3.environment) as proxy:
        command = [sys.executable, SCRIPT, str(manifest), "--workers=1", f"--results={file}"]
        process = subprocess.Popen(
            command, env=s3.environment | {"AWS_ENDPOINT_URL_S3": proxy.endpoint}, stderr=subprocess.DEVNULL
        )
        while not (file.exists() and file.stat().st_size > len(HEADER)):
            time.sleep(0.01)
        with pytest.raises(UnusableInput, match="another run is writing"), open_results(file):
            pass
        process.kill()
        process.wait()
    assert len(read_again(file)) > 0


# --- torn lines ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["patients/1.jpg", 'patients/a "b",\nü.jpg'])
def test_a_last_line_torn_at_any_byte_is_set_aside(tmp_path, capsys, key):
    whole = HEADER + lines_of(result(1, key), result(2))
    last = lines_of(result(3, key))
    for cut in range(1, len(last)):
        file = tmp_path / f"{cut}.csv"
        file.write_bytes(whole + last[:cut])
        assert read_again(file) == lines_of(result(1, key), result(2))
        assert file.read_bytes() == whole
        aside = tmp_path / f"{cut}.csv.torn"
        assert aside.read_bytes() == last[:cut] + b"\n"
        assert stat.S_IMODE(aside.stat().st_mode) == 0o600
        printed = capsys.readouterr()
        assert re.fullmatch(r"the last line of [^\n]+ was cut off[^\n]+\n", printed.err)
        assert "patients" not in printed.err


def test_a_torn_header_is_written_again(tmp_path):
    for cut in range(len(HEADER)):
        file = tmp_path / f"{cut}.csv"
        file.write_bytes(HEADER[:cut])
        file.chmod(0o644)
        assert read_again(file) == b""
        assert file.read_bytes() == HEADER
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_the_part_of_a_batch_that_a_power_cut_left_is_set_aside(tmp_path):
    file = tmp_path / "results.csv"
    whole = HEADER + lines_of(result(1))
    file.write_bytes(whole + bytes(4096))
    assert read_again(file) == lines_of(result(1))
    assert file.read_bytes() == whole


def test_torn_lines_are_collected(tmp_path):
    file = tmp_path / "results.csv"
    for torn in (b"one", b"two"):
        file.write_bytes(HEADER + torn)
        read_again(file)
    assert (tmp_path / "results.csv.torn").read_bytes() == b"one\ntwo\n"


def test_a_run_continues_after_a_torn_line_and_checks_its_object_again(s3, tmp_path, run_here):
    manifest = write_manifest(tmp_path, pictures(s3, 3))
    file = tmp_path / "data" / "copy_results.csv"
    run_here(main, manifest, environment=s3.environment)
    file.write_bytes(file.read_bytes()[:-20])
    run = run_here(main, manifest, environment=s3.environment)
    assert run.returncode == 0
    assert run.stderr.startswith(f"the last line of {file} was cut off")
    assert outcomes(s3) == ["copied"] * 2 + ["already_present"] * 3


def test_reading_alone_leaves_a_torn_line_where_it_is(tmp_path):
    file = tmp_path / "results.csv"
    content = HEADER + lines_of(result(1)) + b"torn"
    file.write_bytes(content)
    assert b"".join(read_results(file)) == lines_of(result(1))
    assert file.read_bytes() == content
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("bad", [b"a,b\n", b"\n", b"\xff" + b"," * 12 + b"\n", b'"a"b' + b"," * 12 + b"\n"])
def test_a_malformed_record_in_the_middle_is_refused_with_its_number(s3, tmp_path, run_here, bad):
    file = tmp_path / "results.csv"
    content = HEADER + lines_of(result(1)) + bad + lines_of(result(2))
    file.write_bytes(content)
    run = run_here(main, write_manifest(tmp_path, [picture(s3, 1)]), "--results", file, environment=s3.environment)
    assert_refused(run, saying=f"record 3 of {file} is incomplete")
    assert file.read_bytes() == content
    assert not objects(s3, "patients/")


# --- on disk before it counts ----------------------------------------------------------------------------------------


def test_a_full_disk_stops_the_run_and_leaves_whole_lines(s3, tmp_path, run_here, monkeypatch):
    manifest = write_manifest(tmp_path, pictures(s3, 60))
    file = tmp_path / "results.csv"
    write = os.write

    def write_while_there_is_room(descriptor: int, content: bytes) -> int:
        room = 6000 - os.fstat(descriptor).st_size
        if not room:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, content[:room])

    with monkeypatch.context() as full_disk:
        full_disk.setattr(results_module.os, "write", write_while_there_is_room)
        run = run_here(main, manifest, "--results", file, "--workers=4", environment=s3.environment)
    assert_refused(run, saying=f"cannot write to the results file {file}: No space left on device")
    recorded = results(s3, file)
    assert len(recorded) < 60
    assert {line["destination_key"] for line in recorded} <= set(objects(s3, "patients/"))
    assert run_here(main, manifest, "--results", file, environment=s3.environment).returncode == 0
    assert len(results(s3, file)) == len(recorded) + 60


def test_a_full_temporary_folder_gives_one_sentence(s3, tmp_path):
    (tmp_path / "temporary").mkdir()
    run = subprocess.run(
        [sys.executable, SCRIPT, str(write_manifest(tmp_path, [picture(s3, 1)]))],
        env=s3.environment | {"TMPDIR": str(tmp_path / "temporary")},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert_refused(run, saying=f"no room in the temporary folder {tmp_path / 'temporary'}")
    assert not list((tmp_path / "temporary").iterdir())
    assert not objects(s3, "patients/")


def test_leftovers_of_a_killed_run_in_the_temporary_folder_are_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(tables.tempfile, "tempdir", str(tmp_path))
    abandoned, in_use, of_others = (tmp_path / name for name in ("image-linkage-1", "image-linkage-2", "another-3"))
    for folder in (abandoned, in_use, of_others):
        folder.mkdir()
        (folder / "run.duckdb").touch()
        os.utime(folder, (0, 0))
    with tables.locked(in_use), tables.private_tables() as own, tables.private_tables() as others:
        assert own.folder.exists()
        assert set(tmp_path.iterdir()) == {in_use, of_others, own.folder, others.folder}
    assert set(tmp_path.iterdir()) == {in_use, of_others}


def test_outcomes_that_are_not_on_disk_are_neither_counted_nor_logged(s3, tmp_path, run_here, monkeypatch):
    file = tmp_path / "results.csv"
    file.write_bytes(HEADER)

    def fail(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(results_module.os, "fsync", fail)
    manifest = write_manifest(tmp_path, pictures(s3, 3))
    run = run_here(main, manifest, "--results", file, "--log-format=json", environment=s3.environment)
    assert_refused(run, saying="Input/output error")
    assert file.read_bytes() == HEADER


# --- its output ------------------------------------------------------------------------------------------------------


def test_json_is_one_line_for_each_object_and_one_with_the_totals(s3, tmp_path, run_here, monkeypatch):
    monkeypatch.setattr(paths, "PROJECT_ROOT", tmp_path)
    rows = [*pictures(s3, 2), picture(s3, 3)._replace(source_etag="0" * 32)]
    environment = {name: value for name, value in s3.environment.items() if name != "LINKAGE_DATA"}
    run = run_here(main, write_manifest(tmp_path, rows), "--log-format=json", environment=environment)
    assert run.returncode == 1
    *lines, totals = map(json.loads, run.stdout.splitlines())
    assert {(line["image_id"], line["outcome"]) for line in lines} == {
        (rows[0].image_id, "copied"), (rows[1].image_id, "copied"), (rows[2].image_id, "source_changed"),
    }  # fmt: skip
    assert {tuple(line) for line in lines} == {
        ("run_id", "recorded_at", "image_id", "size", "outcome", "attempts", "error")
    }
    assert all(isinstance(line["size"], int) and line["attempts"] == 1 for line in lines)
    assert totals == {
        "totals": {"copied": 2, "already_present": 0, "conflict": 0, "source_missing": 0, "source_changed": 1,
                   "failed": 0}
    }  # fmt: skip
    with (tmp_path / "data" / "copy_results.csv").open() as file:
        assert next(csv.reader(file)) == list(COLUMNS)


def test_no_key_is_printed(s3, tmp_path, run_here):
    rows = [picture(s3, recid)._replace(source_etag="0" * 32) for recid in (101, 102)]
    for arguments in ([], ["--log-format=json"], ["--dry-run"], ["--verify"]):
        run = run_here(main, write_manifest(tmp_path, rows), *arguments, environment=s3.environment)
        printed = run.stdout + run.stderr
        assert "images/b" not in printed
        assert "101.jpg" not in printed
        assert s3.bucket not in printed


def test_off_a_terminal_progress_is_a_few_lines_with_rate_and_time_left(capsys):
    with progress(40_000) as advance:
        for _ in range(400):
            advance(100)
    lines = capsys.readouterr().err.splitlines()
    assert 10 <= len(lines) <= 20
    assert all(re.fullmatch(r"[\d,]+ of 40,000, [\d,]+/s, \d+:\d\d:\d\d left", line) for line in lines)


def test_on_a_terminal_progress_is_one_line_that_is_redrawn(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr(progress_module, "REDRAWN", 0)
    for total, line in ((2_000, r"{} of 2,000, [\d,]+/s, \d:\d\d:\d\d left"), (None, "{} objects")):
        with progress(total) as advance:
            advance(1_000)
            advance(1_000)
        shown = capsys.readouterr().err
        assert re.fullmatch("".join(rf"\r{line.format(count)}\033\[K" for count in ("1,000", "2,000")) + "\n", shown)


def test_ctrl_c_does_not_wait_for_rows_that_wait_for_a_retry(s3, tmp_path):
    row = picture(s3, 1)
    with answering_proxy(s3.environment) as proxy:
        proxy.rule = answering(error(503, "SlowDown"), COPY, key=row.destination_key)
        process = subprocess.Popen(
            [sys.executable, SCRIPT, str(write_manifest(tmp_path, [row]))],
            env=s3.environment | {"AWS_ENDPOINT_URL_S3": proxy.endpoint},
        )
        while len(proxy.copies) < 4:  # the next pause is longer than a second
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130  # of the two minutes that all pauses take
    assert len(proxy.copies) <= 5
    assert outcomes(s3) == []
    assert not without_canary(s3, "patients/")
