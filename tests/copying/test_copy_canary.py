"""Before the first copy, a store that would overwrite is refused, and so are missing permissions."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from copy_objects import main
from linkage.copying import canary
from linkage.seeds import make_missing_seeds
from sandbox.s3_server import client_environment
from tests.support.copying import (
    CANARY_KEY,
    DUMP,
    body,
    count_versions,
    objects,
    only_line,
    picture,
    pictures,
    results,
    row_of,
    upload,
    write_manifest,
)
from tests.support.proxy import BUCKET, COPY, GET, HEAD, LIST, PUT, TAGS, Reply, answering, error
from tests.support.servers import S3


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(canary, "PAUSES", (0.01, 0.02, 0.04, 0.08))


def keep_versions(s3: S3, bucket: str = "") -> None:
    s3.client.put_bucket_versioning(Bucket=bucket or s3.bucket, VersioningConfiguration={"Status": "Enabled"})


# --- a store that would overwrite ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def moto() -> Iterator[dict[str, str]]:
    """The environment of clients of moto, which ignores the conditions of a copy."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield client_environment(f"http://{host}:{port}", "key", "secret")
    server.stop()


def test_moto_is_refused_before_anything_is_copied(moto, tmp_path, run_here):
    client = boto3.client(
        "s3",
        endpoint_url=moto["AWS_ENDPOINT_URL_S3"],
        region_name="us-east-1",
        aws_access_key_id="key",
        aws_secret_access_key="secret",
    )
    store = S3(client, "", {**moto, "LINKAGE_DATA": str(tmp_path / "data")})
    store = S3(client, store.new_bucket(), store.environment)
    keep_versions(store)
    rows = pictures(store, 3)
    before = objects(store, DUMP)
    run = run_here(main, write_manifest(tmp_path, rows), environment=store.environment)
    assert "ignores If-None-Match, so copies could overwrite" in only_line(run)
    assert set(objects(store, "patients/")) == {CANARY_KEY}
    assert objects(store, DUMP) == before
    assert set(count_versions(store, DUMP).values()) == {1}
    assert results(store) == []


@pytest.mark.parametrize("condition", ["If-None-Match", "x-amz-copy-source-if-match"])
def test_a_store_that_lacks_one_condition_is_refused(s3, proxy, copy_here, condition):
    """The real server, which receives every copy without this condition."""
    rows = pictures(s3, 2)
    before = objects(s3, DUMP)
    proxy.translate = lambda headers: "x-amz-copy-source" in headers and headers.pop(condition.lower(), None)
    run = copy_here(proxy, rows)
    assert f"ignores {condition}, so copies could overwrite or mix up images" in only_line(run)
    assert set(objects(s3, "patients/")) == {CANARY_KEY}
    assert objects(s3, DUMP) == before


def test_a_store_without_conditional_copies_is_refused(s3, proxy, copy_here):
    proxy.rule = lambda request: error(501, "NotImplemented") if request.kind == COPY else None
    run = copy_here(proxy, pictures(s3, 2))
    assert "answered NotImplemented to a copy with If-None-Match" in only_line(run)
    assert set(objects(s3, "patients/")) == {CANARY_KEY}


@pytest.mark.parametrize("engine", ["crt", "boto3"])
@pytest.mark.parametrize("answer", [error(501, "NotImplemented"), error(400, "InvalidArgument")])
@pytest.mark.parametrize("header", ["x-amz-tagging-directive", "x-amz-object-annotation-directive"])
def test_a_store_that_refuses_a_header_of_a_rows_copy_is_refused_before_any_copy(
    s3, proxy, copy_here, header, answer, engine
):
    """Such as a store without object tags."""
    proxy.rule = lambda request: answer if request.kind == COPY and header in request.headers else None
    line = only_line(copy_here(proxy, pictures(s3, 2), "--engine", engine))
    assert f"to a copy with {header}; use a store that supports it" in line
    assert not proxy.copies
    assert set(objects(s3, "patients/")) == {CANARY_KEY}


def test_a_store_that_refuses_both_conditions_together_is_refused(s3, proxy, copy_here):
    def refuse(request):
        both = "if-none-match" in request.headers and "x-amz-copy-source-if-match" in request.headers
        return error(501, "NotImplemented") if request.kind == COPY and both else None

    proxy.rule = refuse
    line = only_line(copy_here(proxy, pictures(s3, 2)))
    assert "to a copy with If-None-Match and x-amz-copy-source-if-match" in line
    assert not proxy.copies


@pytest.mark.parametrize("engine", ["crt", "boto3"])
def test_the_canary_is_copied_with_the_headers_of_a_rows_copy(s3, proxy, copy_here, engine):
    (row,) = pictures(s3, 1)
    assert copy_here(proxy, [row], "--engine", engine).returncode == 0
    *canaries, copy = [
        {name: text for name, text in request.headers.items() if name.startswith(("x-amz-", "if-"))}
        for request in proxy.seen
        if request.kind == COPY
    ]
    its_own = {"x-amz-date", "x-amz-content-sha256", "x-amz-copy-source", "x-amz-copy-source-if-match"}
    replaced = {"x-amz-metadata-directive": "REPLACE"}
    assert len(canaries) == 3
    for name, text in copy.items():
        sent = [one.get(name) for one in canaries]
        assert name in its_own or sent[-1] == replaced.get(name, text), name
    assert [sorted(copy.keys() - one.keys()) for one in canaries] == [
        ["x-amz-copy-source-if-match"], ["if-none-match"], []
    ]  # fmt: skip


