"""The results file and a run's output: whole lines, on disk before they count, one writer, and nothing private."""

import codecs
import csv
import errno
import fcntl
import io
import json
import os
import re
import resource
import signal
import stat
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from copy_objects import main
from linkage import ledger, paths
from linkage import progress as progress_module
from linkage.copying import tables
from linkage.copying.results import COLUMNS, COPY_RESULTS, HEADER, Result
from linkage.errors import UnusableInput
from linkage.files import csv_lines
from linkage.ledger import open_ledger, read_ledger
from linkage.progress import progress
from linkage.seeds import load_seed, make_missing_seeds
from tests.support.copying import (
    DUMP,
    SCRIPT,
    assert_refused,
    objects,
    outcomes,
    picture,
    pictures,
    results,
    row_of,
    without_canary,
    write_manifest,
)
from tests.support.proxy import COPY, answering, answering_proxy, error
from tests.support.servers import S3


def result(number: int, key: str = "patients/1.jpg") -> Result:
    etag = f"{number:032x}"
    return Result("run", "2026-01-02T03:04:05.000006Z", f"image-{number}", "b", f"dump/{number}.jpg", etag, "b", key,
                  etag, number, "copied", 1, "")  # fmt: skip


def lines_of(*results: Result) -> bytes:
    return csv_lines(results).encode()


def read_again(path: Path) -> bytes:
    """What the next run reads, having set aside what is torn."""
    with open_ledger(path, COPY_RESULTS) as file:
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
        with pytest.raises(UnusableInput, match="another run is writing"), open_ledger(file, COPY_RESULTS):
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
    assert b"".join(read_ledger(file, COPY_RESULTS)) == lines_of(result(1))
    assert file.read_bytes() == content
    assert list(tmp_path.iterdir()) == [file]


MALFORMED = {
    "too few fields": (b"a,b\n", "line 3 has 2 fields, not 13"),
    "too many fields": (b"," * 13 + b"\n", "line 3 has more than 13 fields"),
    "not UTF-8": (b"\xff" + b"," * 12 + b"\n", "line 3 is not UTF-8"),
    "a quotation mark inside": (b'"a"b' + b"," * 12 + b"\n", "the quotes in line 3 do not match"),
    "a quotation mark never closed": (b'a,"b' + b"," * 11 + b"\n", "the quotes in line 3 do not match"),
    "another line end": (lines_of(result(3)).replace(b"\n", b"\r\n"), "line 3 ends differently from line 1"),
    "a NUL": (lines_of(result(3)).replace(b"copied", b"cop\0ed"), "line 3 has a NUL byte"),
}


@pytest.mark.parametrize("mode", [(), ("--dry-run",)])
@pytest.mark.parametrize("where", ["in the middle", "at the end"])
@pytest.mark.parametrize("bad", MALFORMED)
def test_a_malformed_line_is_refused_in_the_words_of_the_build(s3, tmp_path, run_here, bad, where, mode):
    """At the end, too, if it has a line end, for a crash leaves none. DuckDB does not mind each of them."""
    line, problem = MALFORMED[bad]
    make_missing_seeds(tmp_path / "data")
    file = tmp_path / "data" / "copy_results.csv"
    lines = [lines_of(result(1)), line] + [lines_of(result(2))] * (where == "in the middle" or "never" in bad)
    content = HEADER + b"".join(lines)
    file.write_bytes(content)
    manifest = write_manifest(tmp_path, [picture(s3, 1)])
    run = run_here(main, manifest, *mode, environment=s3.environment)
    assert run.returncode == 2
    assert run.stderr.splitlines() == [
        f"error: copy_results.csv cannot be read: {problem}; correct that line, or name another file with --results"
    ]
    assert file.read_bytes() == content
    assert not objects(s3, "patients/")
    with duckdb.connect() as connection:
        sentence = load_seed(connection, file, "loaded", list(COLUMNS))
    assert sentence is None or problem in sentence, "the build says something else"


# --- saved by a spreadsheet ------------------------------------------------------------------------------------------


def as_excel(content: bytes) -> bytes:
    return codecs.BOM_UTF8 + content.replace(b"\n", b"\r\n")


