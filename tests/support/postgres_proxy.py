"""A TCP proxy in front of a real PostgreSQL server that ends connections at chosen messages of the client."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from socketserver import StreamRequestHandler, ThreadingTCPServer
from urllib.parse import urlsplit

# What happens to a message: with None it is passed on; otherwise the connection ends without an answer to it.
DROPPED, LOST_ANSWER = "dropped", "passed on, its answer is lost"


class PostgresProxy(ThreadingTCPServer):
    """Calls `listen` with each message of a client before passing it on; the return value decides what happens to it.

    A message is its type and content, such as `QCOMMIT`; the first, which has no
    type, is passed on without a call, and so is all of a second connection, in which
    a slow client asks what it waits for. `url` leads through the proxy to the database.
    """

    daemon_threads = True

    def __init__(self, url: str, listen: Callable[[str], str | None]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        parts = urlsplit(url)
        self.connections = 0
        self.target, self.listen = (parts.hostname, parts.port), listen
        address = f"{parts.netloc.rpartition('@')[0]}@127.0.0.1:{self.server_address[1]}"
        self.url = parts._replace(netloc=address, query="sslmode=disable&gssencmode=disable").geturl()


class Handler(StreamRequestHandler):
    """One connection."""

    server: PostgresProxy

    def handle(self) -> None:
        with socket.create_connection(self.server.target) as onward:
            answers = threading.Thread(target=pass_on, args=(onward, self.connection))
            answers.start()
            with suppress(OSError):  # a client that is killed resets its connection
                self.pass_messages_on(onward)
            end(onward)
            answers.join()

    def pass_messages_on(self, onward: socket.socket) -> None:
        """Pass messages on until the client ends the connection, or a fault does."""
        self.server.connections += 1
        listen = self.server.listen if self.server.connections == 1 else lambda message: None
        fault, first = None, True
        while not fault and (head := self.rfile.read(4 if first else 5)):
            message = head + self.rfile.read(int.from_bytes(head[-4:], "big") - 4)
            if not first:
                fault = listen((message[:1] + message[5:]).rstrip(b"\0").decode(errors="replace"))
            first = False
            if fault:
                end(self.connection)
            if fault != DROPPED:
                onward.sendall(message)


def pass_on(source: socket.socket, target: socket.socket) -> None:
    """Pass on what `source` sends until either connection ends."""
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    end(target)


def end(connection: socket.socket) -> None:
    """Close a connection in both directions; it may be closed already."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def postgres_proxy(url: str, listen: Callable[[str], str | None]) -> Iterator[PostgresProxy]:
    """Run a PostgresProxy in front of the server of `url`."""
    with PostgresProxy(url, listen) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
            thread.join()
