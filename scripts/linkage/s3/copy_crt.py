"""Copies sent by the AWS Common Runtime (CRT), Amazon's S3 client in C."""

import ctypes
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

from awscrt.auth import AwsCredentialsProvider, AwsSigningConfig
from awscrt.exceptions import AwsCrtError
from awscrt.http import HttpHeaders, HttpRequest
from awscrt.io import ClientTlsContext, TlsConnectionOptions, TlsContextOptions
from awscrt.s3 import (
    S3Client,
    S3RequestTlsMode,
    S3RequestType,
    S3ResponseError,
    S3RetryConfig,
    S3RetryMode,
    create_default_s3_signing_config,
)
from botocore.httpsession import get_cert_path
from botocore.utils import get_environ_proxies

from linkage.errors import UnusableInput
from linkage.s3.answers import CUSTOMER_KEYS, Answer, Parameters, Send, ask
from linkage.s3.clients import aws_core, aws_session
from linkage.s3.endpoints import Place

TIMEOUT = 60  # seconds that S3 may take for an answer …
BYTES_PER_SECOND = 10_000_000  # … and more for the bytes it has to copy
GBPS_PER_CONNECTION = 0.5  # above the CRT's own figure, so that it opens as many connections as there are requests
BETWEEN_LOOKS = 0.25  # seconds from one look at requests in flight and credentials to the next
CONNECT_TIMEOUT = 10  # seconds
CRT_ANSWERS = {  # of these the CRT keeps the meaning alone
    "AWS_ERROR_S3_SLOW_DOWN": (503, "SlowDown"),
    "AWS_ERROR_S3_INTERNAL_ERROR": (500, "InternalError"),
    "AWS_ERROR_S3_REQUEST_TIMEOUT": (400, "RequestTimeout"),
    "AWS_ERROR_S3_REQUEST_TIME_TOO_SKEWED": (403, "RequestTimeTooSkewed"),
    "AWS_ERROR_S3_CANCELED": (0, "Timeout"),
}
# The etag in the answer to a copy; an XML parser takes a tenth of all the time for it.
COPIED = re.compile(
    rb"""<ETag>(?:"|&quot;|&#34;)?([^<>&"]+)(?:"|&quot;|&#34;)?</ETag>.*</CopyObjectResult>""", re.DOTALL
)
ENCRYPTION = "x-amz-server-side-encryption"


@contextmanager
def crt_engine(client: Any, places: dict[str, Place], workers: int) -> Iterator[Send]:
    """The AWS CRT's S3 client, one for each bucket; `workers` connections at most.

    Headers have the names that boto3's own description of S3 gives them. A
    thread renews the credentials, and cancels requests that take too long: the
    CRT waits for ever.
    """
    members = client.meta.service_model.operation_model("CopyObject").input_shape.members
    headers = {
        name: shape.serialization["name"]
        for name, shape in members.items()
        if shape.serialization.get("location") == "header"
    }
    signing_config = signing_configs()
    clients = {bucket: crt_client(place, workers) for bucket, place in places.items()}
    keep_thread_state = thread_state_keeper()
    regions = {place.region for place in places.values()}
    signings: dict[str, AwsSigningConfig | Answer] = {}
    pending: dict[int, list[Any]] = {}
    ended = threading.Event()

    def send(parameters: Parameters, size: int, done: Callable[[Answer], None]) -> None:
        found = Found(keep_thread_state)

        def finish(error: Exception | None, **_: Any) -> None:
            pending.pop(id(found), None)
            done(crt_answer(found, error))

        bucket = parameters["Bucket"]
        signing = signings[places[bucket].region]
        if isinstance(signing, Answer):
            done(signing)
            return
        entry = pending[id(found)] = [time.monotonic() + TIMEOUT + size / BYTES_PER_SECOND, None]
        entry[1] = clients[bucket].make_request(
            type=S3RequestType.DEFAULT,
            operation_name="CopyObject",
            request=crt_request(places[bucket], headers, parameters),
            signing_config=signing,
            on_headers=found.take_headers,
            on_body=found.take_body,
            on_done=finish,
        )

    def cancel(before: float) -> None:
        for deadline, request in list(pending.values()):
            if request and deadline < before:
                request.cancel()

    def renew() -> None:
        signings.update({region: ask(partial(signing_config, region)) for region in regions})

    def watch() -> None:
        while not ended.wait(BETWEEN_LOOKS):
            cancel(time.monotonic())
            renew()

    renew()
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield send
    finally:
        ended.set()
        watcher.join()
        cancel(float("inf"))
        while pending:
            time.sleep(0.01)


