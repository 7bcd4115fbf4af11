"""An HTTP proxy in front of a real S3 server that makes chosen requests fail."""

import http.client
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

ERROR = "<?xml version='1.0'?><Error><Code>{}</Code><Message>a fault for a test</Message></Error>"
FAULTS = {
    "slow down": (503, ERROR.format("SlowDown")),
    "denied": (403, ERROR.format("AccessDenied")),
    "error in a 200": (200, ERROR.format("InternalError")),
    "half an answer": (200, "<?xml version='1.0'?><CopyObjectRe"),
}


class FaultyProxy(ThreadingHTTPServer):
    """Each request that holds `marker` in its line or headers takes the next fault, if there is one left.

    A fault is one of FAULTS, answered in the real server's stead, or `lost
    answer`: the request is done, and the connection closed without an answer.
    """

    daemon_threads = True

    def __init__(self, target: str, marker: str, faults: list[str]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.target, self.marker, self.faults = urlsplit(target).netloc, marker.lower(), deque(faults)
        self.seen: list[str] = []
        self.endpoint = f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    """Passes one request on, or answers it with a fault."""

    protocol_version = "HTTP/1.1"
    server: FaultyProxy

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.seen.append(self.requestline)
        marked = self.server.marker in f"{self.requestline}\n{self.headers}".lower()
        fault = self.server.faults.popleft() if marked and self.server.faults else None
        if fault in FAULTS:
            status, text = FAULTS[fault]
            self.answer(status, [("Content-Type", "application/xml")], text.encode())
            return
        onward = http.client.HTTPConnection(self.server.target)
        onward.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            onward.putheader(name, value)
        onward.endheaders(body)
        response = onward.getresponse()
        content = response.read()
        onward.close()
        if fault == "lost answer":
            self.close_connection = True
        else:
            self.answer(response.status, response.getheaders(), content)

    do_PUT = do_HEAD = do_POST = do_GET

    def answer(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
        self.send_response_only(status)
        lengths = [value for name, value in headers if name.lower() == "content-length"]
        for name, value in headers:
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        self.send_header("Content-Length", lengths[0] if self.command == "HEAD" and lengths else str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Nothing: tests read what the scripts print."""


@contextmanager
def faulty_proxy(target: str, marker: str, faults: list[str]) -> Iterator[FaultyProxy]:
    """Run a FaultyProxy in front of `target`."""
    with FaultyProxy(target, marker, faults) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
            thread.join()
