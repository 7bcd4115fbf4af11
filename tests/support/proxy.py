"""An HTTP proxy in front of a real S3 server: rules answer in its place, change its answers, or break connections.

It runs in threads of the test's own process, so that rules are functions and
what was requested can be read at once. Faults at random are a rule with a seed.
"""

import random
import re
import socket
import ssl
import struct
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

COPY, PUT, HEAD, GET, TAGS, LIST, BUCKET = "copy", "put", "head", "get", "tags", "list", "head bucket"
OF_THE_CONNECTION = {"connection", "content-length", "expect", "host", "transfer-encoding"}
OF_THE_SIGNATURE = {"authorization", "x-amz-content-sha256", "x-amz-date", "x-amz-security-token"}
HANG_SECONDS = 2


class Request(NamedTuple):
    """A request: `path` unchanged, names of headers in lower case; `bucket` and `key` are decoded.

    `number` counts from 1 since `seen` was last cleared, `at` is a monotonic
    time, and `present` is how many requests about objects were there at once.
    """

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    at: float = 0
    number: int = 0
    present: int = 0

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.path).query, keep_blank_values=True)

    @property
    def bucket(self) -> str:
        return unquote(urlsplit(self.path).path).split("/", 2)[1]

    @property
    def key(self) -> str:
        return [*unquote(urlsplit(self.path).path).split("/", 2), ""][2]

    @property
    def kind(self) -> str:
        """One of the kinds above, or another method's name."""
        if "x-amz-copy-source" in self.headers:
            return COPY
        if not self.key:
            return BUCKET if self.method == "HEAD" else LIST
        return TAGS if "tagging" in self.query else self.method.lower()

    @property
    def access_key(self) -> str:
        found = re.search(r"Credential=([^/]+)/", self.headers.get("authorization", ""))
        return found[1] if found else ""