def signing_configs() -> Callable[[str], AwsSigningConfig]:
    """The function that gives a region's signing with boto3's credentials, which it renews while a run goes on.

    The CRT would ask for them with each request, which costs as much as the request.
    """
    credentials = aws_session().get_credentials()
    made: dict[Any, AwsSigningConfig] = {}

    def signing_config(region: str) -> AwsSigningConfig:
        frozen = credentials.get_frozen_credentials()
        if (region, frozen) not in made:
            made[region, frozen] = create_default_s3_signing_config(
                region=region,
                credential_provider=AwsCredentialsProvider.new_static(
                    frozen.access_key, frozen.secret_key, frozen.token
                ),
            )
        return made[region, frozen]

    return signing_config


def crt_client(place: Place, workers: int) -> S3Client:
    """A CRT client for one bucket that never tries again by itself.

    Raises UnusableInput where only a proxy leads there, which this client does not know.
    """
    url = f"{place.scheme}://{place.host}"
    if get_environ_proxies(url):
        raise UnusableInput("the crt engine knows no proxy, and one is set for S3; set NO_PROXY, or use --engine boto3")
    secure = place.scheme == "https"
    return S3Client(
        region=place.region,
        tls_mode=S3RequestTlsMode.ENABLED if secure else S3RequestTlsMode.DISABLED,
        tls_connection_options=tls_options() if secure else None,
        throughput_target_gbps=workers * GBPS_PER_CONNECTION,
        max_active_connections_override=workers,
        retry_config=S3RetryConfig(retry_mode=S3RetryMode.NONE),
        connect_timeout_ms=CONNECT_TIMEOUT * 1000,
    )


def tls_options() -> TlsConnectionOptions:
    """TLS that trusts whom boto3 trusts: `AWS_CA_BUNDLE`, or the certificates that boto3 finds."""
    options = TlsContextOptions()
    options.override_default_trust_store_from_path(
        ca_filepath=get_cert_path(aws_core().get_config_variable("ca_bundle") or True)
    )
    return ClientTlsContext(options).new_connection_options()


def crt_request(place: Place, headers: dict[str, str], parameters: Parameters) -> HttpRequest:
    """The PUT of a CopyObject; keys are encoded as boto3 encodes them."""
    source = parameters["CopySource"]
    texts = {**parameters, "CopySource": encode(f"{source['Bucket']}/{source['Key']}")}
    named = [(headers[name], text) for name, text in texts.items() if name in headers]
    return HttpRequest(
        "PUT",
        f"{place.path}/{encode(parameters['Key'])}",
        HttpHeaders([("Host", place.host), ("Content-Length", "0"), *named]),
    )


def encode(key: str) -> str:
    """A key as it stands in a URL."""
    return quote(key, safe="/~")


def thread_state_keeper() -> Callable[[], None]:
    """A function that keeps Python's state of the calling thread, from its first call in each thread on.

    Python makes that state anew for every callback from a thread of the CRT's
    own, and removes it afterwards: a third of the processor's time.
    """
    kept: set[int] = set()

    def keep() -> None:
        thread = threading.get_ident()
        if thread not in kept:
            kept.add(thread)
            ctypes.pythonapi.PyGILState_Ensure()  # without its PyGILState_Release

    return keep


class Found:
    """Headers and body of an answer, as the CRT brings them."""

    __slots__ = ("body", "first", "headers")

    def __init__(self, first: Callable[[], None]) -> None:
        """`first` is called before anything is taken, in the CRT's thread."""
        self.first = first
        self.headers: list[tuple[str, str]] = []
        self.body = b""

    def take_headers(self, status_code: int, headers: list[tuple[str, str]]) -> None:
        self.first()
        self.headers = headers

    def take_body(self, chunk: bytes, offset: int) -> None:
        self.body += chunk


def crt_answer(found: Found, error: Exception | None) -> Answer:
    """What the CRT has brought of one CopyObject."""
    if isinstance(error, S3ResponseError):
        return Answer(int(error.status_code), xml_text(error.body or b"", "Code") or str(error.status_code))
    if isinstance(error, AwsCrtError):
        status = 403 if error.name.startswith("AWS_AUTH_") else 0
        return Answer(*CRT_ANSWERS.get(error.name, (status, error.name)))
    if error:
        return Answer(0, type(error).__name__)
    etag = COPIED.search(found.body)
    if not etag:
        return Answer(0, xml_text(found.body, "Code") or "UnreadableAnswer")
    encrypted = any(
        name.lower().startswith(ENCRYPTION) and (value in CUSTOMER_KEYS or "customer" in name.lower())
        for name, value in found.headers
    )
    return Answer(200, "", etag[1].decode(), encrypted)


def xml_text(body: bytes, name: str) -> str:
    """The text of an element right under the root of S3's answer; empty where there is none, or no XML."""
    try:
        return ElementTree.fromstring(body).findtext(f"{{*}}{name}") or ""
    except ElementTree.ParseError:
        return ""
