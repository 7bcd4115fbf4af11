"""The listing of the dump, on a real S3 server."""

import csv
import os
import re
import resource
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus
from xml.sax.saxutils import escape

import pytest

from linkage.errors import UnusableInput
from linkage.paths import PROJECT_ROOT, SAMPLE_FOLDER
from linkage.s3.clients import retrying_client
from linkage.s3.listing import list_objects
from linkage.seeds import SEED_COLUMNS
from list_s3_objects import main
from sandbox.s3_server import client, free_ports
from tests.support.proxy import AnsweringProxy, Reply, answering_proxy, error
from tests.support.servers import S3

PREFIX = "filemaker-import/images-bulk-dump/"
NO_CREDENTIALS = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
ODD_NAMES = [
    "228.jpg", "a b.jpg", "a+b.jpg", "a%20b.jpg", "a%2Fb.jpg", "ü/é 日本.jpg", "q\"uo'te,.jpg", "line\nfeed.jpg",
    "carriage\rreturn.jpg", "tab\tstop", "<&>.png", "?versionId=3", " blank at both ends ", "#1", "''", "=1+1",
]  # fmt: skip


def run_script(environment, *arguments, **options):
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
    run = run_script(s3.environment, f"s3://{s3.bucket}/{PREFIX}", "-o", tmp_path / "out.csv")
    assert (run.returncode, run.stderr) == (0, "")
    rows = read_inventory(tmp_path / "out.csv")
    assert sorted(row["key"] for row in rows) == sorted(PREFIX + name for name in ODD_NAMES)
    assert {row["bucket"] for row in rows} == {s3.bucket}


def test_more_than_a_thousand_keys_are_all_listed(s3_environment, large_bucket, tmp_path):
    run = run_script(s3_environment, f"s3://{large_bucket}/{PREFIX}", "-o", tmp_path / "out.csv")
    assert run.stdout == f"1,101 objects, 1,101 bytes -> {tmp_path / 'out.csv'}\n"
    rows = read_inventory(tmp_path / "out.csv")
    assert len(rows) == 1101
    assert {row["key"] for row in rows} == {f"{PREFIX}{number}.jpg" for number in range(1, 1102)}


def test_the_seed_has_its_columns_and_forms(s3, tmp_path):
    put(s3, ["228.jpg"], b"hello")
    run_script(s3.environment, f"s3://{s3.bucket}/{PREFIX}")
    out = tmp_path / "data" / "s3_inventory.csv"
    (row,) = read_inventory(out)
    assert tuple(row) == SEED_COLUMNS["s3_inventory"]
    assert (row["size"], row["etag"]) == ("5", "5d41402abc4b2a76b9719d911017c592")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", row["last_modified"])
    assert row["storage_class"] == "STANDARD"
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert b"\r" not in out.read_bytes()


def test_the_whole_bucket_is_listed_if_no_prefix_is_named(s3, tmp_path):
    put(s3, ["1.jpg"])
    run = run_script(s3.environment, f"s3://{s3.bucket}", "-o", tmp_path / "out.csv")
    assert run.returncode == 0
    assert [row["key"] for row in read_inventory(tmp_path / "out.csv")] == [f"{PREFIX}1.jpg"]


def test_an_empty_listing_says_to_check_the_prefix(s3, tmp_path):
    run = run_script(s3.environment, f"s3://{s3.bucket}/imports/", "-o", tmp_path / "out.csv")
    assert run.returncode == 0
    assert "check the prefix" in run.stdout
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
    if how == "an invalid bucket":
        return environment, "no bucket", "is not a valid bucket name"
    if how == "a wrong secret":
        return environment | {"AWS_SECRET_ACCESS_KEY": "wrong"}, s3.bucket, "rejected these credentials"
    if how == "a wrong key":
        return environment | {"AWS_ACCESS_KEY_ID": "wrong"}, s3.bucket, "rejected these credentials"
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
        "no such bucket", "an invalid bucket", "a wrong secret", "a wrong key", "no credentials", "no such profile",
        "no url for endpoint", "nobody at the endpoint",
    ],
)  # fmt: skip
def test_an_s3_that_cannot_be_used_gives_one_sentence_and_nothing_is_written(s3, tmp_path, run_here, how):
    environment, bucket, saying = broken(s3, how)
    run = run_here(main, f"s3://{bucket}/{PREFIX}", environment=environment)
    assert_refused(run, tmp_path / "out.csv", saying=saying)
    assert not (tmp_path / "data").exists()


def test_a_listing_that_breaks_off_leaves_the_older_file_unchanged(s3_environment, large_bucket, tmp_path):
    out = tmp_path / "out.csv"
    out.write_text("older\n")
    with answering_proxy(s3_environment) as proxy:
        proxy.rule = lambda request: error(403, "AccessDenied") if "continuation-token" in request.query else None
        environment = s3_environment | {"AWS_ENDPOINT_URL_S3": proxy.endpoint}
        run = run_script(environment, f"s3://{large_bucket}/{PREFIX}", "-o", out)
    assert [len(request.query.get("continuation-token", ())) for request in proxy.seen] == [0, 1]
    assert_refused(run, out, saying="rejected these credentials")
    assert out.read_text() == "older\n"


