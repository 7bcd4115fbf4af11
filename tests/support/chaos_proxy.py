"""An HTTP proxy in front of a real S3 server that makes requests fail at random, by a seed, in a process of its own.

As a program it takes the address to pass on to and a file for the faults it has
made; it prints its own port, then reads lines of JSON from stdin. A Plan is
answered with what was done under the one before, null with what was done until
now, and `"go on"` lets the requests go on that the plan holds.
"""

import asyncio
import json
import os
import random
import re
import signal
import socket
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

ERROR = "<?xml version='1.0' encoding='UTF-8'?>\n<Error><Code>{}</Code><Message>a fault for a test</Message></Error>"
ANSWERED = {  # in the server's stead; the request is not done
    "slow down": (503, "SlowDown"),
    "internal error": (500, "InternalError"),
    "write conflict": (409, "ConditionalRequestConflict"),
    "error in a 200": (200, "InternalError"),
    "expired credentials": (403, "ExpiredToken"),
}
RESET_BEFORE = "reset before"  # not done
HANG = "hang"  # not done; the connection closes after `hang_seconds`
LOST_ANSWER = "lost answer"  # done; the connection closes without an answer
HALF_ANSWER = "half an answer"  # done
HANG_AFTER = "hang after"  # done; the connection closes after `hang_seconds`
ERROR_AFTER = "error in a 200 after"  # done
ENDED_EARLY = "listing ended early"  # the page says that it is the last one, and lacks its end
WITH_GAPS = "listing with gaps"  # the page lacks some entries
COPY, HEAD, GET, LIST, PUT = "COPY", "HEAD", "GET", "LIST", "PUT"
HEADERS_END = b"\r\n\r\n"
LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)
CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
CONTENTS = re.compile(rb"<Contents>.*?</Contents>", re.DOTALL)
MOST_IN_MEMORY = 64 * 1024 * 1024


@dataclass
class Plan:
    """What is to happen to the requests from now on.

    `rates` has the probability of each fault by kind of request, `faults` the
    fault of the n-th request (from 1), `expire_from` the number of the first
    request whose credentials have expired. At the request number `signal_at`,
    `signal` goes to the process `pid`, when the server has answered
    (`signal_after`) or before it is asked.
    """

    seed: int = 0
    rates: dict[str, dict[str, float]] = field(default_factory=dict)
    faults: dict[int, str] = field(default_factory=dict)
    expire_from: int = 0
    pid: int = 0
    signal: int = signal.SIGKILL
    signal_at: int = 0
    signal_after: bool = False
    signal_delay: float = 0
    hold_at: int = 0
    hang_seconds: float = 2


@dataclass
class Done:
    """What was done under a plan: requests by kind, faults as `kind fault`; was the signal sent, a request held?

    `busy` is how many requests are with the server now.
    """

    requests: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    signalled: bool = False
    held: bool = False
    busy: int = 0


class Closed(Exception):
    """The connection ends here, without another byte."""


class State:
    """The plan in force, and what is counted under it; `log` has a line `kind fault` for each fault, and no key."""

    def __init__(self, target: str, log: Path) -> None:
        split = urlsplit(target)
        self.host, self.port = split.hostname, split.port
        self.log = log.open("a", buffering=1)
        self.busy = 0
        self.begin(Plan())

    def begin(self, plan: Plan) -> None:
        """Have the next requests fail by another plan."""
        self.plan, self.done, self.random = plan, Done(), random.Random(plan.seed)
        self.may_go_on = asyncio.Event()

    def fault_of(self, kind: str) -> str:
        """The fault of the next request, which is of this kind; empty for none."""
        self.done.requests[kind] += 1
        number = self.done.requests.total()
        fault = self.plan.faults.get(number, "") or self.drawn(kind)
        if 0 < self.plan.expire_from <= number:
            fault = "expired credentials"
        if fault:
            self.done.faults[f"{kind} {fault}"] += 1
            self.log.write(f"{kind} {fault}\n")
        return fault

    def drawn(self, kind: str) -> str:
        """A fault by the plan's rates; empty for none."""
        drawn = self.random.random()
        for fault, rate in self.plan.rates.get(kind, {}).items():
            if drawn < rate:
                return fault
            drawn -= rate
        return ""

    async def hold(self) -> None:
        """Wait, where the plan says so."""
        if 0 < self.plan.hold_at <= self.done.requests.total():
            self.done.held = True
            await self.may_go_on.wait()

    def send_signal(self, *, after: bool) -> None:
        """Send the plan's signal, where this request is the one for it."""
        plan, done = self.plan, self.done
        is_due = 0 < plan.signal_at <= done.requests.total() and not done.signalled
        if is_due and plan.signal_after == after:
            done.signalled = True
            if plan.signal_delay:
                asyncio.get_running_loop().call_later(plan.signal_delay, send_signal, plan)
            else:
                send_signal(plan)


