"""The listing of the dump, on a real S3 server."""

import csv
import os
import re
import resource
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from linkage.paths import PROJECT_ROOT, SAMPLE_FOLDER
from linkage.seeds import SEED_COLUMNS
from list_s3_objects import main
from sandbox.s3_server import client, free_ports
from tests.support.proxy import answering_proxy, error
from tests.support.servers import S3

PREFIX = "filemaker-import/images-bulk-dump/"
NO_CREDENTIALS = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
ODD_NAMES = [
    "228.jpg", "a b.jpg", "a+b.jpg", "a%20b.jpg", "a%2Fb.jpg", "ü/é 日本.jpg", "q\"uo'te,.jpg", "line\nfeed.jpg",
    "carriage\rreturn.jpg", "tab\tstop", "<&>.png", "?versionId=3", " blank at both ends ", "#1", "''", "=1+1",
]  # fmt: skip


def list_objects(environment, *arguments, **options):
    return subprocess.run(
        [sys.executable, str(PROJECT_ROOT / "scripts" / "list_s3_objects.py"), *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


def put(s3, names, body=b"x"):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: s3.client.put_object(Bucket=s3.bucket, Key=PREFIX + name, Body=body), names))


def read_inventory(path):
    with Path(path).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


def assert_refused(run, out, *, saying):
    assert run.returncode == 2
    assert run.stdout == ""
    assert re.fullmatch(r"error: [^\n]+\n", run.stderr), run.stderr
    assert saying in run.stderr
    assert not list(out.parent.glob(f".{out.name}*"))


@pytest.fixture(scope="module")
def large_bucket(s3_environment):
    """The name of a bucket with 1,101 objects under PREFIX and one elsewhere."""
    server = S3(client(s3_environment), "", s3_environment)
    bucket = S3(server.client, server.new_bucket(), s3_environment)
    put(bucket, [f"{number}.jpg" for number in range(1, 1102)])
    bucket.client.put_object(Bucket=bucket.bucket, Key="elsewhere/1.jpg", Body=b"x")
    return bucket.bucket


def test_every_key_is_listed_exactly_as_the_object_is_named(s3, tmp_path):
    put(s3, ODD_NAMES)
    run = list_objects(s3.environment, f"s3://{s3.bucket}/{PREFIX}", "-o", tmp_path / "out.csv")
    assert (run.returncode, run.stderr) == (0, "")
    rows = read_inventory(tmp_path / "out.csv")
    assert sorted(row["key"] for row in rows) == sorted(PREFIX + name for name in ODD_NAMES)
    assert {row["bucket"] for row in rows} == {s3.bucket}


def test_more_than_a_thousand_keys_are_all_listed(s3_environment, large_bucket, tmp_path):
    run = list_objects(s3_environment, f"s3://{large_bucket}/{PREFIX}", "-o", tmp_path / "out.csv")
    assert run.stdout == f"1,101 objects, 1,101 bytes -> {tmp_path / 'out.csv'}\n"
    rows = read_inventory(tmp_path / "out.csv")
    assert len(rows) == 1101
    assert {row["key"] for row in rows} == {f"{PREFIX}{number}.jpg" for number in range(1, 1102)}


def test_the_seed_has_the_contracts_columns_and_forms(s3, tmp_path):
    put(s3, ["228.jpg"], b"hello")
    list_objects(s3.environment, f"s3://{s3.bucket}/{PREFIX}")
    out = tmp_path / "data" / "s3_inventory.csv"
    (row,) = read_inventory(out)
    assert tuple(row) == SEED_COLUMNS["s3_inventory"]
    assert (row["size"], row["etag"]) == ("5", "5d41402abc4b2a76b9719d911017c592")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", row["last_modified"])
    assert row["storage_class"] == "STANDARD"
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert b"\r" not in out.read_bytes()


def test_the_whole_bucket_is_listed_where_no_prefix_is_named(s3, tmp_path):
    put(s3, ["1.jpg"])
    run = list_objects(s3.environment, f"s3://{s3.bucket}", "-o", tmp_path / "out.csv")
    assert run.returncode == 0
    assert [row["key"] for row in read_inventory(tmp_path / "out.csv")] == [f"{PREFIX}1.jpg"]


def test_no_object_is_no_error_but_a_question(s3, tmp_path):
    run = list_objects(s3.environment, f"s3://{s3.bucket}/imports/", "-o", tmp_path / "out.csv")
    assert run.returncode == 0
    assert "is that the right prefix?" in run.stdout
    assert (tmp_path / "out.csv").read_text() == ",".join(SEED_COLUMNS["s3_inventory"]) + "\n"