class Reply(NamedTuple):
    """An answer; if it is `cut`, one byte more is announced than is sent, and the connection ends."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    cut: bool = False


class Closed(NamedTuple):
    """The connection ends without an answer, after this many seconds, or is `reset`; the request is `done` before."""

    seconds: float = 0
    done: bool = False
    reset: bool = False


# What a rule decides: the answer, the end of the connection, or a change to the server's answer; None for no fault.
Effect = Reply | Closed | Callable[[Reply], Reply] | None
Rule = Callable[[Request], Effect]


def error(status: int, code: str) -> Reply:
    """An error as S3 sends it."""
    text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>a test's</Message></Error>"
    return Reply(status, [("Content-Type", "application/xml")], text.encode())


def answering(reply: Reply | Closed, *kinds: str, key: str) -> Rule:
    """A rule with this answer to requests of these kinds about one key."""
    return lambda request: reply if request.kind in kinds and request.key == key else None


def in_turn(replies: deque[Reply | Closed], *kinds: str, key: str) -> Rule:
    """A rule with these answers, one after the other, to requests of these kinds about one key."""
    return lambda request: replies.popleft() if replies and request.kind in kinds and request.key == key else None


# --- faults at random ------------------------------------------------------------------------------------------------

SLOW_DOWN, EXPIRED = "slow down", "expired credentials"
RESET_BEFORE, HANG = "reset before", "hang"
LOST_ANSWER, HALF_ANSWER, HANG_AFTER, ERROR_AFTER = (
    "lost answer", "half an answer", "hang after", "error in a 200 after",
)  # fmt: skip
ENDED_EARLY = "listing ended early"  # the page says that it is the last one, and lacks its end
WITH_GAPS = "listing with gaps"  # the page lacks some entries
NOT_DONE: dict[str, Effect] = {
    SLOW_DOWN: error(503, "SlowDown"),
    "internal error": error(500, "InternalError"),
    "write conflict": error(409, "ConditionalRequestConflict"),
    "error in a 200": error(200, "InternalError"),
    EXPIRED: error(403, "ExpiredToken"),
    RESET_BEFORE: Closed(reset=True),
    HANG: Closed(HANG_SECONDS),
}
DONE: dict[str, Effect] = {
    LOST_ANSWER: Closed(done=True),
    HANG_AFTER: Closed(HANG_SECONDS, done=True),
    HALF_ANSWER: lambda reply: reply._replace(body=reply.body[: len(reply.body) // 2], cut=True),
    ERROR_AFTER: lambda reply: error(200, "InternalError"),
}
SHORTENED = (ENDED_EARLY, WITH_GAPS)
CONTENTS = re.compile(rb"<Contents>.*?</Contents>", re.DOTALL)


def random_faults(seed: int, rates: dict[str, dict[str, float]], made: Counter[str]) -> Rule:
    """A rule that draws faults; `rates` has the probability of each by kind of request, `made` counts `kind fault`."""
    chance = random.Random(seed)

    def rule(request: Request) -> Effect:
        rates_of_kind = rates.get(request.kind, {})
        weights = [*rates_of_kind.values(), 1 - sum(rates_of_kind.values())]
        name = chance.choices([*rates_of_kind, ""], weights)[0]
        if name in SHORTENED:
            made[f"{request.kind} {name}"] += 1
            return partial(shortened, name, chance)
        return fault(name, request, made) if name else None

    return rule


def fault(name: str, request: Request, made: Counter[str]) -> Effect:
    """The effect of one fault, which is counted in `made`."""
    made[f"{request.kind} {name}"] += 1
    return {**NOT_DONE, **DONE}[name]


def shortened(name: str, chance: random.Random, reply: Reply) -> Reply:
    """A page of a listing without its end, or without some entries."""
    body, entries = reply.body, CONTENTS.findall(reply.body)
    if not entries:
        return reply
    start, end = body.index(entries[0]), body.index(entries[-1]) + len(entries[-1])
    if name == WITH_GAPS:
        kept = [entry for entry in entries if chance.random() < 0.5]
    else:
        kept = entries[: chance.randrange(len(entries) + 1)]
    body = body[:start] + b"".join(kept) + body[end:]
    body = re.sub(rb"<KeyCount>\d+<", b"<KeyCount>%d<" % len(kept), body)
    if name == ENDED_EARLY:
        body = re.sub(rb"<NextContinuationToken>.*?</NextContinuationToken>", b"", body)
        body = body.replace(b"<IsTruncated>true<", b"<IsTruncated>false<")
    return reply._replace(body=body)


# --- the proxy -------------------------------------------------------------------------------------------------------


class AnsweringProxy(ThreadingHTTPServer):
    """`rule(request)` may decide what happens to a request; `change(request, reply)` changes the server's answers.

    With `translate(headers)` requests are passed on with other headers, and
    signed with the real server's keys, whatever keys they came with. `seen` has
    every request; `present` is how many about objects are there now, and `most`
    how many were there at once.
    """

    daemon_threads = True
    request_queue_size = 512

    def __init__(self, environment: dict[str, str], tls: ssl.SSLContext | None = None, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.environment, self.tls = environment, tls
        self.target = urlsplit(environment["AWS_ENDPOINT_URL_S3"]).netloc
        self.translate: Callable[[dict[str, str]], None] | None = None
        self.lock = threading.Lock()
        self.present = self.most = 0
        self.failures: list[Exception] = []
        self.endpoint = f"{'https' if tls else 'http'}://127.0.0.1:{self.server_address[1]}"
        self.begin()

    def begin(
        self,
        rule: Rule = lambda request: None,
        change: Callable[[Request, Reply], Reply] = lambda request, reply: reply,
    ) -> None:
        """Start again with these rules, and with nothing seen."""
        with self.lock:
            self.rule, self.change = rule, change
            self.seen: list[Request] = []

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Serve one connection, in its thread, after a handshake if there is TLS."""
        if self.tls:
            try:
                request = self.tls.wrap_socket(request, server_side=True)
            except OSError:
                return
        super().finish_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: clients and servers may go away at any moment."""

    def counted(self, about: str = "patients/") -> Counter[str]:
        """How many requests of each kind there were about keys that begin so, without the canary."""
        return Counter(
            one.kind for one in self.seen if one.key.startswith(about) and not one.key.endswith("image-linkage-canary")
        )

    @property
    def copies(self) -> list[str]:
        """The keys that copies were to be written to, without the canary."""
        return [one.key for one in self.seen if one.kind == COPY and not one.key.endswith("image-linkage-canary")]

    def decide(self, request: Request) -> Reply | Closed:
        """What happens to a request."""
        with self.lock:
            self.present += bool(request.key)
            self.most = max(self.most, self.present)
            request = request._replace(at=time.monotonic(), number=len(self.seen) + 1, present=self.present)
            self.seen.append(request)
            rule, change = self.rule, self.change
        try:
            try:
                effect = rule(request)
            except Exception as failure:
                self.failures.append(failure)
                raise
            if isinstance(effect, Reply) or (isinstance(effect, Closed) and not effect.done):
                return effect
            reply = change(request, self.pass_on(request))
            return effect if isinstance(effect, Closed) else effect(reply) if effect else reply
        finally:
            with self.lock:
                self.present -= bool(request.key)

    def pass_on(self, request: Request) -> Reply:
        """The real server's answer."""
        headers = {name: value for name, value in request.headers.items() if name not in OF_THE_CONNECTION}
        host = request.headers["host"]
        if self.translate:
            headers = {name: value for name, value in headers.items() if name not in OF_THE_SIGNATURE}
            self.translate(headers)
            host = self.target
            headers = signed(request, headers, self.environment)
        onward = HTTPConnection(self.target)
        onward.putrequest(request.method, request.path, skip_host=True, skip_accept_encoding=True)
        for name, value in {**headers, "host": host, "content-length": str(len(request.body))}.items():
            onward.putheader(name, value)
        onward.endheaders(request.body)
        answered = onward.getresponse()
        content = answered.read()
        onward.close()
        return Reply(answered.status, answered.getheaders(), content)


