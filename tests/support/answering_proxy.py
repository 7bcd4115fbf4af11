"""An HTTP proxy in front of a real S3 server that a test may answer for, and that can sign requests anew.

It runs in threads of the test's own process: rules are functions, and what was
asked can be looked at at once.
"""

import re
import ssl
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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


class Request(NamedTuple):
    """What was asked; `path` as it came, headers' names in lower case; `bucket` and `key` are decoded.

    `at` is a monotonic time, `present` how many requests about objects were there at once.
    """

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    at: float
    present: int

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
        """One of the kinds above."""
        if "x-amz-copy-source" in self.headers:
            return COPY
        if not self.key:
            return BUCKET if self.method == "HEAD" else LIST
        if "tagging" in self.query:
            return TAGS
        return {"PUT": PUT, "HEAD": HEAD, "GET": GET}[self.method]

    @property
    def access_key(self) -> str:
        found = re.search(r"Credential=([^/]+)/", self.headers.get("authorization", ""))
        return found[1] if found else ""


class Reply(NamedTuple):
    """What is answered; where it is `cut`, the connection ends in the midst of the body."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    cut: bool = False


class Closed(NamedTuple):
    """The connection ends without an answer, after so many seconds; where `done`, the request is passed on before."""

    seconds: float = 0
    done: bool = False


Rule = Callable[[Request], Reply | Closed | None]


def error(status: int, code: str) -> Reply:
    """An error as S3 answers it."""
    text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>a test's</Message></Error>"
    return Reply(status, [("Content-Type", "application/xml")], text.encode())


def answering(reply: Reply | Closed, *kinds: str, key: str) -> Rule:
    """The rule that answers so to requests of these kinds about one key."""
    return lambda request: reply if request.kind in kinds and request.key == key else None


def in_turn(replies: deque[Reply | Closed], *kinds: str, key: str) -> Rule:
    """The rule that answers with these, one after the other, to requests of these kinds about one key."""
    return lambda request: replies.popleft() if replies and request.kind in kinds and request.key == key else None


class AnsweringProxy(ThreadingHTTPServer):
    """`rule(request)` may answer in the real server's stead, `change(request, reply)` changes what that has answered.

    With `translate(headers)` requests are passed on with other headers, signed
    anew with the real server's keys, whatever keys they came with. `seen` has
    every request, `most` is the most that were there at the same time, without
    those about buckets.
    """

    daemon_threads = True
    request_queue_size = 512

    def __init__(self, environment: dict[str, str], tls: ssl.SSLContext | None = None, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.environment, self.tls = environment, tls
        self.target = urlsplit(environment["AWS_ENDPOINT_URL_S3"]).netloc
        self.rule: Rule = lambda request: None
        self.change: Callable[[Request, Reply], Reply] = lambda request, reply: reply
        self.translate: Callable[[dict[str, str]], None] | None = None
        self.seen: list[Request] = []
        self.lock = threading.Lock()
        self.present = self.most = 0
        self.endpoint = f"{'https' if tls else 'http'}://127.0.0.1:{self.server_address[1]}"

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Serve one connection, in its thread, after a handshake where there is TLS."""
        if self.tls:
            try:
                request = self.tls.wrap_socket(request, server_side=True)
            except OSError:
                return
        super().finish_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: clients go away when they like."""

    def counted(self, about: str = "patients/") -> Counter[str]:
        """How many requests of each kind there were about keys that begin so, the canary left out."""
        return Counter(
            one.kind for one in self.seen if one.key.startswith(about) and not one.key.endswith("image-linkage-canary")
        )

    @property
    def copies(self) -> list[str]:
        """The keys that copies were to be written to, the canary left out."""
        return [one.key for one in self.seen if one.kind == COPY and not one.key.endswith("image-linkage-canary")]


class Handler(BaseHTTPRequestHandler):
    """Passes requests on, or answers them."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: AnsweringProxy

    def do_GET(self) -> None:
        body = self.read_body()
        headers = {name.lower(): value for name, value in self.headers.items()}
        path = re.sub("^https?://[^/]+", "", self.path)  # a client that takes this for its proxy asks so
        request = Request(self.command, path, headers, body, time.monotonic(), 0)
        with self.server.lock:
            self.server.present += bool(request.key)
            self.server.most = max(self.server.most, self.server.present)
            request = request._replace(present=self.server.present)
            self.server.seen.append(request)
        try:
            reply = self.server.rule(request)
            if reply is None or (isinstance(reply, Closed) and reply.done):
                passed = self.server.change(request, self.pass_on(request))
                reply = reply or passed
        finally:
            with self.server.lock:
                self.server.present -= bool(request.key)
        if isinstance(reply, Closed):
            time.sleep(reply.seconds)
            self.close_connection = True
        else:
            self.answer(reply)

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

    def pass_on(self, request: Request) -> Reply:
        """What the real server answers."""
        headers = {name: value for name, value in request.headers.items() if name not in OF_THE_CONNECTION}
        host = request.headers["host"]
        if self.server.translate:
            headers = {name: value for name, value in headers.items() if name not in OF_THE_SIGNATURE}
            self.server.translate(headers)
            host = self.server.target
            headers = signed(request, headers, self.server.environment)
        onward = HTTPConnection(self.server.target)
        onward.putrequest(request.method, request.path, skip_host=True, skip_accept_encoding=True)
        for name, value in {**headers, "host": host, "content-length": str(len(request.body))}.items():
            onward.putheader(name, value)
        onward.endheaders(request.body)
        answered = onward.getresponse()
        content = answered.read()
        onward.close()
        return Reply(answered.status, answered.getheaders(), content)

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
    """These headers with a signature of the real server's keys."""
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
    """Run an AnsweringProxy in front of the server whose clients' environment this is."""
    with AnsweringProxy(environment, tls, port) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
            thread.join()
