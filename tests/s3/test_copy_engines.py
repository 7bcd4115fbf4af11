"""The conformity suite: both engines send the same requests to where boto3 goes, and give the same Answers."""

import gc
import ipaddress
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any

import pytest
from awscrt.s3 import S3Client, S3Request
from botocore.awsrequest import AWSResponse
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from linkage.copying.rules import copy_parameters
from linkage.errors import UnusableInput
from linkage.s3 import copy_crt, endpoints
from linkage.s3.answers import Answer
from linkage.s3.clients import s3_client, single_try_client
from linkage.s3.endpoints import Endpoint, find_endpoints
from linkage.s3.engines import open_engine
from tests.support.copying import DUMP, SCRIPT, pictures, results, row_of, write_manifest
from tests.support.proxy import (
    COPY,
    AnsweringProxy,
    Closed,
    Reply,
    Request,
    answering_proxy,
    error,
)
from tests.support.servers import S3

SIZE = 9  # bytes of every source
ETAG = "a" * 32
COPIED = Answer(200, "", ETAG)
OF_A_COPY = ("x-amz-", "if-", "content-type", "cache-", "expires")
OF_A_SIGNATURE = ("x-amz-date", "x-amz-content-sha256")


def copied(*headers: tuple[str, str]) -> Reply:
    """The answer of a store that has copied."""
    return Reply(200, list(headers), f'<CopyObjectResult><ETag>"{ETAG}"</ETag></CopyObjectResult>'.encode())


def parameters(s3: S3, *names: str, etag: str = ETAG) -> list[dict[str, Any]]:
    """What the copier passes to an engine for sources of these names."""
    return [copy_parameters(row_of(s3, f"{DUMP}{name}", f"patients/{name}", etag, SIZE)) for name in names]


