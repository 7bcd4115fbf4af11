"""Both engines send the same copies, to where boto3 goes, and say the same of every answer."""

import ipaddress
import ssl
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

import copy_objects
from copy_objects import main
from linkage.copying import run as copy_run
from linkage.copying.rules import copy_parameters, is_refusal, is_transient
from linkage.s3 import copy_crt, endpoints
from linkage.s3.answers import Answer
from linkage.s3.clients import s3_client, single_try_client
from linkage.s3.endpoints import Endpoint, find_endpoints
from linkage.s3.engines import open_engine
from tests.support.copying import DUMP, SCRIPT, objects, only_line, pictures, results, row_of, upload, write_manifest
from tests.support.proxy import (
    COPY,
    GET,
    HEAD,
    LIST,
    AnsweringProxy,
    Closed,
    Reply,
    Request,
    answering,
    answering_proxy,
    error,
)

ENGINES = pytest.mark.parametrize("engine", ["crt", "boto3"])
OF_A_COPY = ("x-amz-", "if-", "content-type", "cache-", "expires")
OF_A_SIGNATURE = ("x-amz-date", "x-amz-content-sha256")


def copied(etag: str) -> Reply:
    """The answer of a store that has copied."""
    return Reply(200, [], f'<CopyObjectResult><ETag>"{etag}"</ETag></CopyObjectResult>'.encode())


def recorded(s3: Any) -> dict[str, tuple[str, str]]:
    """Source's key → outcome and error of its newest line."""
    return {line["source_key"]: (line["outcome"], line["error"]) for line in results(s3)}


@pytest.fixture
def short_pauses(monkeypatch):
    monkeypatch.setattr(copy_run, "PAUSES", (0.01, 0.02, 0.05, 0.1))


# --- the request -----------------------------------------------------------------------------------------------------

STRANGE = [
    "1.jpg", "a b.jpg", "a+b.jpg", "a%20b.jpg", "ü é 日本.jpg", "q\"uo'te,.jpg", "?x=1&y.jpg", "#.jpg", "~*()!.jpg",
    "a;b:c@d&e=f$g", "line\nfeed\r\t.jpg", "\x01.jpg", "a//b.jpg", "./c.jpg", "x/../d.jpg", "back\\slash", "k" * 900,
]  # fmt: skip


def sent(s3: Any, proxy: AnsweringProxy, engine: str, asked: list[dict[str, Any]]) -> list[Request]:
    """The requests that an engine makes of these parameters, in order; nothing is copied."""
    proxy.rule = lambda request: copied("0" * 32) if request.kind == COPY else None
    answers: SimpleQueue[Answer] = SimpleQueue()
    with open_engine(engine, single_try_client(1), find_endpoints({s3.bucket}), 1) as send:
        proxy.seen.clear()
        for parameters in asked:
            send(parameters, 9, answers.put)
            assert answers.get(timeout=20) == Answer(200, "", "0" * 32)
    return list(proxy.seen)


def through(monkeypatch: pytest.MonkeyPatch, proxy: AnsweringProxy) -> None:
    """Have the copier's clients in this process go through the proxy."""
    for name, value in {**proxy.environment, "AWS_ENDPOINT_URL_S3": proxy.endpoint}.items():
        monkeypatch.setenv(name, value)


def test_both_engines_send_the_same_and_nothing_else(s3, proxy, monkeypatch):
    through(monkeypatch, proxy)
    rows = [row_of(s3, f"{DUMP}{name}", f"patients/{name}", "a" * 32, 9) for name in STRANGE]
    asked = [copy_parameters(row) for row in rows]
    crt, boto3 = (
        [
            (
                request.method,
                request.path,
                {name: value for name, value in request.headers.items()
                 if name.startswith(OF_A_COPY) and name not in OF_A_SIGNATURE},
                request.body,
            )
            for request in sent(s3, proxy, engine, asked)
        ]
        for engine in ("crt", "boto3")
    )  # fmt: skip
    assert crt == boto3
    assert crt[1] == (
        "PUT",
        f"/{s3.bucket}/patients/a%20b.jpg",
        {
            "x-amz-copy-source": f"{s3.bucket}/{DUMP}a%20b.jpg",
            "x-amz-copy-source-if-match": f'"{"a" * 32}"',
            "if-none-match": "*",
            "x-amz-metadata-directive": "COPY",
            "x-amz-tagging-directive": "COPY",
            "x-amz-object-annotation-directive": "EXCLUDE",
        },
        b"",
    )