@pytest.mark.parametrize("url", ["bucket/prefix", "s3://", "s3:///prefix", "https://bucket/prefix", "s3:bucket"])
def test_another_url_is_refused(s3, tmp_path, run_here, url):
    run = run_here(main, url, "-o", tmp_path / "out.csv", environment=s3.environment)
    assert_refused(run, tmp_path / "out.csv", saying="s3://BUCKET/PREFIX")
    assert not (tmp_path / "out.csv").exists()


def broken(s3, how):
    """An environment or a bucket that cannot be used, and what must be said about it."""
    environment = dict(s3.environment)
    if how == "no such bucket":
        return environment, "clinic-of-nobody", "does not exist"
    if how == "an impossible bucket":
        return environment, "no bucket", "cannot be a bucket's name"
    if how == "a wrong secret":
        return environment | {"AWS_SECRET_ACCESS_KEY": "wrong"}, s3.bucket, "refused these credentials"
    if how == "a wrong key":
        return environment | {"AWS_ACCESS_KEY_ID": "wrong"}, s3.bucket, "refused these credentials"
    if how == "no credentials":
        kept = {name: value for name, value in environment.items() if name not in NO_CREDENTIALS}
        return kept, s3.bucket, "no S3 credentials found"
    if how == "no such profile":
        return environment | {"AWS_PROFILE": "nobody"}, s3.bucket, "AWS_PROFILE"
    if how == "no url for endpoint":
        return environment | {"AWS_ENDPOINT_URL_S3": "not a url"}, s3.bucket, "S3 cannot be used"
    assert how == "nobody at the endpoint"
    return environment | {"AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{free_ports(1)[0]}"}, s3.bucket, "cannot be reached"


@pytest.mark.parametrize(
    "how",
    [
        "no such bucket", "an impossible bucket", "a wrong secret", "a wrong key", "no credentials", "no such profile",
        "no url for endpoint", "nobody at the endpoint",
    ],
)  # fmt: skip
def test_an_s3_that_cannot_be_used_is_one_sentence_within_seconds_and_nothing_is_written(s3, tmp_path, run_here, how):
    environment, bucket, saying = broken(s3, how)
    started = time.monotonic()
    run = run_here(main, f"s3://{bucket}/{PREFIX}", environment=environment)
    assert time.monotonic() - started < 20
    assert_refused(run, tmp_path / "out.csv", saying=saying)
    assert not (tmp_path / "data").exists()


def test_a_listing_that_breaks_off_leaves_the_older_file_as_it_was(s3_environment, large_bucket, tmp_path):
    out = tmp_path / "out.csv"
    out.write_text("older\n")
    with answering_proxy(s3_environment) as proxy:
        proxy.rule = lambda request: error(403, "AccessDenied") if "continuation-token" in request.query else None
        environment = s3_environment | {"AWS_ENDPOINT_URL_S3": proxy.endpoint}
        run = list_objects(environment, f"s3://{large_bucket}/{PREFIX}", "-o", out)
    assert [len(request.query.get("continuation-token", ())) for request in proxy.seen] == [0, 1]
    assert_refused(run, out, saying="refused these credentials")
    assert out.read_text() == "older\n"


def test_a_full_disk_leaves_the_older_file_as_it_was(s3, tmp_path):
    put(s3, [f"{number}.jpg" for number in range(30)])
    out = tmp_path / "out.csv"
    out.write_text("older\n")

    def small_files_only():
        resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))

    run = list_objects(s3.environment, f"s3://{s3.bucket}/{PREFIX}", "-o", out, preexec_fn=small_files_only)
    assert_refused(run, out, saying="File too large")
    assert out.read_text() == "older\n"


def test_the_sample_is_never_written_to(s3):
    before = {path: path.read_bytes() for path in SAMPLE_FOLDER.glob("*.csv")}
    run = list_objects(s3.environment | {"LINKAGE_DATA": "seeds/sample"}, f"s3://{s3.bucket}/{PREFIX}")
    assert_refused(run, SAMPLE_FOLDER / "s3_inventory.csv", saying="seeds/sample")
    assert {path: path.read_bytes() for path in SAMPLE_FOLDER.glob("*.csv")} == before


def test_a_folder_that_is_not_there_is_named(s3, tmp_path):
    put(s3, ["1.jpg"])
    out = tmp_path / "nowhere" / "out.csv"
    run = list_objects(s3.environment, f"s3://{s3.bucket}/{PREFIX}", "-o", out)
    assert_refused(run, out, saying=f"cannot write {out}")
    assert not os.path.lexists(out.parent)