def send_signal(plan: Plan) -> None:
    """Send the plan's signal, unless its process has ended."""
    with suppress(ProcessLookupError):
        os.kill(plan.pid, plan.signal)


def kind_of(head: bytes) -> str:
    """The kind of a request."""
    method, target, _ = head.split(b" ", 2)
    if method == b"PUT":
        return COPY if b"\r\nx-amz-copy-source:" in head.lower() else PUT
    if method == b"GET":
        return LIST if b"list-type=2" in target else GET
    return method.decode()


async def read_message(reader: asyncio.StreamReader, *, of: str = "") -> tuple[bytes, bytes]:
    """The next request, or the answer to one of the kind `of`: headers and body; Closed where there is none."""
    try:
        head = await reader.readuntil(HEADERS_END)
        while of and head.startswith(b"HTTP/1.1 100"):
            head = await reader.readuntil(HEADERS_END)
        length = LENGTH.search(head)
        if of == HEAD or head.startswith((b"HTTP/1.1 204", b"HTTP/1.1 304")):
            return head, b""
        if CHUNKED.search(head):
            return head, await read_chunks(reader)
        return head, await reader.readexactly(int(length[1])) if length else b""
    except (asyncio.IncompleteReadError, ConnectionError):
        raise Closed from None


async def read_chunks(reader: asyncio.StreamReader) -> bytes:
    """A chunked body."""
    body = b""
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readuntil(b"\r\n")
    return body


def with_length(head: bytes, body: bytes) -> bytes:
    """The headers of an answer with this body."""
    lines = [
        line
        for line in head[: -len(HEADERS_END)].split(b"\r\n")
        if not line.lower().startswith((b"content-length:", b"transfer-encoding:"))
    ]
    return b"\r\n".join([*lines, b"Content-Length: %d" % len(body)]) + HEADERS_END


def xml_answer(status: int, code: str, kind: str) -> bytes:
    """An error as S3 gives it."""
    body = ERROR.format(code).encode()
    head = b"HTTP/1.1 %d Fault\r\nContent-Type: application/xml\r\nContent-Length: %d\r\n\r\n" % (status, len(body))
    return head if kind == HEAD else head + body


def shortened(fault: str, body: bytes, chance: random.Random) -> bytes:
    """A page of a listing without its end, or without some entries."""
    entries = CONTENTS.findall(body)
    if fault == ENDED_EARLY:
        kept = entries[: chance.randrange(len(entries) + 1)]
        body = re.sub(rb"<NextContinuationToken>.*?</NextContinuationToken>", b"", body)
        body = body.replace(b"<IsTruncated>true<", b"<IsTruncated>false<")
    else:
        kept = [entry for entry in entries if chance.random() < 0.5]
    start, end = (body.index(entries[0]), body.index(entries[-1]) + len(entries[-1])) if entries else (0, 0)
    return body[:start] + b"".join(kept) + body[end:]


class Upstream:
    """A connection to the server, made when it is first needed."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.writer: asyncio.StreamWriter | None = None

    async def ask(self, request: bytes, kind: str) -> tuple[bytes, bytes]:
        """Pass a request on, once more where the server had closed the connection meanwhile; its answer."""
        was_open = self.writer is not None
        self.state.busy += 1
        try:
            return await self.ask_once(request, kind)
        except Closed:
            self.close()
            if not was_open:
                raise
            return await self.ask_once(request, kind)
        finally:
            self.state.busy -= 1

    async def ask_once(self, request: bytes, kind: str) -> tuple[bytes, bytes]:
        """Pass a request on; Closed where nothing comes back."""
        if self.writer is None:
            connection = asyncio.open_connection(self.state.host, self.state.port, limit=MOST_IN_MEMORY)
            self.reader, self.writer = await connection
        self.writer.write(request)
        return await read_message(self.reader, of=kind)

    def close(self) -> None:
        """End the connection."""
        if self.writer is not None:
            self.writer.close()
            self.writer = None


async def serve_connection(state: State, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer the requests of one connection until it ends."""
    upstream = Upstream(state)
    try:
        while True:
            head, body = await read_request(reader, writer)
            await answer(state, upstream, writer, head, body)
            await writer.drain()
    except (Closed, ConnectionError, OSError):
        pass
    finally:
        upstream.close()
        with suppress(OSError):
            writer.transport.abort()