def test_the_crt_sends_no_other_headers_than_those_of_a_signed_copy(s3, proxy, monkeypatch):
    through(monkeypatch, proxy)
    (request,) = sent(s3, proxy, "crt", [copy_parameters(row_of(s3, "x/1.jpg", "y/1.jpg", "a" * 32, 9))])
    assert set(request.headers) <= {
        "host", "content-length", "user-agent", "authorization", "x-amz-date", "x-amz-content-sha256",
        "x-amz-copy-source", "x-amz-copy-source-if-match", "if-none-match", "x-amz-metadata-directive",
        "x-amz-tagging-directive", "x-amz-object-annotation-directive",
    }  # fmt: skip


@ENGINES
@pytest.mark.parametrize("etag", ["line\nfeed", "a\r\nX-Amz-Acl: public-read"])
def test_an_etag_that_no_header_can_hold_is_one_rows_failure(s3, proxy, monkeypatch, engine, etag):
    through(monkeypatch, proxy)
    answers: SimpleQueue[Answer] = SimpleQueue()
    with open_engine(engine, single_try_client(1), find_endpoints({s3.bucket}), 1) as send:
        send(copy_parameters(row_of(s3, "x/1.jpg", "y/1.jpg", etag, 9)), 9, answers.put)
        answer = answers.get(timeout=20)
    assert answer.status != 200
    assert not is_refusal(answer)
    assert not [request for request in proxy.seen if "x-amz-acl" in request.headers]


# --- where ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "config", "place"),
    [
        ({}, "", Endpoint("https", "clinic.s3.eu-west-1.amazonaws.com", "", "eu-west-1")),
        ({}, "s3 =\n  addressing_style = path", Endpoint("https", "s3.eu-west-1.amazonaws.com", "/clinic", "eu-west-1")),
        ({"AWS_REGION": "us-west-2"}, "", Endpoint("https", "clinic.s3.us-west-2.amazonaws.com", "", "us-west-2")),
        ({}, "use_fips_endpoint = true", Endpoint("https", "clinic.s3-fips.eu-west-1.amazonaws.com", "", "eu-west-1")),
        ({}, "use_dualstack_endpoint = true",
         Endpoint("https", "clinic.s3.dualstack.eu-west-1.amazonaws.com", "", "eu-west-1")),
        ({"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9000"}, "", Endpoint("http", "127.0.0.1:9000", "/clinic", "eu-west-1")),
        ({"AWS_ENDPOINT_URL_S3": "https://s3.example.org/store/"}, "",
         Endpoint("https", "s3.example.org", "/store/clinic", "eu-west-1")),
        ({"AWS_ENDPOINT_URL_S3": "https://s3.example.org"}, "s3 =\n  addressing_style = virtual",
         Endpoint("https", "clinic.s3.example.org", "", "eu-west-1")),
        ({"AWS_ENDPOINT_URL_S3": "https://s3.example.org:8443/store"}, "s3 =\n  addressing_style = virtual",
         Endpoint("https", "clinic.s3.example.org:8443", "/store", "eu-west-1")),
    ],
)  # fmt: skip
def test_the_place_of_a_bucket_is_where_boto3_asks_for_it(s3, tmp_path, monkeypatch, environment, config, place):
    """Without network: a handler of botocore's answers in S3's stead."""
    file = tmp_path / "config"
    file.write_text(f"[default]\nregion = eu-west-1\n{config}\n")
    for name, value in {**s3.environment, "AWS_CONFIG_FILE": str(file)}.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    def client(**options: Any) -> Any:
        made = s3_client(**options)
        made.meta.events.register_last(
            "before-send.s3.HeadBucket",
            lambda request, **_: AWSResponse(request.url, 200, {}, SimpleNamespace(stream=lambda: [])),
        )
        return made

    monkeypatch.setattr(endpoints, "s3_client", client)
    assert find_endpoints({"clinic"}) == {"clinic": place}