def quoted(content: bytes) -> bytes:
    """With quotation marks around all texts."""
    rows = csv.reader(content.decode().splitlines(keepends=True))
    written = io.StringIO()
    csv.writer(written, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(rows)
    return written.getvalue().encode()


SAVED = {
    "BOM and CRLF": as_excel,
    "CRLF": lambda content: content.replace(b"\n", b"\r\n"),
    "BOM": lambda content: codecs.BOM_UTF8 + content,
    "all in quotation marks": quoted,
    "quoted, BOM and CRLF": lambda content: as_excel(quoted(content)),
    "an empty line at the end": lambda content: content + b"\n",
}


@pytest.mark.parametrize("saved", SAVED)
def test_results_that_another_program_saved_are_read_and_appended_to(s3, tmp_path, run_here, saved):
    """Afterwards the build reads them as well: all lines have the first line's end."""
    rows = pictures(s3, 3)
    file = tmp_path / "data" / "copy_results.csv"
    run_here(main, write_manifest(tmp_path, rows[:2]), environment=s3.environment)
    file.write_bytes(content := SAVED[saved](file.read_bytes()))
    manifest = write_manifest(tmp_path, rows)
    assert run_here(main, manifest, "--dry-run", environment=s3.environment).stdout.startswith("Would copy 1 ")
    assert run_here(main, manifest, "--verify", environment=s3.environment).returncode == 1
    assert file.read_bytes() == content
    for _ in range(2):
        assert run_here(main, manifest, environment=s3.environment).returncode == 0
    assert file.read_bytes().startswith(content)
    with duckdb.connect() as connection:
        assert load_seed(connection, file, "loaded", list(COLUMNS), appended=True) is None
        loaded = connection.execute("select destination_key, outcome, error from loaded").fetchall()
    assert Counter(loaded) == Counter(
        [(row.destination_key, "copied", None) for row in rows]
        + [(row.destination_key, "already_present", None) for row in [*rows, *rows[:2]]]
    )


def test_a_line_torn_at_any_byte_is_set_aside_in_a_file_that_a_spreadsheet_saved(tmp_path):
    whole = as_excel(HEADER + lines_of(result(1)))
    last = lines_of(result(2)).replace(b"\n", b"\r\n")
    for cut in range(1, len(last)):
        file = tmp_path / f"{cut}.csv"
        file.write_bytes(whole + last[:cut])
        assert read_again(file) == lines_of(result(1))
        assert file.read_bytes() == whole
    for cut in range(1, whole.index(b"\n")):
        file.write_bytes(whole[:cut])
        assert read_again(file) == b""
        assert file.read_bytes() == HEADER


# --- read while a run is writing -------------------------------------------------------------------------------------


def test_what_is_appended_while_the_results_are_read_is_not_part_of_them(tmp_path, capsys):
    """Half a line is there when the file is opened, and its other half a moment later."""
    file = tmp_path / "results.csv"
    line = lines_of(result(2))
    file.write_bytes(HEADER + lines_of(result(1)) + line[:50])
    records = read_ledger(file, COPY_RESULTS)
    assert next(records) == lines_of(result(1))
    with file.open("ab") as run:
        fcntl.flock(run, fcntl.LOCK_EX)
        run.write(line[50:] + lines_of(*map(result, range(3, 900))))
        run.flush()
        assert list(records) == []
    assert capsys.readouterr().err == "", "nothing is torn while a run is writing"


def test_reading_alone_says_that_a_torn_line_is_left_out(tmp_path, capsys):
    file = tmp_path / "results.csv"
    file.write_bytes(HEADER + lines_of(result(1)) + b"torn")
    assert b"".join(read_ledger(file, COPY_RESULTS)) == lines_of(result(1))
    said = capsys.readouterr().err
    assert said == f"{file}: the last line is cut off and is left out; the next copy run sets it aside\n"


# --- times that never go back ----------------------------------------------------------------------------------------


def times(s3: S3) -> list[str]:
    return [line["recorded_at"] for line in results(s3)]


FUTURE = [("2999-01-02T03:04:05.000006Z", True), ("2999-01-02T03:04:05Z", True), ("2999-01-02T05:04:05+02:00", True)]
PAST = [("2020-01-02T03:04:05Z", False), ("yesterday", False), ("", False), ("9999-99-99", False)]


@pytest.mark.parametrize(("last", "is_ahead"), [*FUTURE, *PAST])
def test_a_run_whose_clock_is_behind_the_last_line_writes_the_last_lines_time(s3, tmp_path, run_here, last, is_ahead):
    (tmp_path / "data").mkdir()
    lines = [result(1)._replace(recorded_at="2999-12-31T00:00:00Z"), result(2)._replace(recorded_at=last)]
    (tmp_path / "data" / "copy_results.csv").write_bytes(HEADER + lines_of(*lines))
    run_here(main, write_manifest(tmp_path, pictures(s3, 3)), environment=s3.environment)
    now = datetime.now(UTC).isoformat()
    assert [time == last for time in times(s3)[2:]] == [is_ahead] * 3
    assert is_ahead or all("2020" < time < now for time in times(s3)[2:])


def test_a_clock_that_is_set_back_during_a_run_does_not_take_the_file_back(s3, tmp_path, run_here, monkeypatch):
    clock = iter([f"2026-01-02T03:04:0{second}.000000Z" for second in (5, 7, 1, 2, 8)])
    monkeypatch.setattr(ledger, "utc_now", lambda: next(clock))
    run_here(main, write_manifest(tmp_path, pictures(s3, 5)), environment=s3.environment)
    assert [time[17:19] for time in times(s3)] == ["05", "07", "07", "07", "08"]


# --- on disk before it counts ----------------------------------------------------------------------------------------


def test_a_full_disk_stops_the_run_and_leaves_whole_lines(s3, tmp_path, run_here, monkeypatch):
    make_missing_seeds(tmp_path / "data")
    manifest = write_manifest(tmp_path, pictures(s3, 60))
    file = tmp_path / "results.csv"
    write = os.write

    def write_while_there_is_room(descriptor: int, content: bytes) -> int:
        room = 6000 - os.fstat(descriptor).st_size
        if not room:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, content[:room])

    with monkeypatch.context() as full_disk:
        full_disk.setattr(ledger.os, "write", write_while_there_is_room)
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
    make_missing_seeds(tmp_path / "data")

    def fail(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(ledger.os, "fsync", fail)
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
        ("run_id", "recorded_at", "image_id", "size", "outcome", "attempts", "error", "source", "destination")
    }
    assert all(isinstance(line["size"], int) and line["attempts"] == 1 for line in lines)
    assert {line["source"]: line["destination"] for line in lines} == {
        f"{s3.bucket}/{row.source_key}": f"{s3.bucket}/{row.destination_key}" for row in rows
    }
    file = tmp_path / "data" / "copy_results.csv"
    assert totals.pop("totals") == {
        "copied": 2, "already_present": 0, "conflict": 0, "source_missing": 0, "source_changed": 1, "held_back": 0,
        "failed": 0,
    }  # fmt: skip
    assert totals.pop("seconds") >= 0
    assert totals.pop("began_at") <= min(line["recorded_at"] for line in lines)
    assert totals == {"run_id": lines[0]["run_id"], "bytes_copied": 18, "results": str(file)}
    assert next(csv.reader(file.open())) == list(COLUMNS)