async def read_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[bytes, bytes]:
    """The next request; one that waits for leave to send its body gets it."""
    try:
        head = await reader.readuntil(HEADERS_END)
        if b"\r\nexpect: 100-continue" in head.lower():
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        length = LENGTH.search(head)
        return head, await reader.readexactly(int(length[1])) if length else b""
    except (asyncio.IncompleteReadError, ConnectionError):
        raise Closed from None


async def answer(
    state: State, upstream: Upstream, writer: asyncio.StreamWriter, request_head: bytes, request_body: bytes
) -> None:
    """Pass one request on, unless its fault is not to; give the answer that its fault leaves."""
    kind = kind_of(request_head)
    plan, chance = state.plan, state.random
    fault = state.fault_of(kind)
    state.send_signal(after=False)
    await state.hold()
    if fault in ANSWERED:
        writer.write(xml_answer(*ANSWERED[fault], kind))
        return
    if fault == HANG:
        await asyncio.sleep(plan.hang_seconds)
    if fault == RESET_BEFORE:
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    if fault in (RESET_BEFORE, HANG):
        raise Closed
    head, body = await upstream.ask(request_head + request_body, kind)
    state.send_signal(after=True)
    if fault == HANG_AFTER:
        await asyncio.sleep(plan.hang_seconds)
    if fault in (LOST_ANSWER, HANG_AFTER):
        raise Closed
    if fault == ERROR_AFTER:
        writer.write(xml_answer(200, "InternalError", kind))
        return
    if fault in (ENDED_EARLY, WITH_GAPS):
        body = shortened(fault, body, chance)
    if kind != HEAD:
        head = with_length(head, body)
    if fault == HALF_ANSWER:
        whole = head + body
        writer.write(whole[: len(head) + len(body) // 2] if body else whole[: len(whole) // 2])
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        raise Closed
    writer.write(head + body)


async def serve(target: str, log: Path) -> None:
    """Serve until stdin ends."""
    state = State(target, log)
    server = await asyncio.start_server(
        lambda reader, writer: serve_connection(state, reader, writer), "127.0.0.1", 0, limit=MOST_IN_MEMORY
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    plans = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(plans), sys.stdin)
    while line := await plans.readline():
        given = json.loads(line)
        print(json.dumps({**vars(state.done), "busy": state.busy}), flush=True)
        if isinstance(given, dict):
            state.may_go_on.set()
            given["faults"] = {int(number): fault for number, fault in given["faults"].items()}
            state.begin(Plan(**given))
        elif given:
            state.may_go_on.set()


class ChaosProxy:
    """A proxy that runs; `endpoint` is its address."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.endpoint = f"http://127.0.0.1:{int(process.stdout.readline())}"

    def begin(self, plan: Plan) -> Done:
        """Have the next requests fail by this plan; what was done under the one before."""
        return self.tell(asdict(plan))

    def look(self) -> Done:
        """What was done under this plan until now."""
        return self.tell(None)

    def go_on(self) -> None:
        """Let requests that are held go on."""
        self.tell("go on")

    def tell(self, what: object) -> Done:
        """Say something to the proxy; its answer."""
        self.process.stdin.write(json.dumps(what) + "\n")
        self.process.stdin.flush()
        done = json.loads(self.process.stdout.readline())
        return Done(**{**done, "requests": Counter(done["requests"]), "faults": Counter(done["faults"])})


@contextmanager
def chaos_proxy(target: str, log: Path) -> Iterator[ChaosProxy]:
    """Run a ChaosProxy in front of `target`; it has ended with the context."""
    command = [sys.executable, __file__, target, str(log)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield ChaosProxy(process)
        finally:
            process.kill()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(serve(sys.argv[1], Path(sys.argv[2])))
