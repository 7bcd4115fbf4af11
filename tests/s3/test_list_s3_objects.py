"""The listing of the dump, on a real S3 server; what ends early or contradicts itself is not a listing."""

import csv
import os
import re
import resource
import stat
import subprocess
import sys
from collections.abc import Callable
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
from linkage.seeds import SEED_COLUMNS, make_missing_seeds
from list_s3_objects import main
from sandbox.s3_server import client, free_ports
from tests.support.copying import DUMP, only_line, pictures, without_canary
from tests.support.proxy import LIST, AnsweringProxy, Reply, answering_proxy, error
from tests.support.servers import S3

CASES = PROJECT_ROOT / "tests" / "cases"
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


@pytest.mark.parametrize("prefix", ["imports/", f"{PREFIX}228.jpg/", ""])
def test_a_listing_without_any_object_is_refused_and_an_older_file_stays(s3, tmp_path, run_here, prefix):
    if prefix:
        put(s3, ["228.jpg"])
    out = tmp_path / "out.csv"
    out.write_text("older\n")
    run = run_here(main, f"s3://{s3.bucket}/{prefix}", "-o", out, environment=s3.environment)
    assert_refused(run, out, saying="check the prefix")
    assert out.read_text() == "older\n"


def test_dump_is_the_default_of_the_argument(s3, tmp_path, run_here):
    put(s3, ["1.jpg"])
    out, dump = tmp_path / "out.csv", {"DUMP": f"s3://{s3.bucket}/{PREFIX}"}
    assert run_here(main, "-o", out, environment=s3.environment | dump).returncode == 0
    assert len(read_inventory(out)) == 1
    run = run_here(main, f"s3://{s3.bucket}/elsewhere/", "-o", out, environment=s3.environment | dump)
    assert_refused(run, out, saying="'elsewhere/'")


@pytest.mark.parametrize("dump", [{}, {"DUMP": ""}])
def test_without_a_dump_both_ways_to_name_it_are_said(s3, tmp_path, run_here, dump):
    run = run_here(main, "-o", tmp_path / "out.csv", environment=s3.environment | dump)
    assert_refused(run, tmp_path / "out.csv", saying="DUMP")


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
        return environment | {"AWS_ENDPOINT_URL_S3": "not a url"}, s3.bucket, "AWS_ENDPOINT_URL_S3 is not an address"
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
    assert_refused(run, out, saying="s3:ListBucket")
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
    put(s3, ["1.jpg"])
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


# --- what ends early is not whole ------------------------------------------------------------------------------------

TRUNCATED, LAST = b"<IsTruncated>true</IsTruncated>", b"<IsTruncated>false</IsTruncated>"
ETAG = re.compile(rb"<ETag>.*?</ETag>")
CONTENTS = re.compile(rb"<Contents>.*</Contents>", re.DOTALL)
KEY_COUNT = re.compile(rb"<KeyCount>\d+</KeyCount>")
NOT_WHOLE: dict[str, tuple[Callable[[bytes], bytes], str]] = {  # a change to a page, and what must be said
    "more, but no token": (lambda page: page.replace(LAST, TRUNCATED), "NextContinuationToken"),
    "more, but an empty token": (
        lambda page: page.replace(LAST, TRUNCATED + b"<NextContinuationToken></NextContinuationToken>"),
        "NextContinuationToken",
    ),
    "not whether more follow": (lambda page: page.replace(LAST, b""), "does not say whether more follow"),
    "more, perhaps": (lambda page: page.replace(b"false", b"perhaps"), "does not say whether more follow"),
    "fewer keys than counted": (
        lambda page: page.replace(b"<KeyCount>3</KeyCount>", b"<KeyCount>4</KeyCount>"), "lacks some of its objects"
    ),
    "no keys, but counted": (lambda page: CONTENTS.sub(b"", page), "lacks some of its objects"),
    "keys in groups": (
        lambda page: page.replace(LAST, LAST + b"<CommonPrefixes><Prefix>x/a/</Prefix></CommonPrefixes>"),
        "lacks some of its objects",
    ),
    "another bucket": (
        lambda page: re.sub(rb"<Name>.*?</Name>", b"<Name>other</Name>", page), "another bucket or prefix"
    ),
    "another prefix": (
        lambda page: page.replace(b"<Prefix>x/</Prefix>", b"<Prefix></Prefix>"), "another bucket or prefix"
    ),
    "keys elsewhere": (lambda page: page.replace(b"<Key>x/2", b"<Key>y/2"), "do not begin with the prefix"),
    "a key twice": (lambda page: page.replace(b"<Key>x/2", b"<Key>x/1"), "listed keys twice"),
    "no ETag": (lambda page: ETAG.sub(b"", page, count=1), "without an ETag"),
    "an empty ETag": (lambda page: ETAG.sub(b"<ETag>&quot;&quot;</ETag>", page, count=1), "without an ETag"),
    "no size": (lambda page: page.replace(b"Size>", b"Length>"), "not a page of a listing"),
}  # fmt: skip