def test_a_run_ends_with_its_id_its_bytes_its_time_and_its_results(s3, tmp_path, run_here):
    manifest = write_manifest(tmp_path, [*pictures(s3, 2), picture(s3, 3)._replace(source_etag="0" * 32)])
    file = tmp_path / "results.csv"
    run = run_here(main, manifest, "--results", file, environment=s3.environment)
    (run_id,) = {line["run_id"] for line in results(s3, file)}
    last = run.stdout.splitlines()[-1]
    assert re.fullmatch(
        rf"run {run_id}: 18 bytes copied in [\d.]+ s from 2\d{{3}}-[\dT:.-]+Z on; its outcomes are in {file}", last
    )
    dry = run_here(main, manifest, "--dry-run", environment=s3.environment)
    assert "its outcomes are in" not in dry.stdout, "it has none"


WORDS = "Roe-Testcase"


def test_messages_name_the_object_and_the_destination_without_what_a_person_may_have_typed(s3, tmp_path, run_here):
    image_id, patient = "0f0e2b1c-0000-4000-8000-0123456789ab", "1f0e2b1c-0000-4000-8000-0123456789AB"
    keys = {
        f"{DUMP}101.jpg": f"patients/{patient}/images/{image_id}/101.jpg",
        f"{DUMP}102.jpeg": f"by-day/2016-10-18_{image_id}/2016-10-18_102.jpeg",
        f"{DUMP}103.jpg": f"unlinked/{WORDS.lower()}/103.jpg",
        f"{DUMP}{WORDS} 4.jpg": f"patients/{WORDS}/{WORDS} 4.jpg",
    }
    names = {
        f"{DUMP}101.jpg": f"patients/{patient}/images/{image_id}/101.jpg",
        f"{DUMP}102.jpeg": f"by-day/2016-10-18_{image_id}/2016-10-18_102.jpeg",
        f"{DUMP}103.jpg": "unlinked/.../103.jpg",
        f"{DUMP}...": "patients/.../...",
    }
    rows = [row_of(s3, source, destination, "0" * 32, 9) for source, destination in keys.items()]
    manifest = write_manifest(tmp_path, rows)
    for arguments in ([], ["--log-format=json"], ["--dry-run"], ["--verify"]):
        run = run_here(main, manifest, *arguments, environment=s3.environment)
        printed = run.stdout + run.stderr
        assert WORDS.lower() not in printed.lower()
        for row, (source, destination) in zip(rows, names.items(), strict=True):
            (line,) = (line for line in run.stdout.splitlines() if row.image_id in line)
            if line.startswith("{"):
                found = json.loads(line)["source"], json.loads(line)["destination"]
            else:
                found = tuple(line.rpartition(": ")[2].split(" -> "))
            assert found == (f"{s3.bucket}/{source}", f"{s3.bucket}/{destination}")