def test_a_store_without_object_tags_is_used_if_it_takes_the_copies(s3, proxy, copy_here):
    proxy.rule = lambda request: error(501, "NotImplemented") if request.kind == TAGS else None
    assert copy_here(proxy, pictures(s3, 2)).returncode == 0


@pytest.mark.parametrize("arguments", [(), ("--dry-run",)])
def test_a_store_whose_objects_have_no_etag_is_refused(s3, proxy, copy_here, arguments):
    rows = pictures(s3, 2)
    make_missing_seeds(Path(s3.environment["LINKAGE_DATA"]))
    if arguments:
        upload(s3, CANARY_KEY, canary.CANARY)
    proxy.change = lambda request, reply: (
        reply._replace(headers=[header for header in reply.headers if header[0].lower() != "etag"])
        if request.kind in (HEAD, GET) else reply
    )  # fmt: skip
    assert "without the ETag of an object" in only_line(copy_here(proxy, rows, *arguments))
    assert not proxy.copies


def test_a_store_whose_copies_are_answered_without_etag_is_used(s3, proxy, copy_here):
    """What is there then has the ETag, and proves the copy."""
    proxy.change = lambda request, reply: (
        reply._replace(body=b"<CopyObjectResult></CopyObjectResult>")
        if request.kind == COPY and reply.status == 200 else reply
    )  # fmt: skip
    rows = pictures(s3, 2)
    assert copy_here(proxy, rows).returncode == 0
    assert {result["outcome"] for result in results(s3)} <= {"copied", "already_present"}


def test_every_destination_bucket_is_tested(s3, proxy, copy_here):
    first, second = sorted([s3.new_bucket(), s3.new_bucket()])
    rows = [
        row._replace(destination_bucket=bucket) for row, bucket in zip(pictures(s3, 2), [first, second], strict=True)
    ]
    proxy.translate = lambda headers: second in headers.get("x-amz-copy-source", "") and headers.pop("if-none-match")
    assert f"the bucket '{second}' ignores If-None-Match" in only_line(copy_here(proxy, rows))
    assert not proxy.copies
    proxy.translate = None
    assert copy_here(proxy, rows).returncode == 0
    assert body(s3, CANARY_KEY, first) == body(s3, CANARY_KEY, second) == canary.CANARY
    assert set(objects(s3)) == {row.source_key for row in rows}


# --- the canary itself -----------------------------------------------------------------------------------------------


def test_the_canary_is_written_once_and_stays(s3, proxy, copy_here):
    keep_versions(s3)
    rows = pictures(s3, 2)
    for _ in range(3):
        assert copy_here(proxy, rows).returncode == 0
    assert count_versions(s3, "") == {CANARY_KEY: 1} | {key: 1 for row in rows for key in row[2:7:4]}
    assert body(s3, CANARY_KEY) == canary.CANARY
    assert not count_versions(s3, f"{DUMP}image-linkage")


def test_another_object_at_the_canarys_key_is_left_alone(s3, proxy, copy_here):
    upload(s3, CANARY_KEY, b"somebody else's")
    before = objects(s3)
    run = copy_here(proxy, [row_of(s3, f"{DUMP}1.jpg", "patients/1.jpg", "0" * 32, 9)])
    assert "is not what image-linkage puts there; move that object elsewhere" in only_line(run)
    assert objects(s3) == before
    assert not [request for request in proxy.seen if request.kind == COPY]


@pytest.mark.parametrize("known", [False, True])
def test_a_manifest_cannot_overwrite_the_canary(s3, proxy, copy_here, known):
    if known:
        assert copy_here(proxy, [picture(s3, 2)]).returncode == 0
    row = picture(s3, 1)._replace(destination_key=CANARY_KEY)
    assert copy_here(proxy, [row]).returncode == 1
    assert [result["outcome"] for result in results(s3)][-1] == "conflict"
    assert body(s3, CANARY_KEY) == canary.CANARY


def test_the_canary_is_never_in_the_dump(s3, proxy, copy_here):
    source = "patients/older/1.jpg"
    row = row_of(s3, "patients/1.jpg", "copies/1.jpg", upload(s3, "patients/1.jpg"), 9)
    nested = row_of(s3, source, "copies/2.jpg", upload(s3, source), 9)
    copy_here(proxy, [row, nested])
    assert set(objects(s3, "patients/")) == {row.source_key, source}


