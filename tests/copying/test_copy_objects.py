"""Copying the manifest, on a real S3 server: verified, never overwriting anything, and safe to kill."""

import csv
import os
import re
import signal
import stat
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from copy_objects import main
from linkage.copying import rules
from linkage.copying import run as copy_run
from linkage.copying.canary import try_copy
from linkage.copying.manifest import COLUMNS, ManifestRow
from linkage.paths import SAMPLE_FOLDER
from linkage.s3.answers import Answer
from linkage.s3.clients import single_try_client
from linkage.s3.endpoints import find_endpoints
from linkage.s3.engines import open_engine
from linkage.seeds import SEED_COLUMNS, make_missing_seeds
from sandbox.s3_server import free_ports
from tests.support.copying import (
    DUMP,
    MIB,
    SCRIPT,
    assert_refused,
    body,
    by_image,
    count_versions,
    hindered,
    keep_versions,
    objects,
    outcomes,
    picture,
    pictures,
    results,
    row_of,
    upload,
    upload_in_parts,
    without_canary,
    write_manifest,
)
from tests.support.proxy import COPY, HEAD, Closed, Reply, answering_proxy, error, in_turn
from tests.support.servers import S3

SLOW_DOWN = error(503, "SlowDown")


@pytest.fixture
def engine() -> str:
    """The rules are tested on one engine; test_copy_engines checks that both send the same requests."""
    return "boto3"