def test_a_full_disk_leaves_the_older_file_unchanged(s3, tmp_path):
    put(s3, [f"{number}.jpg" for number in range(30)])
    out = tmp_path / "out.csv"
    out.write_text("older\n")

    def small_files_only():
        resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))

    run = run_script(s3.environment, f"s3://{s3.bucket}/{PREFIX}", "-o", out, preexec_fn=small_files_only)
    assert_refused(run, out, saying="File too large")
    assert out.read_text() == "older\n"


def test_the_sample_is_never_written_to(s3):
    before = {path: path.read_bytes() for path in SAMPLE_FOLDER.glob("*.csv")}
    run = run_script(s3.environment | {"LINKAGE_DATA": "seeds/sample"}, f"s3://{s3.bucket}/{PREFIX}")
    assert_refused(run, SAMPLE_FOLDER / "s3_inventory.csv", saying="seeds/sample")
    assert {path: path.read_bytes() for path in SAMPLE_FOLDER.glob("*.csv")} == before


def test_a_missing_folder_is_named(s3, tmp_path):
    put(s3, ["1.jpg"])
    out = tmp_path / "nowhere" / "out.csv"
    run = run_script(s3.environment, f"s3://{s3.bucket}/{PREFIX}", "-o", out)
    assert_refused(run, out, saying=f"cannot write {out}")
    assert not os.path.lexists(out.parent)


# --- the fast parser of listings -------------------------------------------------------------------------------------


def listed_by_boto3(client: Any, bucket: str, prefix: str) -> list[tuple]:
    return [
        (found["Key"], found["Size"], found["ETag"].strip('"'), found["StorageClass"])
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        for found in page.get("Contents", [])
    ]


def through(monkeypatch: pytest.MonkeyPatch, proxy: AnsweringProxy) -> Any:
    """A client of the scripts that goes through the proxy."""
    for name, value in {**proxy.environment, "AWS_ENDPOINT_URL_S3": proxy.endpoint}.items():
        monkeypatch.setenv(name, value)
    return retrying_client()


def without_encoding(request: Any, reply: Reply) -> Reply:
    """A listing from a store that does not know `encoding-type`."""
    decoded = re.sub(
        rb"<Key>(.*?)</Key>",
        lambda found: f"<Key>{escape(unquote_plus(found[1].decode()))}</Key>".encode(),
        reply.body.replace(b"<EncodingType>url</EncodingType>", b""),
    )
    return Reply(reply.status, reply.headers, decoded)


@pytest.mark.parametrize("change", [lambda request, reply: reply, without_encoding])
def test_listings_are_read_as_boto3_reads_them(s3, proxy, monkeypatch, change):
    names = ["a b", "a+b", "a%20b", "ü", "日本", "a&b<c>\"'", "</Contents>", "<Key>x</Key>", "~*()!", "#?;:@=$"]
    for name in names:
        s3.client.put_object(Bucket=s3.bucket, Key=f"x/{name}", Body=name.encode())
    expected = listed_by_boto3(s3.client, s3.bucket, "x/")
    assert {found[0] for found in expected} == {f"x/{name}" for name in names}
    proxy.change = change
    client = through(monkeypatch, proxy)
    pages = list(list_objects(client, s3.bucket, "x/"))
    assert [(one.key, one.size, one.etag, one.storage_class) for page in pages for one in page] == expected
    assert list(list_objects(client, s3.bucket, "nothing/")) == [[]]


NOT_PAGES = {
    "half a page": lambda page: Reply(200, [], page[:150]),
    "half a body": lambda page: Reply(200, [], page[:-1], cut=True),
    "not XML": lambda page: Reply(200, [], b"hello"),
    "another page": lambda page: Reply(200, [], b"<html><body>Please sign in</body></html>"),
    "nothing": lambda page: Reply(200, [], b""),
}


@pytest.mark.parametrize("what", NOT_PAGES)
def test_an_answer_that_is_not_a_page_is_requested_again_or_ends_the_listing(s3, proxy, monkeypatch, what):
    s3.client.put_object(Bucket=s3.bucket, Key="x/1")
    asked = []

    def change(request: Any, reply: Reply) -> Reply:
        asked.append(request)
        return NOT_PAGES[what](reply.body) if len(asked) == 1 else reply

    proxy.change = change
    with suppress(UnusableInput):
        pages = list(list_objects(through(monkeypatch, proxy), s3.bucket, "x/"))
        assert [one.key for page in pages for one in page] == ["x/1"]
        assert len(asked) == 2
