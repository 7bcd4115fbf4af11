"""The HTTPS server of the double of FileMaker Server, which can also break an answer off."""

import contextlib
import socket
import ssl
import struct
import sys
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import Message
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

IDLE_SECONDS = 60
BREAK_OFF = ("truncated", "cut_chunked", "reset", "lost")


@dataclass
class Answer:
    """What to send, how it is broken off (one of BREAK_OFF), and what to do when all of it was sent."""

    status: int
    body: bytes = b""
    content_type: str = "text/html; charset=utf-8"
    headers: dict[str, str] = field(default_factory=dict)
    broken_off: str = ""
    when_sent: Callable[[], None] | None = None


class Double(Protocol):
    """What answers the calls."""

    hosts_asked: Counter[str]
    errors: list[BaseException]

    def answer(self, method: str, target: str, headers: Message, body: bytes) -> Answer: ...


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: "HttpsServer"

    def handle_call(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            answer = self.server.double.answer(self.command, self.path, self.headers, body)
        except Exception as error:
            self.server.double.errors.append(error)
            answer = Answer(500)
        self.send(answer)

    do_GET = do_POST = do_PATCH = do_DELETE = do_PUT = handle_call

    def send(self, answer: Answer) -> None:
        if answer.broken_off:
            self.close_connection = True
        if answer.broken_off == "reset":  # closing without lingering sends RST
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if answer.broken_off in ("reset", "lost"):
            return
        body, cut = answer.body, answer.body[: len(answer.body) // 2]
        headers = {"Content-Type": answer.content_type, **answer.headers, "Content-Length": str(len(body))}
        if answer.broken_off == "truncated":
            headers["Content-Length"], body = str(max(len(body), 1)), cut
        elif answer.broken_off == "cut_chunked":
            del headers["Content-Length"]
            headers["Transfer-Encoding"], body = "chunked", b"%x\r\n%b\r\n" % (len(cut), cut) if cut else b""
        lines = [f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self.wfile.write("\r\n".join([*lines, "", ""]).encode() + body)
        if answer.when_sent and not answer.broken_off:
            answer.when_sent()

    def log_message(self, format: str, *args: Any) -> None:
        pass


class HttpsServer(ThreadingHTTPServer):
    """A server on a free port of 127.0.0.1, with a thread for each connection; closing it ends and joins them.

    The handshake is done in the connection's thread, so that a client that stalls holds up nobody else.
    """

    daemon_threads = False
    request_queue_size = 128
    double: Double

    def __init__(self, tls: ssl.SSLContext) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.tls = tls
        self.connections: set[ssl.SSLSocket] = set()
        self.closing = False
        self.connections_lock = threading.Lock()

    def finish_request(self, request: Any, client_address: Any) -> None:
        request.settimeout(IDLE_SECONDS)
        with self.tls.wrap_socket(request, server_side=True, do_handshake_on_connect=False) as connection:
            with self.connections_lock:
                if self.closing:
                    return
                self.connections.add(connection)
            try:
                connection.do_handshake()
                Handler(connection, client_address, self)
            finally:
                with self.connections_lock:
                    self.connections.discard(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep quiet about clients that have gone; remember what is wrong in the double itself."""
        error = sys.exc_info()[1]
        if isinstance(error, ssl.SSLError) and error.reason == "HTTP_REQUEST":
            self.double.hosts_asked["http://"] += 1
        if error and not isinstance(error, OSError):
            self.double.errors.append(error)

    def server_close(self) -> None:
        with self.connections_lock:
            self.closing = True
            for connection in self.connections:
                with contextlib.suppress(OSError):
                    # Not SSLSocket's own method, which takes the TLS state away from the thread that reads.
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)
        super().server_close()