@pytest.fixture(name="copy")
def copy_fixture(s3: S3, engine: str, run_here: Callable[..., Any]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Callable: a run of the copier over this manifest, in this process."""
    return lambda manifest, *arguments, **environment: run_here(
        main, manifest, f"--engine={engine}", *arguments, environment=s3.environment | environment
    )


# --- one run ---------------------------------------------------------------------------------------------------------


def test_every_row_is_copied_verified_and_recorded(s3, tmp_path, copy):
    rows = pictures(s3, 5)
    originals = objects(s3, DUMP)
    run = copy(write_manifest(tmp_path, rows))
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith(
        "copied 5   already present 0   conflicts 0   sources missing 0   sources changed 0   held back 0   failed 0\n"
    )
    assert [body(s3, row.destination_key) for row in rows] == [body(s3, row.source_key) for row in rows]
    assert objects(s3, DUMP) == originals
    recorded = results(s3)
    assert len({result["run_id"] for result in recorded}) == 1
    for result in recorded:
        (row,) = (row for row in rows if row.image_id == result["image_id"])
        assert {column: str(value) for column, value in row._asdict().items() if column != "source_size"} == {
            column: result[column] for column in COLUMNS if column != "source_size"
        }
        assert result["destination_etag"] == row.source_etag
        assert (result["size"], result["outcome"], result["attempts"], result["error"]) == (
            str(row.source_size), "copied", "1", "",
        )  # fmt: skip
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", result["recorded_at"])
        assert uuid.UUID(result["run_id"]).version == 4
    assert stat.S_IMODE((tmp_path / "data" / "copy_results.csv").stat().st_mode) == 0o600
    assert run.stderr == ""
    printed = run.stdout + run.stderr
    assert "http" not in printed
    assert s3.environment["AWS_ACCESS_KEY_ID"] not in printed


def test_type_metadata_and_tags_are_copied(s3, tmp_path, copy):
    sent = {"ContentType": "image/x-clinic", "CacheControl": "no-cache", "ContentDisposition": "inline"}
    etag = upload(s3, f"{DUMP}1.jpg", Metadata={"taken-by": "nurse"}, Tagging="kind=wound&side=left", **sent)
    row = row_of(s3, f"{DUMP}1.jpg", "patients/1/1.jpg", etag, 9)
    assert copy(write_manifest(tmp_path, [row])).returncode == 0
    found = s3.client.head_object(Bucket=s3.bucket, Key=row.destination_key)
    assert {name: found[name] for name in sent} == sent
    assert found["Metadata"] == {"taken-by": "nurse"}
    tags = s3.client.get_object_tagging(Bucket=s3.bucket, Key=row.destination_key)["TagSet"]
    assert {tag["Key"]: tag["Value"] for tag in tags} == {"kind": "wound", "side": "left"}


def test_copies_can_go_to_another_bucket(s3, tmp_path, copy):
    other = s3.new_bucket()
    etag = upload(s3, "1.jpg")
    assert copy(write_manifest(tmp_path, [row_of(s3, "1.jpg", "patients/1.jpg", etag, 9, other)])).returncode == 0
    assert body(s3, "patients/1.jpg", other) == b"a picture"


def test_the_same_bytes_in_other_parts_are_recognised_and_other_bytes_in_the_same_parts_are_not(s3, tmp_path, copy):
    etag = upload_in_parts(s3, f"{DUMP}1.tif", [b"a" * 5 * MIB, b"b" * MIB])
    whole = row_of(s3, f"{DUMP}1.tif", "patients/whole.tif", etag, 6 * MIB)
    other = row_of(s3, f"{DUMP}1.tif", "patients/other.tif", etag, 6 * MIB)
    upload(s3, whole.destination_key, b"a" * 5 * MIB + b"b" * MIB)
    upload_in_parts(s3, other.destination_key, [b"a" * 5 * MIB, b"c" * MIB])
    copy(write_manifest(tmp_path, [whole, other]), "--workers", 1)
    assert outcomes(s3) == ["already_present", "conflict"]


def test_a_manifest_without_rows_leaves_nothing_to_copy(tmp_path, copy):
    run = copy(write_manifest(tmp_path, []))
    assert run.returncode == 0
    assert run.stdout.startswith("nothing to copy")


def test_a_manifest_with_bom_crlf_and_columns_in_another_order_is_read(s3, tmp_path, copy):
    row = picture(s3, 1)
    manifest = tmp_path / "manifest.csv"
    lines = [",".join(reversed(COLUMNS)), ",".join(str(value) for value in reversed(row)), ""]
    manifest.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    assert "copied 1 " in copy(manifest).stdout


# --- what must never happen ------------------------------------------------------------------------------------------


def test_an_existing_object_is_left_alone_and_a_source_that_differs_from_the_manifest_is_not_copied(s3, tmp_path, copy):
    rows = hindered(s3)
    before = objects(s3)
    run = copy(write_manifest(tmp_path, list(rows.values())), "--workers", 1)
    assert run.returncode == 1
    assert by_image(s3) == {row.image_id: name.partition(",")[0] for name, row in rows.items()}
    assert without_canary(s3) == before
    summary, *listed, _ = run.stdout.splitlines()
    counts = (
        "copied 0   already present 1   conflicts 2   sources missing 1   sources changed 1   held back 0   failed 0"
    )
    assert summary == counts
    assert set(listed) == {
        f"  {row.image_id}  {name.partition(',')[0]}: {s3.bucket}/{row.source_key} -> {s3.bucket}/{row.destination_key}"
        for name, row in list(rows.items())[1:]
    }


def test_the_destination_is_checked_before_the_source(s3, tmp_path, copy):
    gone, changed, changed_conflict = (picture(s3, recid) for recid in (1, 2, 3))
    copy(write_manifest(tmp_path, [gone, changed]))
    s3.client.delete_object(Bucket=s3.bucket, Key=gone.source_key)
    upload(s3, changed.source_key, b"another picture")
    upload(s3, changed_conflict.source_key, b"another picture")
    upload(s3, changed_conflict.destination_key, b"of another size")
    (tmp_path / "data" / "copy_results.csv").unlink()
    copy(write_manifest(tmp_path, [gone, changed, changed_conflict]), "--workers", 1)
    assert outcomes(s3) == ["already_present", "already_present", "conflict"]


def test_a_copy_that_only_a_lost_source_could_prove_gets_the_sources_outcome(s3, tmp_path, copy):
    etag = upload_in_parts(s3, f"{DUMP}1.tif", [b"a" * 5 * MIB, b"b" * MIB])
    row = row_of(s3, f"{DUMP}1.tif", "patients/1.tif", etag, 6 * MIB)
    manifest = write_manifest(tmp_path, [row])
    copy(manifest)
    upload(s3, row.source_key, b"c")
    copy(manifest, "--results", tmp_path / "changed.csv")
    s3.client.delete_object(Bucket=s3.bucket, Key=row.source_key)
    copy(manifest, "--results", tmp_path / "missing.csv")
    files = [None, tmp_path / "changed.csv", tmp_path / "missing.csv"]
    assert [result["outcome"] for file in files for result in results(s3, file)] == [
        "copied", "source_changed", "source_missing",
    ]  # fmt: skip


@pytest.fixture
def send(s3: S3, engine: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[ManifestRow], Answer]]:
    """Callable: the answer to one copy, with nothing before or after it."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    with open_engine(engine, single_try_client(4), find_endpoints([s3.bucket]), 4) as send:
        yield lambda row: try_copy(send, rules.copy_parameters(row))


def test_without_its_condition_a_copy_would_overwrite(s3, send, monkeypatch):
    """The negative control: what exists stays because of IfNoneMatch and nothing else."""
    row = picture(s3, 1)
    upload(s3, row.destination_key, b"somebody else's")
    assert send(row).status == 412
    assert body(s3, row.destination_key) == b"somebody else's"
    monkeypatch.setattr(rules, "copy_conditions", lambda row: {"CopySourceIfMatch": f'"{row.source_etag}"'})
    assert send(row).status == 200
    assert body(s3, row.destination_key) == b"picture 1"


def test_without_its_condition_a_changed_source_would_be_copied(s3, send, monkeypatch):
    """The negative control: nothing is written because of CopySourceIfMatch and nothing else."""
    row = picture(s3, 1)
    upload(s3, row.source_key, b"PICTURE 1")
    assert send(row).status == 412
    assert row.destination_key not in objects(s3)
    monkeypatch.setattr(rules, "copy_conditions", lambda row: {"IfNoneMatch": "*"})
    assert send(row).status == 200
    assert body(s3, row.destination_key) == b"PICTURE 1"


class Answers:
    """An S3 client that knows two objects by their HEADs alone: fields that SeaweedFS does not send."""

    def __init__(self, row: ManifestRow, source: dict, destination: dict) -> None:
        basis = {"ContentLength": row.source_size, "ETag": f'"{row.source_etag}"'}
        self.heads = {row.source_key: basis | source, row.destination_key: basis | destination}
        self.reads: list[str] = []

    def head_object(self, Key, **_):
        return self.heads[Key]

    def get_object(self, Key, **_):
        self.reads.append(Key)
        raise EOFError


FULL_A = {"ChecksumCRC64NVME": "A", "ChecksumType": "FULL_OBJECT"}
FULL_B = {"ChecksumCRC64NVME": "B", "ChecksumType": "FULL_OBJECT"}
PARTS_A = {"ChecksumCRC32": "A-2", "ChecksumType": "COMPOSITE"}
KMS = {"ServerSideEncryption": "aws:kms"}
READ = "both are read"


@pytest.mark.parametrize(
    ("source", "destination", "same"),
    [
        ({}, {}, True),
        ({}, {"ContentLength": 8}, False),
        ({}, {"ETag": '"another"'}, READ),
        (FULL_A, FULL_A | {"ETag": '"another"'}, True),
        (FULL_A, FULL_B, False),
        (FULL_A, {"ChecksumSHA256": "A", "ChecksumType": "FULL_OBJECT"}, True),
        (FULL_A | KMS, FULL_A | KMS | {"ETag": '"another"'}, True),
        (PARTS_A, PARTS_A | {"ETag": '"another"'}, READ),
        (KMS, {}, READ),
        ({}, KMS, READ),
        ({}, {"SSECustomerAlgorithm": "AES256"}, READ),
        ({"ServerSideEncryption": "AES256"}, {"ServerSideEncryption": "AES256"}, True),
    ],
)
def test_the_same_bytes_are_recognised_by_checksum_then_by_etag_then_by_reading(source, destination, same):
    row = ManifestRow("i", "b", "source", "e" * 32, 9, "b", "destination")
    s3 = Answers(row, source, destination)
    if same is READ:
        with pytest.raises(EOFError):
            rules.same_bytes(rules.Store(s3), row, s3.heads["destination"])
    else:
        assert rules.same_bytes(rules.Store(s3), row, s3.heads["destination"]) is same
        assert not s3.reads


# --- killed, twice at once, stopped ----------------------------------------------------------------------------------


def start(s3: S3, manifest: Path, *arguments) -> subprocess.Popen[str]:
    command = [sys.executable, SCRIPT, str(manifest), *map(str, arguments)]
    return subprocess.Popen(command, env=s3.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_lines(path: Path, count: int) -> None:
    deadline = time.monotonic() + 60
    while not path.exists() or path.read_bytes().count(b"\n") < count:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_two_runs_at_once_copy_nothing_twice_and_lose_nothing(s3, tmp_path):
    keep_versions(s3)
    rows = pictures(s3, 200)
    manifest = write_manifest(tmp_path, rows)
    files = {engine: tmp_path / f"{engine}.csv" for engine in ("crt", "boto3")}
    runs = [start(s3, manifest, "--engine", engine, "--results", file) for engine, file in files.items()]
    for run in runs:
        _, errors = run.communicate()
        assert run.returncode == 0, errors
    first, second = ({result["image_id"]: result["outcome"] for result in results(s3, file)} for file in files.values())
    assert first.keys() == second.keys() == {row.image_id for row in rows}
    together = Counter((first[row.image_id], second[row.image_id]) for row in rows)
    assert together.keys() <= {("copied", "already_present"), ("already_present", "copied")}
    copies = {row.destination_key: 1 for row in rows}
    assert count_versions(s3, "patients/") == copies | {"patients/image-linkage-canary": 1}


def test_of_two_copies_to_one_key_at_the_same_moment_one_succeeds_and_one_is_refused(s3, send):
    keep_versions(s3)
    rows = pictures(s3, 12)
    together = threading.Barrier(2)

    def copy_all() -> list[int]:
        found = []
        for row in rows:
            together.wait()
            found.append(send(row).status)
        return found

    with ThreadPoolExecutor(2) as pool:
        first, second = (future.result() for future in [pool.submit(copy_all) for _ in range(2)])
    assert {frozenset(pair) for pair in zip(first, second, strict=True)} == {frozenset((200, 412))}
    assert count_versions(s3, "patients/") == {row.destination_key: 1 for row in rows}


def test_a_results_file_that_another_run_has_just_made_is_not_replaced(tmp_path, monkeypatch):
    file = tmp_path / "copy_results.csv"
    file.write_text("another run's outcomes\n")
    monkeypatch.setattr(Path, "exists", lambda _: False)  # as it was when this run looked
    make_missing_seeds(tmp_path)
    assert file.read_text() == "another run's outcomes\n"
    assert len(list(tmp_path.iterdir())) == len(SEED_COLUMNS)


def test_ctrl_c_finishes_requests_in_flight_and_says_how_to_continue(s3, tmp_path, engine, copy):
    rows = pictures(s3, 250)
    manifest = write_manifest(tmp_path, rows)
    with answering_proxy(s3.environment) as proxy:  # which makes it slow enough
        through = replace(s3, environment=s3.environment | {"AWS_ENDPOINT_URL_S3": proxy.endpoint})
        process = start(through, manifest, "--engine", engine, "--workers", 2)
        wait_for_lines(tmp_path / "data" / "copy_results.csv", 10)
        process.send_signal(signal.SIGINT)
        printed, errors = process.communicate()
    assert process.returncode == 130
    assert errors.splitlines()[-1] == "stopped by Ctrl-C; run the same command again to continue where this run ended"
    assert "Traceback" not in errors
    recorded = {result["destination_key"] for result in results(s3)}
    assert recorded == set(without_canary(s3, "patients/"))
    assert 0 < len(recorded) < len(rows)
    assert f"copied {len(recorded)} " in printed
    assert copy(manifest).returncode == 0


# --- dry run ---------------------------------------------------------------------------------------------------------


def test_a_dry_run_reports_what_a_run_would_do_and_writes_nothing(s3, tmp_path, copy):
    manifest = write_manifest(tmp_path, [*pictures(s3, 3), *hindered(s3).values()])
    before = objects(s3)
    dry = copy(manifest, "--dry-run")
    assert dry.returncode == 1
    assert dry.stdout.startswith("Would copy 3   already present 1   conflicts 2   ")
    assert objects(s3) == before
    assert list(tmp_path.iterdir()) == [manifest]
    *lines, _ = copy(manifest).stdout.splitlines()
    assert sorted(lines) == sorted(dry.stdout.replace("Would copy", "copied").splitlines())


# --- faults of S3 ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("faults", "outcome", "attempts", "error"),
    [
        ([SLOW_DOWN, SLOW_DOWN], "copied", 3, ""),
        ([error(200, "InternalError")], "copied", 2, ""),
        ([Reply(200, [], b"<?xml version='1.0'?><CopyObjectRe")], "copied", 2, ""),
        ([Closed(done=True)], "already_present", 2, ""),
        ([SLOW_DOWN] * 5, "failed", 5, "SlowDown"),
    ],
    ids=["slow down", "error in a 200", "half an answer", "lost answer", "no end of it"],
)
def test_faults_are_waited_out_or_recorded(s3, tmp_path, copy, monkeypatch, faults, outcome, attempts, error):
    monkeypatch.setattr(copy_run, "PAUSES", (0.01,) * 4)
    row, faults = picture(s3, 1), deque(faults)
    with answering_proxy(s3.environment) as proxy:
        proxy.rule = in_turn(faults, COPY, key=row.destination_key)
        run = copy(write_manifest(tmp_path, [row]), AWS_ENDPOINT_URL_S3=proxy.endpoint)
    assert not faults
    (result,) = results(s3)
    assert (result["outcome"], result["attempts"], result["error"]) == (outcome, str(attempts), error)
    assert run.returncode == (1 if outcome == "failed" else 0)
    assert (row.destination_key in objects(s3)) == (outcome != "failed")


def test_a_copy_whose_verification_was_interrupted_is_not_made_again(s3, tmp_path, copy):
    etag = upload_in_parts(s3, f"{DUMP}1.tif", [b"a" * 5 * MIB, b"b" * MIB])
    row = row_of(s3, f"{DUMP}1.tif", "patients/1.tif", etag, 6 * MIB)
    faults = deque([SLOW_DOWN] * 2)
    with answering_proxy(s3.environment) as proxy:
        proxy.rule = in_turn(faults, HEAD, key=row.destination_key)
        copy(write_manifest(tmp_path, [row]), AWS_ENDPOINT_URL_S3=proxy.endpoint)
    assert outcomes(s3) == ["copied"]
    assert not faults
    assert proxy.copies == [row.destination_key]


def test_up_to_twenty_rows_that_are_not_done_are_named(s3, tmp_path, copy):
    rows = [row_of(s3, f"{DUMP}{recid}.jpg", f"patients/{recid}.jpg", "0" * 32, 9) for recid in range(25)]
    run = copy(write_manifest(tmp_path, rows))
    _, *listed, _ = run.stdout.splitlines()
    assert (
        len({line.partition(":")[0] for line in listed} & {f"  {row.image_id}  source_missing" for row in rows}) == 20
    )
    assert listed[-1] == f"  and 5 more: see {tmp_path / 'data' / 'copy_results.csv'}"


# --- inputs that are newer than the manifest -------------------------------------------------------------------------

NEWER = ("filemaker_images_metadata", "held_images", "nexus_patients")


@pytest.mark.parametrize("arguments", [[], ["--dry-run"], ["--log-format=json"]])
def test_inputs_that_are_newer_than_the_manifest_are_named_and_the_run_goes_on(s3, tmp_path, copy, arguments):
    data = tmp_path / "data"
    make_missing_seeds(data)
    manifest = write_manifest(tmp_path, pictures(s3, 2))
    for seed in (*NEWER, "copy_results"):
        os.utime(data / f"{seed}.csv", (later := manifest.stat().st_mtime + 60, later))
    run = copy(manifest, *arguments)
    assert run.returncode == 0
    names = "filemaker_images_metadata.csv, nexus_patients.csv, held_images.csv"
    assert run.stderr.startswith(f"warning: {names} changed after {manifest} was written; run `dbt build` again")
    assert run.stderr.count("\n") == 1


def test_seeds_that_copying_itself_makes_are_not_newer(s3, tmp_path, copy):
    manifest = write_manifest(tmp_path, pictures(s3, 2))
    for _ in range(2):
        assert copy(manifest).stderr == ""
    os.utime(manifest, (0, 0))
    assert copy(manifest, "--verify").stderr == ""
    assert "warning: filemaker_images_metadata.csv, s3_inventory.csv" in copy(manifest).stderr


# --- bad input -------------------------------------------------------------------------------------------------------

GOOD = ("id", "clinic", f"{DUMP}1.jpg", "0" * 32, "9", "clinic", "patients/1.jpg")


def changed(**values: str) -> tuple[str, ...]:
    return tuple(values.get(column, value) for column, value in zip(COLUMNS, GOOD, strict=True))


BAD_MANIFESTS = {
    "an empty file": (b"", "is empty"),
    "an unknown column": ([(*COLUMNS, "note"), (*GOOD, "x")], "the columns must be"),
    "a missing column": ([COLUMNS[:-1], GOOD[:-1]], "the columns must be"),
    "a repeated column": ([(*COLUMNS[:-1], "image_id"), GOOD], "the columns must be"),
    "no header": ([GOOD], "line 1: the columns must be"),
    "too few fields": ([COLUMNS, GOOD, GOOD[:-1]], "line 3 has too few fields"),
    "too many fields": ([COLUMNS, (*GOOD, "x")], "line 2 has too many fields"),
    "a quotation mark never closed": (
        ",".join(COLUMNS).encode() + b'\nid,"clinic\n',
        "line 2 has quotation marks that do not match",
    ),
    "text after a quotation mark": (
        ",".join(COLUMNS).encode() + b'\n"id"x,b,k,e,1,b,d\n',
        "line 2 has quotation marks that do not match",
    ),
    "line feeds and a wrong number of fields": (
        ",".join(COLUMNS).encode() + b'\nid,b,d/k,e,1,b,"a\nb"\nid,b,d/k,e,1\n',
        "line 4 has too few fields",
    ),
    "an empty line": (
        [COLUMNS, GOOD, [], changed(destination_key="patients/2.jpg")],
        "quotation marks or line ends are not",
    ),
    "line ends of two kinds": (
        ",".join(COLUMNS).encode() + b"\r\nid,b,d/k,e,1,b,a\nid,b,d/k,e,1,b,c\r\n",
        "quotation marks or line ends are not",
    ),
    "a NUL in a value": ([COLUMNS, GOOD, changed(destination_key="patients/2\0.jpg")], "line 3 has a NUL byte"),
    "NULs at the end": (",".join(COLUMNS).encode() + b"\nid,b,d/k,e,1,b,a\n" + bytes(99), "line 3 has a NUL byte"),
    "bytes that are not UTF-8": (",".join(COLUMNS).encode() + b"\nid,b,k\xff,e,1,b,d\n", "line 2 is not UTF-8"),
    "UTF-16": (",".join(COLUMNS).encode("utf-16"), "line 1 is not UTF-8"),
    "no image id": ([COLUMNS, changed(image_id="")], "line 2: image_id is empty"),
    "no source bucket": ([COLUMNS, changed(source_bucket="")], "line 2: source_bucket is empty"),
    "no source key": ([COLUMNS, changed(source_key="")], "line 2: source_key is empty"),
    "no ETag": ([COLUMNS, changed(source_etag="")], "line 2: source_etag is empty"),
    "no size": ([COLUMNS, changed(source_size="")], "line 2: source_size is empty"),
    "a size in words": ([COLUMNS, changed(source_size="nine")], "line 2: source_size is not a number"),
    "a negative size": ([COLUMNS, changed(source_size="-9")], "line 2: source_size is not a number"),
    "no destination bucket": ([COLUMNS, changed(destination_bucket="")], "line 2: destination_bucket is empty"),
    "no destination key": ([COLUMNS, changed(destination_key="")], "line 2: destination_key is empty"),
    "a repeated destination": (
        [COLUMNS, GOOD, changed(image_id="other")],
        "line 3: the destination already appears in an",
    ),
    "a destination repeated once folded": (
        [COLUMNS, GOOD, changed(destination_key="patients//./x/../1.jpg")],
        "line 3: the destination already appears in an",
    ),
    "a long record before": (
        [COLUMNS, changed(destination_key="patients/line\nfeed"), changed(source_etag="")],
        "line 4: source_etag is empty",
    ),
    "a destination that is a later line's source": (
        [COLUMNS, changed(destination_key="late/7.jpg"), changed(source_key="late/7.jpg")],
        "line 2: the destination is under a source prefix",
    ),
}


@pytest.mark.parametrize("name", BAD_MANIFESTS)
def test_a_manifest_that_cannot_be_used_is_refused_as_a_whole(s3, tmp_path, run_here, name):
    content, saying = BAD_MANIFESTS[name]
    manifest = tmp_path / "manifest.csv"
    if isinstance(content, bytes):
        manifest.write_bytes(content)
    else:
        with manifest.open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(content)
    assert_refused(run_here(main, manifest, environment=s3.environment), saying=saying)
    assert list(tmp_path.iterdir()) == [manifest]


@pytest.mark.parametrize(
    ("source", "destination"),
    [
        (f"{DUMP}1.jpg", f"{DUMP}copies/1.jpg"),
        ("elsewhere/1.jpg", f"{DUMP}1.jpg"),
        (f"{DUMP}1.jpg", "filemaker-import//images-bulk-dump/1.jpg"),
        (f"{DUMP}1.jpg", "/filemaker-import/images-bulk-dump/2.jpg"),
        (f"{DUMP}1.jpg", "patients/../filemaker-import/./images-bulk-dump/2.jpg"),
        (f"{DUMP}1.jpg", "filemaker-import\\images-bulk-dump\\2.jpg"),
        (f"{DUMP}1.jpg", "filemaker-import/images-bulk-dump"),
        ("older//dump/1.jpg", "older/dump/2.jpg"),
        ("dump/img_1.jpg", "dump/img_2.jpg"),
        ("dump/scan.jpg", "dump/x/2.jpg"),
        ("1.jpg", "patients/1.jpg"),
    ],
)
def test_a_destination_under_a_source_prefix_is_refused(s3, tmp_path, run_here, source, destination):
    row = row_of(s3, source, destination, upload(s3, source), 9)
    manifest = write_manifest(tmp_path, [row, picture(s3, 7)])
    before = objects(s3)
    run = run_here(main, manifest, environment=s3.environment)
    assert_refused(run, saying="manifest line 2: the destination is under a source prefix")
    assert objects(s3) == before
    assert list(tmp_path.iterdir()) == [manifest]


def test_the_originals_prefix_is_out_of_bounds_in_every_bucket(s3, tmp_path, copy):
    row = picture(s3, 1)._replace(destination_key=f"{DUMP}copies/1.jpg", destination_bucket=s3.new_bucket())
    assert_refused(copy(write_manifest(tmp_path, [row])), saying="under a source prefix")


def test_a_missing_manifest_is_named(s3, tmp_path, copy):
    assert_refused(copy(tmp_path / "manifest.csv"), saying=f"cannot read the manifest {tmp_path / 'manifest.csv'}")


@pytest.mark.parametrize(("option", "value"), [("--limit", "0"), ("--limit", "many"), ("--workers", "-1")])
def test_limit_and_workers_are_whole_numbers_above_0(s3, tmp_path, run_here, option, value):
    run = run_here(main, write_manifest(tmp_path, []), f"{option}={value}", environment=s3.environment)
    assert run.returncode == 2
    assert "must be a whole number above 0" in run.stderr


@pytest.mark.parametrize("arguments", [[], ["--dry-run"], ["--verify"]])
def test_an_s3_that_cannot_be_used_gives_one_sentence_and_nothing_is_written(s3, tmp_path, copy, arguments):
    row = row_of(s3, f"{DUMP}1.jpg", "patients/1.jpg", "0" * 32, 9)
    manifest = write_manifest(tmp_path, [row])
    nobody = {"AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{free_ports(1)[0]}"}
    assert_refused(copy(manifest, *arguments, **nobody), saying="cannot be reached")
    manifest = write_manifest(tmp_path, [row._replace(destination_bucket="clinic-of-nobody")])
    assert_refused(copy(manifest, *arguments), saying="the bucket 'clinic-of-nobody' does not exist")
    assert list(tmp_path.iterdir()) == [manifest]


@pytest.mark.parametrize("header", ["image_id,outcome\n", ";".join(SEED_COLUMNS["copy_results"]) + "\n"])
def test_a_results_file_of_another_kind_is_refused_before_anything_is_copied(s3, tmp_path, header, copy):
    file = tmp_path / "results.csv"
    file.write_bytes(header.encode())
    run = copy(write_manifest(tmp_path, [picture(s3, 1)]), "--results", file)
    assert_refused(run, saying="its first line is not the header")
    assert file.read_bytes() == header.encode()
    assert not objects(s3, "patients/")


def test_results_go_neither_to_the_sample_nor_to_a_missing_folder(s3, tmp_path, copy):
    manifest = write_manifest(tmp_path, [picture(s3, 1)])
    assert_refused(copy(manifest, "--results", SAMPLE_FOLDER / "copy_results.csv"), saying="seeds/sample")
    assert_refused(copy(manifest, "--results", tmp_path / "nowhere" / "results.csv"), saying="cannot write")
    assert not objects(s3, "patients/")
