"""Copies sent by the AWS Common Runtime (CRT), Amazon's S3 client in C.

About a sixth of a copy's processor time goes to the thread state that Python
makes and removes for each of the CRT's four callbacks. Keeping that state with a
`PyGILState_Ensure` without its release saves that, but is undefined from Python
3.14 on. These saved nothing: no `on_headers`, an event-loop group of one thread;
a body received through a file cost 0.03 ms more per copy.
"""

import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

from awscrt.auth import AwsCredentialsProvider, AwsSigningConfig
from awscrt.exceptions import AwsCrtError
from awscrt.http import HttpHeaders, HttpRequest
from awscrt.io import ClientTlsContext, TlsConnectionOptions, TlsContextOptions
from awscrt.s3 import (
    S3Client,
    S3Request,
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
from linkage.s3.answers import CUSTOMER_KEYS, Answer, Done, Parameters, Send, ask
from linkage.s3.clients import aws_core, aws_session
from linkage.s3.endpoints import Endpoint

TIMEOUT = 60  # seconds that S3 may take to answer …
BYTES_PER_SECOND = 10_000_000  # … plus the time to copy the source's bytes at this rate
GBPS_PER_CONNECTION = 0.5  # above the CRT's own figure, so that it opens as many connections as there are requests
CHECK_INTERVAL = 0.25  # seconds between two checks of requests in flight and credentials
CONNECT_TIMEOUT = 10  # seconds
# Seconds after which a thread that waits for the GIL gets it. With Python's own 5 ms all the CRT's connections wait for
# the main thread: 3,640 copies/s in place of 4,240 (30 ms latency, 2 cores).
SWITCH_INTERVAL = 0.0005
CRT_ANSWERS = {  # errors for which the CRT keeps neither S3's status nor its code
    "AWS_ERROR_S3_SLOW_DOWN": (503, "SlowDown"),
    "AWS_ERROR_S3_INTERNAL_ERROR": (500, "InternalError"),
    "AWS_ERROR_S3_REQUEST_TIMEOUT": (400, "RequestTimeout"),
    "AWS_ERROR_S3_REQUEST_TIME_TOO_SKEWED": (403, "RequestTimeTooSkewed"),
    "AWS_ERROR_S3_CANCELED": (0, "Timeout"),
}
# The ETag in the answer to a copy. An XML parser would take a tenth of the whole time of a copy for it.
COPIED = re.compile(
    rb"""<ETag>(?:"|&quot;|&#34;)?([^<>&"]+)(?:"|&quot;|&#34;)?</ETag>.*</CopyObjectResult>""", re.DOTALL
)
ENCRYPTION = "x-amz-server-side-encryption"


class Received:
    """Headers and body of an answer, as the CRT delivers them."""

    __slots__ = ("body", "headers")

    def __init__(self) -> None:
        self.headers: list[tuple[str, str]] = []
        self.body = b""

    def take_headers(self, status_code: int, headers: list[tuple[str, str]]) -> None:
        self.headers = headers

    def take_body(self, chunk: bytes, offset: int) -> None:
        self.body += chunk


@dataclass(slots=True)
class InFlight:
    """A request in flight and its deadline in monotonic seconds.

    No callback may refer to it: a request that its own callbacks refer to is never freed.
    """

    deadline: float
    request: S3Request | None = None


@contextmanager
def crt_engine(client: Any, endpoints: dict[str, Endpoint], workers: int) -> Iterator[Send]:
    """The engine on the CRT, with one S3 client per bucket; see `linkage.s3.engines.open_engine`.

    Headers are named after boto3's description of S3, which `client` has. A
    thread renews the credentials and cancels requests that take too long, for
    the CRT itself waits forever.
    """
    names = header_names(client)
    clients = {bucket: crt_client(endpoint, workers) for bucket, endpoint in endpoints.items()}
    signing_config = signing_configs()
    signings: dict[str, AwsSigningConfig | Answer] = {}
    in_flight: dict[int, InFlight] = {}
    numbers = count()
    closed = threading.Event()

    def send(parameters: Parameters, size: int, done: Done) -> None:
        number = next(numbers)
        entry = in_flight[number] = InFlight(time.monotonic() + TIMEOUT + size / BYTES_PER_SECOND)
        received = Received()

        def settle(answer: Answer) -> None:
            if in_flight.pop(number, None):
                done(answer)

        def finish(error: Exception | None, **_: Any) -> None:
            settle(ask(partial(crt_answer, received, error)))

        try:
            if closed.is_set():
                raise RuntimeError("the engine is closed")
            bucket = parameters["Bucket"]
            signing = signings[endpoints[bucket].region]
            if isinstance(signing, Answer):
                settle(signing)
                return
            entry.request = clients[bucket].make_request(
                type=S3RequestType.DEFAULT,
                operation_name="CopyObject",
                request=crt_request(endpoints[bucket], names, parameters),
                signing_config=signing,
                on_headers=received.take_headers,
                on_body=received.take_body,
                on_done=finish,
            )
        except Exception as error:  # no error that one row causes may end the run, nor leave it waiting
            finish(error)

    def cancel(before: float) -> None:
        for entry in list(in_flight.values()):
            if entry.request and entry.deadline < before:
                entry.request.cancel()

    def renew() -> None:
        signings.update({region: ask(partial(signing_config, region)) for region in regions})

    def watch() -> None:
        while not closed.wait(CHECK_INTERVAL):
            cancel(time.monotonic())
            renew()

    regions = {endpoint.region for endpoint in endpoints.values()}
    renew()
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        with switch_interval(SWITCH_INTERVAL):
            yield send
    finally:
        closed.set()
        watcher.join()
        cancel(float("inf"))
        while any(entry.request for entry in list(in_flight.values())):
            time.sleep(0.01)


@contextmanager
def switch_interval(seconds: float) -> Iterator[None]:
    """Let Python's threads take turns after this many seconds, within the context."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(seconds)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def header_names(client: Any) -> dict[str, str]:
    """The header that carries each parameter of CopyObject, from boto3's description of S3."""
    members = client.meta.service_model.operation_model("CopyObject").input_shape.members
    return {
        name: shape.serialization["name"]
        for name, shape in members.items()
        if shape.serialization.get("location") == "header"
    }


def signing_configs() -> Callable[[str], AwsSigningConfig]:
    """A function that returns the signing configuration of a region, with the credentials that boto3 has now.

    boto3 renews them while a run goes on. One configuration is kept for as long
    as its credentials last: if the CRT asked boto3 for credentials at each
    request, that would cost as much as the request.
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


def crt_client(endpoint: Endpoint, workers: int) -> S3Client:
    """A CRT client for one bucket that never retries by itself.

    Raises UnusableInput if the bucket is reached through a proxy, which the CRT's S3 client does not support.
    """
    if get_environ_proxies(f"{endpoint.scheme}://{endpoint.host}"):
        raise UnusableInput("the crt engine does not support the proxy set for S3; set NO_PROXY, or use --engine boto3")
    secure = endpoint.scheme == "https"
    return S3Client(
        region=endpoint.region,
        tls_mode=S3RequestTlsMode.ENABLED if secure else S3RequestTlsMode.DISABLED,
        tls_connection_options=tls_options() if secure else None,
        throughput_target_gbps=workers * GBPS_PER_CONNECTION,
        max_active_connections_override=workers,
        retry_config=S3RetryConfig(retry_mode=S3RetryMode.NONE),
        connect_timeout_ms=CONNECT_TIMEOUT * 1000,
    )


def tls_options() -> TlsConnectionOptions:
    """TLS that trusts the certificates boto3 trusts: `AWS_CA_BUNDLE`, or those that boto3 finds."""
    options = TlsContextOptions()
    options.override_default_trust_store_from_path(
        ca_filepath=get_cert_path(aws_core().get_config_variable("ca_bundle") or True)
    )
    return ClientTlsContext(options).new_connection_options()


def crt_request(endpoint: Endpoint, names: dict[str, str], parameters: Parameters) -> HttpRequest:
    """The PUT request of a CopyObject; keys are encoded as boto3 encodes them."""
    source = parameters["CopySource"]
    texts = {**parameters, "CopySource": encode(f"{source['Bucket']}/{source['Key']}")}
    named = [(names[name], text) for name, text in texts.items() if name in names]
    return HttpRequest(
        "PUT",
        f"{endpoint.path}/{encode(parameters['Key'])}",
        HttpHeaders([("Host", endpoint.host), ("Content-Length", "0"), *named]),
    )


def encode(key: str) -> str:
    """A key as it is written in a URL."""
    return quote(key, safe="/~")


def crt_answer(received: Received, error: Exception | None) -> Answer:
    """The Answer to a request that ended with this error, or else with the headers and body received."""
    if isinstance(error, S3ResponseError):
        return Answer(int(error.status_code), xml_text(error.body or b"", "Code") or str(error.status_code))
    if isinstance(error, AwsCrtError):
        status = 403 if error.name.startswith("AWS_AUTH_") else 0
        return Answer(*CRT_ANSWERS.get(error.name, (status, error.name)))
    if error:  # ours: the request could not be made
        return Answer(400, type(error).__name__)
    etag = COPIED.search(received.body)
    if not etag:
        return Answer(0, xml_text(received.body, "Code") or "UnreadableAnswer")
    encrypted = any(
        name.lower().startswith(ENCRYPTION) and (value in CUSTOMER_KEYS or "customer" in name.lower())
        for name, value in received.headers
    )
    return Answer(200, "", etag[1].decode(), encrypted)


def xml_text(body: bytes, name: str) -> str:
    """The text of a child of the root element of S3's answer; empty if there is none, or if it is not XML."""
    try:
        return ElementTree.fromstring(body).findtext(f"{{*}}{name}") or ""
    except ElementTree.ParseError:
        return ""