@pytest.mark.parametrize(
    ("destination", "key"),
    [
        ("patients/0f0e2b1c-0000-4000-8000-0123456789ab/images/b/1.jpg", CANARY_KEY),
        ("patients/P-0F0E2B1C-0000-4000-8000-0123456789AB/1.jpg", CANARY_KEY),
        ("patients/4711/1.jpg", CANARY_KEY),
        ("patients/2016-10-18/1.jpg", CANARY_KEY),
        ("unlinked/wound-photo/228.jpg", "unlinked/wound-photo/image-linkage-canary"),
        ("a/2nd/x-228.jpg", "a/2nd/image-linkage-canary"),
        ("a.jpg", "image-linkage-canary"),
    ],
)
def test_the_canary_is_beside_the_first_folder_of_one_patient_or_day(destination, key):
    assert canary.canary_key(destination) == key


def test_a_dry_run_does_not_test_the_store(s3, proxy, copy_here):
    assert copy_here(proxy, pictures(s3, 2), "--dry-run").returncode == 0
    assert {request.method for request in proxy.seen} == {"GET", "HEAD"}
    assert not objects(s3, "patients/")


# --- permissions -----------------------------------------------------------------------------------------------------

NEEDED = {
    "HeadBucket": lambda request: request.kind == BUCKET,
    "PutObject": lambda request: request.kind == PUT,
    "CopyObject": lambda request: request.kind == COPY,
    "GetObject of the canary": lambda request: request.kind == GET and request.key == CANARY_KEY,
    "HeadObject of the canary": lambda request: request.kind == HEAD and request.key == CANARY_KEY,
    "ListBucket of the sources": lambda request: request.query.get("prefix") == [DUMP],
    "ListBucket of the destinations": lambda request: "patients/" in request.query.get("prefix", [""])[0],
}


PERMISSION = {PUT: "s3:PutObject", COPY: "s3:PutObject", GET: "s3:GetObject", HEAD: "s3:GetObject"}  # else to list


@pytest.mark.parametrize("right", NEEDED)
def test_a_missing_permission_is_named_before_any_copy(s3, proxy, copy_here, right):
    rows = pictures(s3, 2)
    asked: list[Any] = []

    def refuse(request):
        if NEEDED[right](request):
            asked.append(request)
            return error(403, "AccessDenied")
        return None

    proxy.rule = refuse
    line = only_line(copy_here(proxy, rows))
    assert s3.bucket in line
    assert "AccessDenied" in line or "(403)" in line
    assert PERMISSION.get(asked[0].kind, "s3:ListBucket") in line
    assert not proxy.copies
    assert right == "HeadBucket" or results(s3) == []


HTML = [("Content-Type", "text/html")]


@pytest.mark.parametrize(
    "answer",
    [
        error(403, "AccessDenied"), error(403, "InvalidObjectState"), error(404, "NoSuchKey"), Reply(403, [], b""),
        Reply(403, HTML, b"<html>blocked</html>"), Reply(200, HTML, b"<html>sign in</html>"),
    ],
)  # fmt: skip
def test_an_error_with_the_first_source_is_its_rows_own(s3, proxy, copy_here, answer):
    """The source that is read before the first copy is refused, archived or gone."""
    rows = pictures(s3, 3)
    proxy.rule = answering(answer, GET, TAGS, key=rows[0].source_key)
    assert copy_here(proxy, rows).returncode == 0


@pytest.mark.parametrize("kind", [GET, TAGS])
@pytest.mark.parametrize(
    ("answer", "saying"),
    [
        (error(400, "ExpiredToken"), "have expired"), (error(403, "InvalidAccessKeyId"), "rejected these credentials"),
        (error(403, "RequestTimeTooSkewed"), "clock"),
    ],
)  # fmt: skip
def test_credentials_that_end_before_the_first_copy_stop_the_run(s3, proxy, copy_here, answer, saying, kind):
    rows = pictures(s3, 2)
    proxy.rule = lambda request: answer if request.kind == kind and request.key.startswith(DUMP) else None
    assert saying in only_line(copy_here(proxy, rows))
    assert not proxy.copies


def test_transient_errors_before_the_first_copy_are_waited_out(s3, proxy, copy_here):
    failed: set[tuple[str, str]] = set()

    def fail_once(request):
        which = (request.kind, request.path)
        if which in failed or time.monotonic() - request.at > 9:
            return None
        failed.add(which)
        return error(503, "SlowDown")

    proxy.rule = fail_once
    rows = pictures(s3, 2)
    assert copy_here(proxy, rows).returncode == 0
    assert {kind for kind, _ in failed} == {BUCKET, PUT, GET, TAGS, HEAD, LIST, COPY}
    assert [result["outcome"] for result in results(s3)] == ["copied", "copied"]


def test_a_store_that_never_answers_to_the_canary_is_refused(s3, proxy, copy_here):
    proxy.rule = lambda request: error(503, "SlowDown") if request.kind == COPY else None
    line = only_line(copy_here(proxy, pictures(s3, 1)))
    assert "SlowDown" in line
    assert len([request for request in proxy.seen if request.kind == COPY]) == len(canary.PAUSES) + 1