# --- its output is not read to the end -------------------------------------------------------------------------------


def unread(s3: S3, manifest: Path, *arguments: str, closed: str) -> tuple[int, str]:
    """A run whose output nobody reads any more after its first line: exit code, and what it prints on stderr."""
    read, write = os.pipe()
    command = [sys.executable, SCRIPT, str(manifest), *arguments]
    errors = write if "stderr" in closed else subprocess.PIPE
    process = subprocess.Popen(command, env=s3.environment, stdout=write, stderr=errors)
    os.close(write)
    while os.read(read, 1) not in (b"\n", b""):
        pass
    os.close(read)
    _, said = process.communicate(timeout=120)
    return process.returncode, (said or b"").decode()


@pytest.mark.parametrize("closed", ["stdout", "stdout and stderr"])
def test_a_run_whose_output_is_not_read_any_more_goes_on(s3, tmp_path, closed):
    rows = pictures(s3, 60)
    s3.client.delete_object(Bucket=s3.bucket, Key=rows[-1].source_key)
    manifest = write_manifest(tmp_path, rows)
    with answering_proxy(s3.environment) as proxy:
        proxy.rule = lambda request: time.sleep(0.05) if request.kind == COPY else None
        through = replace(s3, environment=s3.environment | {"AWS_ENDPOINT_URL_S3": proxy.endpoint})
        code, said = unread(through, manifest, "--log-format=json", "--workers=2", closed=closed)
    assert Counter(outcomes(s3)) == {"copied": 59, "source_missing": 1}
    assert code == 1
    assert "Traceback" not in said
    assert "BrokenPipe" not in said


def test_off_a_terminal_progress_is_a_few_lines_with_rate_and_time_left(capsys):
    with progress(40_000) as advance:
        for _ in range(400):
            advance(100)
    lines = capsys.readouterr().err.splitlines()
    assert 10 <= len(lines) <= 20
    assert all(re.fullmatch(r"[\d,]+ of 40,000, [\d,]+/s, \d+:\d\d:\d\d left", line) for line in lines)


def test_off_a_terminal_a_slow_step_shows_a_line_a_minute(capsys, monkeypatch):
    monkeypatch.setattr(progress_module.time, "monotonic", iter([0, 40, 80, 120, 160]).__next__)
    with progress(400) as advance:
        for _ in range(4):
            advance(20)
    monkeypatch.undo()
    assert capsys.readouterr().err.splitlines() == ["40 of 400, 0.5/s, 0:12:00 left", "80 of 400, 0.5/s, 0:10:40 left"]


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