@ENGINES
def test_an_endpoint_with_a_path_is_served(s3, proxy, copy_here, engine):
    """The proxy is at /store, and passes on without it."""
    pass_on = proxy.RequestHandlerClass.pass_on
    paths = []

    class Handler(proxy.RequestHandlerClass):
        def pass_on(self, request: Request) -> Reply:
            paths.append(request.path)
            return pass_on(self, request._replace(path=request.path.removeprefix("/store")))

    proxy.RequestHandlerClass = Handler
    proxy.translate = lambda headers: None
    rows = pictures(s3, 2)
    run = copy_here(proxy, rows, "--engine", engine, AWS_ENDPOINT_URL_S3=f"{proxy.endpoint}/store")
    assert run.returncode == 0, run
    assert all(path.startswith("/store/") for path in paths)


# --- TLS and proxies -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> Path:
    """A certificate for 127.0.0.1 that nobody knows, and its key beside it as `key.pem`."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a clinic's own")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "certificate.pem"
    file.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    file.with_name("key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return file


@pytest.fixture
def tls_proxy(s3, certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    with answering_proxy(s3.environment, context) as proxy:
        yield proxy


@ENGINES
def test_a_store_with_a_certificate_of_ones_own_is_used_if_it_is_named(s3, tls_proxy, copy_here, certificate, engine):
    rows = pictures(s3, 3)
    run = copy_here(tls_proxy, rows, "--engine", engine, AWS_CA_BUNDLE=str(certificate))
    assert run.returncode == 0, run
    assert tls_proxy.counted() == {COPY: 3}
    line = only_line(copy_here(tls_proxy, rows, "--engine", engine))
    assert "S3 cannot be used (SSLError)" in line
    assert tls_proxy.counted() == {COPY: 3}


def test_a_proxy_on_the_way_is_for_boto3_alone(s3, proxy, copy_here):
    rows = pictures(s3, 2)
    on_the_way = {"AWS_ENDPOINT_URL_S3": s3.environment["AWS_ENDPOINT_URL_S3"], "HTTP_PROXY": proxy.endpoint,
                  "http_proxy": proxy.endpoint}  # fmt: skip
    line = only_line(copy_here(proxy, rows, **on_the_way))
    assert "the crt engine knows no proxy" in line
    assert not objects(s3, "patients/")
    assert copy_here(proxy, rows, "--engine", "boto3", **on_the_way).returncode == 0
    assert proxy.counted() == {COPY: 2}
    assert copy_here(proxy, pictures(s3, 3), **on_the_way, NO_PROXY="127.0.0.1", no_proxy="127.0.0.1").returncode == 0


# --- credentials -----------------------------------------------------------------------------------------------------

ISSUER = """
import datetime, json, pathlib, sys
counter = pathlib.Path(sys.argv[1])
with counter.open("a") as file:
    file.write("x")
number = len(counter.read_text())
until = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=901)
print(json.dumps({"Version": 1, "AccessKeyId": f"KEY{number}", "SecretAccessKey": "secret",
                  "SessionToken": f"token {number}", "Expiration": until.isoformat()}))