@pytest.fixture(params=["crt", "boto3"])
def engine(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def settings(s3: S3, proxy: AnsweringProxy, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The environment of this process: its clients reach S3 through the proxy, which copies nothing."""
    for name, value in {**s3.environment, "AWS_ENDPOINT_URL_S3": proxy.endpoint}.items():
        monkeypatch.setenv(name, value)
    proxy.rule = lambda request: copied() if request.kind == COPY else None
    return monkeypatch


def exchange(engine: str, asked: list[dict[str, Any]], *, workers: int = 1, client: Any = None) -> list[Answer]:
    """The answers to these requests, in order; each must be given once, and within 20 seconds."""
    answers: SimpleQueue[tuple[int, Answer]] = SimpleQueue()
    found = find_endpoints({one["Bucket"] for one in asked})
    with open_engine(engine, client or single_try_client(workers), found, workers) as send:
        for number, one in enumerate(asked):
            send(one, SIZE, lambda answer, number=number: answers.put((number, answer)))
        given = dict(answers.get(timeout=20) for _ in asked)
    assert answers.empty()
    return [given[number] for number in range(len(asked))]


# --- the request -----------------------------------------------------------------------------------------------------

STRANGE = [
    "1.jpg", "a b.jpg", "a+b.jpg", "a%20b.jpg", "ü é 日本.jpg", "q\"uo'te,.jpg", "?x=1&y.jpg", "#.jpg", "~*()!.jpg",
    "a;b:c@d&e=f$g", "line\nfeed\r\t.jpg", "\x01.jpg", "a//b.jpg", "./c.jpg", "x/../d.jpg", "back\\slash", "k" * 900,
]  # fmt: skip


def test_both_engines_send_the_same_requests(s3, proxy, settings):
    asked = parameters(s3, *STRANGE)
    sent = {}
    for engine in ("crt", "boto3"):
        assert exchange(engine, asked) == [COPIED] * len(asked)
        sent[engine] = sorted(
            (
                request.path,
                request.method,
                {name: value for name, value in request.headers.items()
                 if name.startswith(OF_A_COPY) and name not in OF_A_SIGNATURE},
                request.body,
            )
            for request in proxy.seen
            if request.kind == COPY
        )  # fmt: skip
        proxy.seen.clear()
    assert sent["crt"] == sent["boto3"]
    assert (
        f"/{s3.bucket}/patients/a%20b.jpg",
        "PUT",
        {
            "x-amz-copy-source": f"{s3.bucket}/{DUMP}a%20b.jpg",
            "x-amz-copy-source-if-match": f'"{ETAG}"',
            "if-none-match": "*",
            "x-amz-metadata-directive": "COPY",
            "x-amz-tagging-directive": "COPY",
            "x-amz-object-annotation-directive": "EXCLUDE",
        },
        b"",
    ) in sent["crt"]


def test_the_crt_sends_only_the_headers_of_a_signed_copy(s3, proxy, settings):
    exchange("crt", parameters(s3, "1.jpg"))
    assert set(proxy.seen[-1].headers) <= {
        "host", "content-length", "user-agent", "authorization", "x-amz-date", "x-amz-content-sha256",
        "x-amz-copy-source", "x-amz-copy-source-if-match", "if-none-match", "x-amz-metadata-directive",
        "x-amz-tagging-directive", "x-amz-object-annotation-directive",
    }  # fmt: skip


# --- requests that cannot be made ------------------------------------------------------------------------------------


@pytest.mark.parametrize("etag", ["line\nfeed", "a\r\nX-Amz-Acl: public-read"])
def test_an_etag_that_no_header_can_hold_fails_its_own_request_only(s3, proxy, settings, engine, etag):
    unfit, fit = exchange(engine, parameters(s3, "1.jpg", etag=etag) + parameters(s3, "2.jpg"))
    assert (unfit.status in (200, 401, 403), fit) == (False, COPIED)
    assert not [request for request in proxy.seen if "x-amz-acl" in request.headers]


@pytest.mark.parametrize("unfit", [{"Key": None}, {"CopySource": {}}, {"IfNoneMatch": 1}])
def test_a_request_that_cannot_be_built_is_answered_with_the_error(s3, settings, engine, unfit):
    (parts,) = parameters(s3, "1.jpg")
    answer, after = exchange(engine, [parts | unfit, parts])
    assert (answer.status, answer.code.endswith("Error"), after) == (400, True, COPIED)


def test_a_request_that_cannot_be_begun_is_answered_once_and_never_sent(s3, proxy, settings, engine):
    """The CRT does not take it; boto3's pool has queued it when the system refuses another thread."""
    there, go_on = threading.Event(), threading.Event()

    def wait(request: Request) -> Reply | None:
        if request.kind != COPY:
            return None
        there.set()
        go_on.wait(20)
        return copied()

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError

    proxy.rule = wait
    first, second = parameters(s3, "1.jpg", "2.jpg")
    answers: list[Answer] = []
    with open_engine(engine, single_try_client(2), find_endpoints({s3.bucket}), 2) as send:
        send(first, SIZE, answers.append)
        assert there.wait(20)
        with settings.context() as broken:
            broken.setattr(S3Client, "make_request", fail)
            broken.setattr(threading.Thread, "start", fail)
            send(second, SIZE, answers.append)
        assert answers == [Answer(400, "RuntimeError")]
        go_on.set()
        while len(answers) < 2:
            time.sleep(0.01)
    assert answers == [Answer(400, "RuntimeError"), COPIED]
    assert proxy.copies == [first["Key"]]


def test_a_request_to_a_closed_engine_is_answered_and_not_sent(s3, proxy, settings, engine):
    answers: list[Answer] = []
    with open_engine(engine, single_try_client(1), find_endpoints({s3.bucket}), 1) as send:
        pass
    send(*parameters(s3, "1.jpg"), SIZE, answers.append)
    assert answers == [Answer(400, "RuntimeError")]
    assert not proxy.copies


# --- where ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "config", "endpoint"),
    [
        ({}, "", ("https", "clinic.s3.eu-west-1.amazonaws.com", "", "eu-west-1")),
        ({}, "s3 =\n  addressing_style = path", ("https", "s3.eu-west-1.amazonaws.com", "/clinic", "eu-west-1")),
        ({"AWS_REGION": "us-west-2"}, "", ("https", "clinic.s3.us-west-2.amazonaws.com", "", "us-west-2")),
        ({}, "use_fips_endpoint = true", ("https", "clinic.s3-fips.eu-west-1.amazonaws.com", "", "eu-west-1")),
        ({}, "use_dualstack_endpoint = true",
         ("https", "clinic.s3.dualstack.eu-west-1.amazonaws.com", "", "eu-west-1")),
        ({"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9000"}, "", ("http", "127.0.0.1:9000", "/clinic", "eu-west-1")),
        ({"AWS_ENDPOINT_URL_S3": "https://s3.example.org/store/"}, "",
         ("https", "s3.example.org", "/store/clinic", "eu-west-1")),
        ({"AWS_ENDPOINT_URL_S3": "https://s3.example.org"}, "s3 =\n  addressing_style = virtual",
         ("https", "clinic.s3.example.org", "", "eu-west-1")),
        ({"AWS_ENDPOINT_URL_S3": "https://s3.example.org:8443/store"}, "s3 =\n  addressing_style = virtual",
         ("https", "clinic.s3.example.org:8443", "/store", "eu-west-1")),
    ],
)  # fmt: skip
def test_the_endpoint_of_a_bucket_is_where_boto3_sends_its_requests(
    s3, tmp_path, monkeypatch, environment, config, endpoint
):
    """Without network: a handler of botocore's answers in place of S3."""
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
    assert find_endpoints({"clinic"}) == {"clinic": Endpoint(*endpoint)}


def test_an_endpoint_with_a_path_is_served(s3, proxy, settings, engine):
    settings.setenv("AWS_ENDPOINT_URL_S3", f"{proxy.endpoint}/store")
    proxy.translate = lambda headers: None
    proxy.rule = lambda request: copied() if request.kind == COPY else proxy.pass_on(
        request._replace(path=request.path.removeprefix("/store"))
    )  # fmt: skip
    assert exchange(engine, parameters(s3, "1.jpg")) == [COPIED]
    assert proxy.seen[-1].path == f"/store/{s3.bucket}/patients/1.jpg"


# --- TLS and proxies -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> Path:
    """A self-signed certificate for 127.0.0.1; its key is beside it as `key.pem`."""
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
def tls_proxy(s3: S3, settings: pytest.MonkeyPatch, certificate: Path) -> Iterator[AnsweringProxy]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    with answering_proxy(s3.environment, context) as proxy:
        proxy.rule = lambda request: copied() if request.kind == COPY else None
        settings.setenv("AWS_ENDPOINT_URL_S3", proxy.endpoint)
        yield proxy


def test_a_store_with_a_certificate_of_its_own_is_used_if_the_certificate_is_named(
    s3, tls_proxy, settings, certificate, engine
):
    settings.setenv("AWS_CA_BUNDLE", str(certificate))
    assert exchange(engine, parameters(s3, "1.jpg", "2.jpg")) == [COPIED] * 2
    settings.delenv("AWS_CA_BUNDLE")
    with pytest.raises(UnusableInput, match="cannot be verified; set AWS_CA_BUNDLE"):
        find_endpoints({s3.bucket})


def test_an_http_proxy_is_for_boto3_alone(s3, proxy, settings):
    settings.setenv("AWS_ENDPOINT_URL_S3", s3.environment["AWS_ENDPOINT_URL_S3"])
    for name in ("HTTP_PROXY", "http_proxy"):
        settings.setenv(name, proxy.endpoint)
    asked = parameters(s3, "1.jpg")
    assert exchange("boto3", asked) == [COPIED]
    with pytest.raises(UnusableInput, match="the crt engine does not support the proxy"):
        exchange("crt", asked)
    for name in ("NO_PROXY", "no_proxy"):
        settings.setenv(name, "127.0.0.1")
    (answer,) = exchange("crt", asked)
    assert answer.code == "NoSuchKey"
    assert len(proxy.copies) == 1


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


def test_credentials_are_renewed_while_requests_are_sent(s3, proxy, settings, tmp_path, engine):
    """The SDK renews them a quarter of an hour before they expire: here one second after they were issued."""
    issuer, issued, config = tmp_path / "issue.py", tmp_path / "issued", tmp_path / "config"
    issuer.write_text(ISSUER)
    config.write_text(f"[profile clinic]\ncredential_process = {sys.executable} -S {issuer} {issued}\n")
    settings.delenv("AWS_ACCESS_KEY_ID")
    settings.delenv("AWS_SECRET_ACCESS_KEY")
    settings.setenv("AWS_PROFILE", "clinic")
    settings.setenv("AWS_CONFIG_FILE", str(config))
    proxy.translate = lambda headers: None

    def check(request: Request) -> Reply | None:
        if request.kind != COPY:
            return None
        time.sleep(0.1)
        numbered = request.headers["x-amz-security-token"].removeprefix("token ") == request.access_key[3:]
        return copied() if numbered else error(403, "InvalidToken")

    proxy.rule = check
    asked = parameters(s3, *map(str, range(60)))
    answers: SimpleQueue[Answer] = SimpleQueue()
    with open_engine(engine, single_try_client(1), find_endpoints({s3.bucket}), 1) as send:
        for one in asked:  # one after the other, for a request is signed early
            send(one, SIZE, answers.put)
            assert answers.get(timeout=20) == COPIED
            if len({request.access_key for request in proxy.seen if request.kind == COPY}) >= 3:
                break
        else:
            pytest.fail("the credentials are not renewed")
    assert len(issued.read_text()) <= 30


# --- answers ---------------------------------------------------------------------------------------------------------

HTML, TO_HTTPS = ("Content-Type", "text/html"), ("Location", "https://127.0.0.1/")
PAGE = b"<!DOCTYPE html><html><head><title>Blocked</title></head><body>Please sign in<br></body></html>"
REPLIES: dict[str, tuple[Reply, Answer, Answer | None]] = {  # the Answer of both engines, or boto3's and the CRT's
    "500": (error(500, "InternalError"), Answer(500, "InternalError"), None),
    "502": (Reply(502, [], b"<html>Bad Gateway</html>"), Answer(502, "502"), Answer(500, "InternalError")),
    "503": (error(503, "SlowDown"), Answer(503, "SlowDown"), None),
    "503, another code": (error(503, "ServiceUnavailable"), Answer(503, "ServiceUnavailable"), Answer(503, "SlowDown")),
    "504, no body": (Reply(504, [], b""), Answer(504, "504"), Answer(500, "InternalError")),
    "501": (error(501, "NotImplemented"), Answer(501, "NotImplemented"), None),
    "409": (error(409, "ConditionalRequestConflict"), Answer(409, "ConditionalRequestConflict"), None),
    "412": (error(412, "PreconditionFailed"), Answer(412, "PreconditionFailed"), None),
    "404": (error(404, "NoSuchKey"), Answer(404, "NoSuchKey"), None),
    "429": (error(429, "TooManyRequests"), Answer(429, "TooManyRequests"), None),
    "400, timeout": (error(400, "RequestTimeout"), Answer(400, "RequestTimeout"), None),
    "400, slow down": (error(400, "SlowDown"), Answer(400, "SlowDown"), Answer(503, "SlowDown")),
    "400, lasting": (error(400, "EntityTooLarge"), Answer(400, "EntityTooLarge"), None),
    "400, expired": (error(400, "ExpiredToken"), Answer(400, "ExpiredToken"), None),
    "401": (error(401, "Unauthorized"), Answer(401, "Unauthorized"), None),
    "403": (error(403, "AccessDenied"), Answer(403, "AccessDenied"), None),
    "403, no body": (Reply(403, [], b""), Answer(403, "403"), None),
    "403, archived": (error(403, "InvalidObjectState"), Answer(403, "InvalidObjectState"), None),
    "403, wrong clock": (error(403, "RequestTimeTooSkewed"), Answer(403, "RequestTimeTooSkewed"), None),
    "301": (error(301, "PermanentRedirect"), Answer(301, "PermanentRedirect"), None),
    "301, no body": (Reply(301, [], b""), Answer(301, "301"), None),
    "302, to https": (Reply(302, [TO_HTTPS, HTML], PAGE), Answer(302, "302"), None),
    "307, to https": (Reply(307, [TO_HTTPS, HTML], PAGE), Answer(307, "307"), None),
    "308, to https": (Reply(308, [TO_HTTPS, HTML], PAGE), Answer(308, "308"), None),
    "307, a bucket that is new": (error(307, "TemporaryRedirect"), Answer(307, "TemporaryRedirect"), None),
    "400, HTML": (Reply(400, [HTML], PAGE), Answer(400, "400"), None),
    "401, HTML": (Reply(401, [HTML], PAGE), Answer(401, "401"), None),
    "403, HTML": (Reply(403, [HTML], PAGE), Answer(403, "403"), None),
    "403, XHTML": (Reply(403, [HTML], b"<html><body>blocked</body></html>"), Answer(403, "403"), None),
    "403, no code": (Reply(403, [], b"<Error><Message>no</Message></Error>"), Answer(403, "403"), None),
    "404, no body": (Reply(404, [], b""), Answer(404, "404"), None),
    "407, HTML": (Reply(407, [HTML], PAGE), Answer(407, "407"), None),
    "511, HTML": (Reply(511, [HTML], PAGE), Answer(511, "511"), None),
    "200, HTML": (Reply(200, [HTML], PAGE), Answer(0, "UnreadableAnswer"), None),
    "200, XHTML": (Reply(200, [HTML], b"<html><body>sign in</body></html>"), Answer(0, "UnreadableAnswer"), None),
    "200, empty etag": (
        Reply(200, [], b"<CopyObjectResult><ETag>&quot;&quot;</ETag></CopyObjectResult>"),
        Answer(0, "UnreadableAnswer"), None,
    ),
    "200, error": (error(200, "InternalError"), Answer(500, "InternalError"), None),
    "200, slow down": (error(200, "SlowDown"), Answer(500, "SlowDown"), Answer(503, "SlowDown")),
    "200, half XML": (
        Reply(200, [], b"<?xml version='1.0'?><CopyObjectRe"), Answer(500, "500"), Answer(0, "UnreadableAnswer")
    ),
    "200, no body": (Reply(200, [], b""), Answer(0, "UnreadableAnswer"), None),
    "200, no etag": (Reply(200, [], b"<CopyObjectResult></CopyObjectResult>"), Answer(0, "UnreadableAnswer"), None),
    "copied": (copied(), COPIED, None),
    "copied, S3's key": (copied(("x-amz-server-side-encryption", "AES256")), COPIED, None),
    "copied, KMS": (copied(("x-amz-server-side-encryption", "aws:kms")), COPIED._replace(encrypted=True), None),
    "copied, KMS twice": (
        copied(("X-Amz-Server-Side-Encryption", "aws:kms:dsse")), COPIED._replace(encrypted=True), None
    ),
    "copied, customer's key": (
        copied(("x-amz-server-side-encryption-customer-algorithm", "AES256")), COPIED._replace(encrypted=True), None
    ),
}  # fmt: skip


def test_a_reply_gives_the_same_answer_on_both_engines_unless_the_crt_drops_its_code(s3, proxy, settings, engine):
    proxy.rule = lambda request: REPLIES[Path(request.key).name][0] if request.kind == COPY else None
    answers = exchange(engine, parameters(s3, *REPLIES), workers=4)
    expected = [crt if crt and engine == "crt" else both for _, both, crt in REPLIES.values()]
    assert dict(zip(REPLIES, answers, strict=True)) == dict(zip(REPLIES, expected, strict=True))
    assert len(proxy.copies) == len(REPLIES), "an engine never retries"


def test_an_answer_that_is_lost_or_cut_or_never_comes_has_no_status_and_the_engines_error(s3, proxy, settings, engine):
    settings.setattr(copy_crt, "TIMEOUT", 0.6)
    settings.setattr(copy_crt, "CHECK_INTERVAL", 0.1)
    client = s3_client(read_timeout=0.6, retries={"total_max_attempts": 1})
    over = threading.Event()
    replies = {
        "closed": Closed(),
        "reset": Closed(reset=True),
        "lost": Closed(done=True),
        "cut": copied()._replace(body=b"<CopyObjectResult><ETag>", cut=True),
        "never": Closed(),
    }

    def answer(request: Request) -> Any:
        if request.kind == COPY and request.key.endswith("never"):
            over.wait(20)
        return replies[Path(request.key).name] if request.kind == COPY else None

    proxy.rule = answer
    answers = exchange(engine, parameters(s3, *replies), workers=5, client=client)
    over.set()
    assert [answer for answer in answers if answer.status not in (0, 500) or not answer.code] == []
    assert answers[-1].code == ("Timeout" if engine == "crt" else "ReadTimeoutError")
    assert len(proxy.copies) == len(replies)


@pytest.mark.parametrize(
    "body", [b"<ETag>\xff</ETag></CopyObjectResult>", b"<?xml version='1.0' encoding='utf-32'?><Error></Error>"]
)
def test_a_body_that_cannot_be_decoded_does_not_leave_the_run_waiting(s3, proxy, settings, engine, body):
    proxy.rule = lambda request: Reply(200, [], body) if request.kind == COPY else None
    (answer,) = exchange(engine, parameters(s3, "1.jpg"))
    assert (answer.etag, bool(answer.code)) == ("", True)


def test_an_endpoint_where_nobody_listens_has_no_status_and_the_engines_error(s3, settings, engine):
    found = {s3.bucket: Endpoint("http", "127.0.0.1:9", f"/{s3.bucket}", "us-east-1")}
    settings.setattr(sys.modules[__name__], "find_endpoints", lambda _: found)
    settings.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    (answer,) = exchange(engine, parameters(s3, "1.jpg"))
    assert (answer.status, bool(answer.code)) == (0, True)


def test_no_more_requests_are_in_flight_than_workers(s3, proxy, settings, engine):
    def slow(request: Request) -> Reply | None:
        time.sleep(0.02)
        return copied() if request.kind == COPY else None

    proxy.rule = slow
    assert exchange(engine, parameters(s3, *map(str, range(30))), workers=3) == [COPIED] * 30
    assert proxy.most == 3


def test_the_crts_requests_are_freed_when_they_end(s3, settings):
    """They would be some kilobytes each, and the garbage collector cannot see into the CRT."""

    def requests() -> int:
        return sum(isinstance(found, S3Request) for found in gc.get_objects())

    before = requests()
    assert exchange("crt", parameters(s3, *map(str, range(30))), workers=3) == [COPIED] * 30
    deadline = time.monotonic() + 10
    while requests() > before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert requests() <= before


def test_a_low_limit_of_open_files_is_raised(s3, tmp_path):
    rows = pictures(s3, 120)
    command = [sys.executable, SCRIPT, str(write_manifest(tmp_path, rows)), "--workers", "100"]
    run = subprocess.run(
        ["sh", "-c", 'ulimit -Sn 64 && exec "$@"', "sh", *command],
        env=s3.environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (run.returncode, run.stdout.split("   ")[0]) == (0, "copied 120"), run
    assert {line["attempts"] for line in results(s3)} == {"1"}