@pytest.mark.parametrize("what", NOT_WHOLE)
def test_a_page_that_is_not_whole_ends_the_listing_and_an_older_file_stays(s3, proxy, tmp_path, run_here, what):
    for name in ("1", "2", "3"):
        s3.client.put_object(Bucket=s3.bucket, Key=f"x/{name}", Body=b"x")
    change, saying = NOT_WHOLE[what]
    out = tmp_path / "out.csv"
    out.write_text("older\n")
    changed: list[bool] = []

    def change_page(request: Any, reply: Reply) -> Reply:
        changed.append(change(reply.body) != reply.body)
        return reply._replace(body=change(reply.body))

    proxy.change = change_page
    environment = s3.environment | {"AWS_ENDPOINT_URL_S3": proxy.endpoint}
    run = run_here(main, f"s3://{s3.bucket}/x/", "-o", out, environment=environment)
    assert changed == [True]
    assert_refused(run, out, saying=saying)
    assert out.read_text() == "older\n"


def test_the_case_of_a_truncated_page_without_token(s3, tmp_path):
    """As somebody else's server sends it."""
    out = tmp_path / "out.csv"
    out.write_text("older\n")
    command = [sys.executable, str(CASES / "serve_page.py"), str(CASES / "s3-page-truncated-no-token.xml")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            endpoint = f"http://127.0.0.1:{server.stdout.readline().strip()}"
            run = run_script(s3.environment | {"AWS_ENDPOINT_URL_S3": endpoint}, "s3://b/p/", "-o", out)
        finally:
            server.kill()
    assert_refused(run, out, saying="NextContinuationToken")
    assert out.read_text() == "older\n"


NO_TOKEN = NOT_WHOLE["more, but no token"][0]


@pytest.mark.parametrize("arguments", [(), ("--dry-run",), ("--verify",)])
@pytest.mark.parametrize("listed", ["the destinations", "the sources"])
def test_the_copier_takes_nothing_from_a_listing_that_ends_early(s3, proxy, copy_here, listed, arguments):
    """In a run and in a dry run; an audit does not list the sources."""
    rows = pictures(s3, 3)
    make_missing_seeds(Path(s3.environment["LINKAGE_DATA"]))
    of_sources = listed == "the sources"
    proxy.change = lambda request, reply: (
        reply._replace(body=NO_TOKEN(reply.body))
        if request.kind == LIST and (request.query["prefix"] == [DUMP]) == of_sources else reply
    )  # fmt: skip
    if of_sources and arguments == ("--verify",):
        assert copy_here(proxy, rows, *arguments).returncode == 1
        return
    assert "NextContinuationToken" in only_line(copy_here(proxy, rows, *arguments))
    assert not proxy.copies
    assert not without_canary(s3, "patients/")


def in_pages_of(count: int, proxy: AnsweringProxy) -> Callable[[Any], Reply]:
    """A rule with which the real server lists this many keys at a time."""
    proxy.translate = lambda headers: None
    return lambda request: proxy.pass_on(request._replace(path=f"{request.path}&max-keys={count}"))


def test_the_real_servers_own_order_of_keys_is_not_taken_for_a_listing_that_begins_again(s3, proxy, monkeypatch):
    """SeaweedFS lists folder by folder, not in the order of bytes."""
    names = ["a/c", "a b", "a+b", "a-b/c", "a-b/d/e", "a.b", "a/d/e", "a", "b/1", "b", "ü/1", "ü 1", "z"]
    for name in names:
        s3.client.put_object(Bucket=s3.bucket, Key=f"x/{name}", Body=b"x")
    client = through(monkeypatch, proxy)
    proxy.rule = in_pages_of(2, proxy)
    listed = [found.key for page in list_objects(client, s3.bucket, "x/") for found in page]
    assert sorted(listed) == sorted(f"x/{name}" for name in names)
    assert listed != sorted(listed)


def test_a_store_that_begins_again_at_every_page_is_found_out(s3, proxy, monkeypatch):
    for name in "12345":
        s3.client.put_object(Bucket=s3.bucket, Key=f"x/{name}", Body=b"x")
    client = through(monkeypatch, proxy)
    pages = in_pages_of(2, proxy)
    proxy.rule = lambda request: pages(
        request._replace(path=re.sub("&continuation-token=[^&]*", "", request.path))
    )  # fmt: skip
    with pytest.raises(UnusableInput, match="listed keys twice"):
        list(list_objects(client, s3.bucket, "x/"))
    assert len(proxy.seen) == 2


def page_of(bucket: str, token: str) -> Reply:
    """An empty page that says that more follow."""
    name = f"<Name>{bucket}</Name><Prefix>x/</Prefix><KeyCount>0</KeyCount>"
    text = f"<ListBucketResult>{name}{TRUNCATED.decode()}<NextContinuationToken>{token}</NextContinuationToken>"
    return Reply(200, [("Content-Type", "application/xml")], f"{text}</ListBucketResult>".encode())


def test_a_token_that_comes_back_ends_the_listing(s3, proxy, monkeypatch):
    """Although each page is empty, and no token follows upon itself."""
    proxy.rule = lambda request: page_of(s3.bucket, "ab"[len(proxy.seen) % 2])
    with pytest.raises(UnusableInput, match="would never end"):
        list(list_objects(through(monkeypatch, proxy), s3.bucket, "x/"))
    assert len(proxy.seen) == 3


@pytest.mark.parametrize("truncated", [TRUNCATED, LAST])
def test_a_page_may_be_empty_and_followed_by_others(s3, proxy, monkeypatch, truncated):
    """As S3 sends them sometimes; a token is followed even if the page says that it is the last."""
    s3.client.put_object(Bucket=s3.bucket, Key="x/1", Body=b"x")
    first = page_of(s3.bucket, "x/0")
    first = first._replace(body=first.body.replace(TRUNCATED, truncated))
    proxy.rule = lambda request: None if "continuation-token" in request.query else first
    pages = list(list_objects(through(monkeypatch, proxy), s3.bucket, "x/"))
    assert [[found.key for found in page] for page in pages] == [[], ["x/1"]]


def test_only_the_whole_listing_shows_that_there_is_no_object(s3, proxy, tmp_path, run_here):
    """A first page without objects does not, if more follow."""
    proxy.rule = lambda request: None if "continuation-token" in request.query else page_of(s3.bucket, "x/0")
    arguments = (main, f"s3://{s3.bucket}/x/", "-o", tmp_path / "out.csv")
    environment = s3.environment | {"AWS_ENDPOINT_URL_S3": proxy.endpoint}
    assert_refused(run_here(*arguments, environment=environment), tmp_path / "out.csv", saying="check the prefix")
    s3.client.put_object(Bucket=s3.bucket, Key="x/1", Body=b"x")
    assert run_here(*arguments, environment=environment).returncode == 0
    assert [row["key"] for row in read_inventory(tmp_path / "out.csv")] == ["x/1"]