"""


@ENGINES
def test_credentials_are_renewed_while_it_runs(s3, proxy, run_here, tmp_path, engine):
    """The SDK renews a quarter of an hour before they expire, here after one second; the store takes each for two."""
    issuer, issued, config = tmp_path / "issue.py", tmp_path / "issued", tmp_path / "config"
    issuer.write_text(ISSUER)
    config.write_text(f"[profile clinic]\ncredential_process = {sys.executable} -S {issuer} {issued}\n")
    proxy.translate = lambda headers: None
    first_seen: dict[str, float] = {}

    def check(request: Request) -> Reply | None:
        born = first_seen.setdefault(request.access_key, request.at)
        if request.at - born > 2 or not request.headers["x-amz-security-token"].startswith("token "):
            return error(403, "ExpiredToken")
        if request.kind == COPY:
            time.sleep(0.1)
        return None

    proxy.rule = check
    of_the_profile = {name: value for name, value in proxy.environment.items() if not name.startswith("AWS_ACCESS_KEY")}
    del of_the_profile["AWS_SECRET_ACCESS_KEY"]
    of_the_profile |= {"AWS_PROFILE": "clinic", "AWS_CONFIG_FILE": str(config), "AWS_ENDPOINT_URL_S3": proxy.endpoint}
    rows = pictures(s3, 60)
    started = time.monotonic()
    manifest = write_manifest(tmp_path, rows)
    run = run_here(main, manifest, "--engine", engine, "--workers", 2, environment=of_the_profile)
    assert run.returncode == 0, run
    assert time.monotonic() - started > 2.5
    of_copies = {request.access_key for request in proxy.seen if request.kind == COPY}
    assert len(of_copies) >= 3
    assert len(issued.read_text()) <= 30


REFUSALS = [(403, "ExpiredToken"), (400, "ExpiredToken"), (403, "AccessDenied")]


@ENGINES
@pytest.mark.parametrize(("status", "code"), REFUSALS)
def test_refused_credentials_stop_the_run_at_once_and_the_next_one_goes_on(s3, proxy, copy_here, engine, status, code):
    rows = pictures(s3, 40)
    done: list[str] = []

    def refuse(request: Request) -> Reply | None:
        if request.kind == COPY and not request.key.endswith("canary"):
            done.append(request.key)
            return error(status, code) if len(done) > 10 else None
        return None

    proxy.rule = refuse
    run = copy_here(proxy, rows, "--engine", engine, "--workers", 4)
    line = only_line(run)
    assert f"S3 refuses these credentials ({code})" in line
    assert "run the same command again to go on where this run ended" in line
    assert 11 <= len(done) <= 10 + 4
    assert recorded(s3) == {row.source_key: ("copied", "") for row in rows if row.destination_key in done[:10]}
    assert "copied 10 " in run.stdout
    proxy.rule = lambda request: None
    assert "copied 30   already present 10 " in copy_here(proxy, rows, "--engine", engine).stdout


@pytest.mark.parametrize("kind", [HEAD, GET])
def test_a_refused_look_stops_the_run_as_well(s3, proxy, copy_here, kind):
    row, *others = pictures(s3, 6)
    upload(s3, row.destination_key, b"picture 1")
    of_kms = ("x-amz-server-side-encryption", "aws:kms")
    proxy.change = lambda request, reply: (
        reply._replace(headers=[*reply.headers, of_kms]) if request.kind == HEAD else reply
    )
    proxy.rule = answering(error(403, "ExpiredToken"), kind, key=row.destination_key)
    assert "S3 refuses these credentials" in only_line(copy_here(proxy, [row, *others], "--workers", 1))
    assert row.source_key not in (recorded(s3) if Path(s3.environment["LINKAGE_DATA"]).exists() else {})


@ENGINES
def test_an_archived_source_fails_its_own_row_only(s3, proxy, copy_here, engine):
    archived, *others = pictures(s3, 6)
    proxy.rule = answering(error(403, "InvalidObjectState"), COPY, key=archived.destination_key)
    assert copy_here(proxy, [archived, *others], "--engine", engine).returncode == 1
    assert recorded(s3) == {
        archived.source_key: ("failed", "InvalidObjectState"),
        **{row.source_key: ("copied", "") for row in others},
    }
    assert proxy.copies.count(archived.destination_key) == 1


def test_an_object_that_only_somebody_elses_key_opens_fails_its_own_row_only(s3, proxy, copy_here):
    """S3 answers a HEAD of it with 400 and, as there is no body, without a word."""
    theirs, *others = pictures(s3, 4)
    upload(s3, theirs.destination_key, b"picture 1")
    proxy.rule = answering(Reply(400, [], b""), HEAD, GET, key=theirs.destination_key)
    assert copy_here(proxy, [theirs, *others]).returncode == 1
    outcomes = {key: outcome for key, (outcome, _) in recorded(s3).items()}
    assert outcomes == {theirs.source_key: "failed"} | {row.source_key: "copied" for row in others}


@pytest.mark.parametrize("listed", [True, False])
def test_an_object_above_five_gib_is_failed_without_a_copy(s3, proxy, copy_here, listed):
    large, largest = pictures(s3, 2)
    large, largest = large._replace(source_size=5 * 1024**3 + 1), largest._replace(source_size=5 * 1024**3)
    sizes = {row.source_key: str(row.source_size) for row in (large, largest)}

    def change(request: Request, reply: Reply) -> Reply:
        if request.kind == LIST and listed:
            content = reply.body
            for key, size in sizes.items():
                one = f"<Key>{key.replace('/', '%2F')}</Key>".encode()
                one = one if one in content else f"<Key>{key}</Key>".encode()
                before, found, after = content.partition(one)
                content = before + found + after.replace(b"<Size>9<", f"<Size>{size}<".encode(), 1)
            return Reply(200, reply.headers, content)
        if request.kind == HEAD and request.key in sizes:
            kept = [pair for pair in reply.headers if pair[0].lower() != "content-length"]
            return Reply(200, [*kept, ("Content-Length", sizes[request.key])], b"")
        return reply

    proxy.change = change
    copy_here(proxy, [large])
    assert recorded(s3) == {large.source_key: ("failed", "EntityTooLarge")}
    assert not proxy.copies
    proxy.rule = answering(copied(largest.source_etag), COPY, key=largest.destination_key)
    copy_here(proxy, [largest])
    assert proxy.copies == [largest.destination_key]
    if listed:
        assert recorded(s3)[largest.source_key] == ("copied", "")


# --- answers ---------------------------------------------------------------------------------------------------------

GARBAGE = Reply(200, [], b"<?xml version='1.0'?><CopyObjectRe")
PASSING = {
    "500": error(500, "InternalError"),
    "502": Reply(502, [], b"<html>Bad Gateway</html>"),
    "503": error(503, "SlowDown"),
    "503 of another kind": error(503, "ServiceUnavailable"),
    "504": Reply(504, [], b""),
    "409": error(409, "ConditionalRequestConflict"),
    "429": error(429, "TooManyRequests"),
    "400 of passing trouble": error(400, "RequestTimeout"),
    "400 without a word": error(400, "SlowDown"),
    "200 with an error": error(200, "InternalError"),
    "200 with slow down": error(200, "SlowDown"),
    "200 that is cut": GARBAGE,
    "200 without a body": Reply(200, [], b""),
    "200 without an etag": Reply(200, [], b"<CopyObjectResult></CopyObjectResult>"),
    "half a body": Reply(200, [], b"<CopyObjectResult><ETag>", cut=True),
    "a reset": Closed(),
    "a lost answer": Closed(done=True),
}
LASTING = {
    "403": (error(403, "AccessDenied"), True),
    "403 without a word": (Reply(403, [], b""), True),
    "401": (error(401, "Unauthorized"), True),
    "an expired token": (error(400, "ExpiredToken"), True),
    "a wrong token": (error(400, "InvalidToken"), True),
    "a wrong key": (error(403, "InvalidAccessKeyId"), True),
    "a wrong signature": (error(403, "SignatureDoesNotMatch"), True),
    "a wrong clock": (error(403, "RequestTimeTooSkewed"), True),
    "an archive": (error(403, "InvalidObjectState"), False),
    "a wrong request": (error(400, "InvalidRequest"), False),
    "too much": (error(400, "EntityTooLarge"), False),
    "not implemented": (error(501, "NotImplemented"), False),
    "a redirect": (error(301, "PermanentRedirect"), False),
}


def answers_to(s3: Any, proxy: AnsweringProxy, engine: str, replies: dict[str, Any]) -> dict[str, Answer]:
    """What an engine says of each of these replies to a copy; each is sent once."""
    proxy.rule = lambda request: replies[request.key[2:]] if request.kind == COPY else None
    found: dict[str, Answer] = {}
    answers: SimpleQueue[tuple[str, Answer]] = SimpleQueue()
    with open_engine(engine, single_try_client(4), find_endpoints({s3.bucket}), 4) as send:
        for name in replies:
            row = row_of(s3, "x/1.jpg", f"y/{name}", "a" * 32, 9)
            send(copy_parameters(row), 9, lambda answer, name=name: answers.put((name, answer)))
        for _ in replies:
            name, answer = answers.get(timeout=20)
            found[name] = answer
    assert sorted(proxy.copies) == sorted(f"y/{name}" for name in replies)
    return found


@ENGINES
def test_what_may_pass_is_told_from_what_lasts(s3, proxy, monkeypatch, engine):
    through(monkeypatch, proxy)
    lasting = {name: reply for name, (reply, _) in LASTING.items()}
    answers = answers_to(s3, proxy, engine, {**PASSING, **lasting})
    assert {name for name in PASSING if not is_transient(answers[name]) or is_refusal(answers[name])} == set()
    assert {name for name in LASTING if is_transient(answers[name]) and not is_refusal(answers[name])} == set()
    assert {name: is_refusal(answers[name]) for name in LASTING} == {name: stop for name, (_, stop) in LASTING.items()}
    assert all(answer.code for answer in answers.values())
    assert answers["503"] == Answer(503, "SlowDown")
    assert answers["an archive"] == Answer(403, "InvalidObjectState")


@ENGINES
def test_every_passing_trouble_is_waited_out(s3, proxy, copy_here, short_pauses, engine):
    rows = pictures(s3, len(PASSING) + 1)
    faults = {row.destination_key: name for row, name in zip(rows, PASSING, strict=False)}
    done_before_the_error = rows[-1].destination_key

    def fail_once(request: Request) -> Any:
        name = faults.pop(request.key, None) if request.kind == COPY else None
        return PASSING[name] if name else None

    def error_after(request: Request, reply: Reply) -> Reply:
        if request.kind == COPY and request.key == done_before_the_error:
            return error(200, "InternalError") if reply.status == 200 else reply
        return reply

    proxy.rule, proxy.change = fail_once, error_after
    run = copy_here(proxy, rows, "--engine", engine)
    assert run.returncode == 0, run
    lines = {line["destination_key"]: line for line in results(s3)}
    names = [*PASSING, "an error after it was done"]
    found = {name: (lines[row.destination_key]["outcome"], lines[row.destination_key]["attempts"])
             for row, name in zip(rows, names, strict=True)}  # fmt: skip
    there = ("already_present", "2")
    assert found == dict.fromkeys(names, ("copied", "2")) | {
        "a lost answer": there, "an error after it was done": there,
    }  # fmt: skip


@ENGINES
def test_an_answer_that_never_comes_is_given_up_and_the_copy_tried_again(
    s3, proxy, copy_here, short_pauses, monkeypatch, engine
):
    monkeypatch.setattr(copy_crt, "TIMEOUT", 0.6)
    monkeypatch.setattr(copy_crt, "CHECK_INTERVAL", 0.1)
    if engine == "boto3":
        monkeypatch.setattr(
            copy_objects, "single_try_client", lambda _: s3_client(read_timeout=0.6, retries={"total_max_attempts": 1})
        )
    rows = pictures(s3, 4)
    hanging = {rows[0].destination_key, rows[1].destination_key}
    over = threading.Event()

    def hang_once(request: Request) -> Closed | None:
        if request.kind == COPY and request.key in hanging:
            hanging.discard(request.key)
            over.wait(15)
            return Closed()
        return None

    proxy.rule = hang_once
    started = time.monotonic()
    run = copy_here(proxy, rows, "--engine", engine, "--workers", 2)
    over.set()
    assert run.returncode == 0, run
    assert time.monotonic() - started < 10
    assert sorted(line["attempts"] for line in results(s3)) == ["1", "1", "2", "2"]
    assert not hanging


@ENGINES
def test_no_more_requests_are_in_flight_than_workers(s3, proxy, copy_here, engine):
    """Copies, looks and verifications together."""
    rows = pictures(s3, 30)
    for row in rows[::3]:
        upload(s3, row.destination_key, b"picture %d" % int(Path(row.source_key).stem))
    proxy.rule = lambda request: time.sleep(0.02)
    assert copy_here(proxy, rows, "--engine", engine, "--workers", 3).returncode == 0
    assert proxy.most == 3


@ENGINES
def test_a_shell_that_allows_few_open_files_is_no_hindrance(s3, tmp_path, engine):
    rows = pictures(s3, 120)
    command = [sys.executable, SCRIPT, str(write_manifest(tmp_path, rows)), "--engine", engine, "--workers", "100"]
    run = subprocess.run(
        ["sh", "-c", 'ulimit -Sn 64 && exec "$@"', "sh", *command],
        env=s3.environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (run.returncode, run.stdout.split("   ")[0]) == (0, "copied 120"), run
    assert {line["attempts"] for line in results(s3)} == {"1"}