class Handler(BaseHTTPRequestHandler):
    """Reads requests, and writes what the proxy decides."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: AnsweringProxy

    def do_GET(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        path = re.sub("^https?://[^/]+", "", self.path)  # the path of a client for which this is an HTTP proxy
        decided = self.server.decide(Request(self.command, path, headers, self.read_body()))
        if isinstance(decided, Reply):
            self.answer(decided)
            return
        time.sleep(decided.seconds)
        if decided.reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        self.close_connection = True

    do_PUT = do_HEAD = do_POST = do_DELETE = do_GET

    def read_body(self) -> bytes:
        """The body of a request, in chunks or not."""
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def answer(self, reply: Reply) -> None:
        self.send_response_only(reply.status)
        lengths = [value for name, value in reply.headers if name.lower() == "content-length"]
        for name, value in reply.headers:
            if name.lower() not in OF_THE_CONNECTION:
                self.send_header(name, value)
        length = lengths[0] if self.command == "HEAD" and lengths else len(reply.body)
        self.send_header("Content-Length", str(int(length) + reply.cut))
        self.close_connection |= reply.cut
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body)

    def log_message(self, *_: object) -> None:
        """Nothing: tests read what the scripts print."""


def signed(request: Request, headers: dict[str, str], environment: dict[str, str]) -> dict[str, str]:
    """These headers with a signature by the real server's keys."""
    again = AWSRequest(
        request.method, f"{environment['AWS_ENDPOINT_URL_S3']}{request.path}", headers=headers, data=request.body
    )
    keys = Credentials(environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"])
    S3SigV4Auth(keys, "s3", environment["AWS_REGION"]).add_auth(again)
    return dict(again.headers.items())


@contextmanager
def answering_proxy(
    environment: dict[str, str], tls: ssl.SSLContext | None = None, port: int = 0
) -> Iterator[AnsweringProxy]:
    """Run an AnsweringProxy in front of the server whose clients' environment this is; raises what a rule raised."""
    with AnsweringProxy(environment, tls, port) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
            thread.join()
    for failure in proxy.failures:
        raise failure
