"""A relay in front of a TLS server on this machine, which cuts connections."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


@contextmanager
def cutting(port: int, cut: Callable[[], bool]) -> Iterator[int]:
    """The port of a relay to `port` that ends a new connection in its TLS handshake where `cut()` says so."""
    listening = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []
    connections: list[socket.socket] = []

    def pass_on(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while part := source.recv(65536):
                target.sendall(part)
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def relay() -> None:
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", port))
            if cut():
                server.sendall(client.recv(65536))
                client.sendall(server.recv(50))
                client.close()
                server.close()
                continue
            connections.extend((client, server))
            for pair in ((client, server), (server, client)):
                threads.append(threading.Thread(target=pass_on, args=pair))
                threads[-1].start()

    thread = threading.Thread(target=relay)
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        for one in connections:  # kept alive by the client
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for one in (thread, *threads):
            one.join()
