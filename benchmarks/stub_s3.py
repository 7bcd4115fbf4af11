"""A stub of S3: it answers as a store would, at once or after a fixed delay, and stores no copies.

It shows what a client costs and how well it copes with latency; how fast a real
store copies is a different question.

Usage: python -m benchmarks.stub_s3 PORT OBJECTS MILLISECONDS COPIED
"""

import asyncio
import hashlib
import json
import subprocess
import sys
import time
from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.parse import parse_qs, unquote
from urllib.request import urlopen

from sandbox.s3_server import client_environment, die_with_parent, free_ports
from sandbox.settings import DUMP

PROJECT_ROOT = Path(__file__).resolve().parents[1]
COPIES = "patients/"
SIZE = 30_000  # bytes of every source
FIRST_RECID = 10_000_000  # all have eight digits, so that keys sort like numbers
IMAGES_OF_PATIENT = 20
IMAGES_OF_BATCH = 5
PAGE = 1000
READY_SECONDS = 10
COUNTS = "/-/counts"
BACKLOG = 1024
REASONS = {
    200: "OK", 400: "Bad Request", 404: "Not Found", 411: "Length Required", 412: "Precondition Failed",
    501: "Not Implemented",
}  # fmt: skip
CODES = {400: "InvalidRequest", 404: "NoSuchKey", 411: "MissingContentLength", 412: "PreconditionFailed",
         501: "NotImplemented"}  # fmt: skip
WHEN = "2026-01-01T00:00:00.000Z"
MODIFIED = "Thu, 01 Jan 2026 00:00:00 GMT"
NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'


def source_key(number: int) -> str:
    """Return the key of a source object; the first has number 0."""
    return f"{DUMP}{FIRST_RECID + number}.jpg"


def destination_key(number: int) -> str:
    """Return the key of its copy; keys sort like numbers."""
    patient = f"{number // IMAGES_OF_PATIENT:08x}-0000-4000-8000-0123456789ab"
    batch = f"{number // IMAGES_OF_BATCH:08x}-0000-3000-8000-0123456789ab"
    return f"{COPIES}{patient}/images/{batch}/{FIRST_RECID + number}.jpg"


def etag_of(number: int) -> str:
    """Return the ETag of a source object: its number, written like an MD5."""
    return f"{number:032x}"


class Store:
    """The stub's state: `objects` numbered sources, which of them are copied, and the few objects that were put.

    `counts` has the number of requests by kind; copies that are refused count as
    `CopyObject refused`. Every bucket has the same sources and copies.
    """

    def __init__(self, objects: int, copied: int = 0) -> None:
        self.objects = objects
        self.copied = bytearray(b"\1" * copied).ljust(objects, b"\0")
        self.put: dict[str, bytes] = {}
        self.counts: Counter[str] = Counter()

    def answer(self, head: bytes, body: bytes) -> bytes:
        """Return the whole answer to a request."""
        method, target, _ = head.split(b" ", 2)
        path, _, query = target.decode().partition("?")
        key = unquote(path[1:]).partition("/")[2]
        lower = head.lower()
        if method == b"PUT":
            source = header(head, lower, b"x-amz-copy-source")
            return self.copy(key, source, head, lower) if source else self.take(key, lower, body)
        if method in (b"GET", b"HEAD"):
            return self.read(method.decode(), path, key, query)
        return self.refuse(501, "other")

    def copy(self, key: str, source: bytes, head: bytes, lower: bytes) -> bytes:
        """Answer CopyObject."""
        from_key = unquote(source.decode()).removeprefix("/").partition("/")[2]
        etag = self.etag(from_key)
        wanted = header(head, lower, b"x-amz-copy-source-if-match").strip(b'"').decode()
        if etag is None:
            return self.refuse(404, "CopyObject refused")
        if (wanted and wanted != etag) or (header(head, lower, b"if-none-match") and self.etag(key) is not None):
            return self.refuse(412, "CopyObject refused")
        if not self.add(key, from_key):
            return self.refuse(501, "CopyObject refused")
        self.counts["CopyObject"] += 1
        return xml(
            f"<CopyObjectResult {NAMESPACE}><LastModified>{WHEN}</LastModified>"
            f"<ETag>&quot;{etag}&quot;</ETag></CopyObjectResult>"
        )

    def add(self, key: str, from_key: str) -> bool:
        """Record a copy; returns False if it is not of the kind that the stub can record."""
        if key == from_key:
            return key in self.put
        number = self.number(from_key, DUMP)
        if number is None or not key.endswith(destination_key(number)):
            return False
        self.copied[number] = 1
        return True

    def take(self, key: str, lower: bytes, body: bytes) -> bytes:
        """Answer PutObject."""
        if b"\r\nx-amz-decoded-content-length:" in lower or self.number(key, "") is not None:
            return self.refuse(501, "PutObject")
        if b"\r\nif-none-match:" in lower and key in self.put:
            return self.refuse(412, "PutObject")
        self.put[key] = body
        self.counts["PutObject"] += 1
        return whole(200, b"", f'ETag: "{self.etag(key)}"\r\n')

    def read(self, method: str, path: str, key: str, query: str) -> bytes:
        """Answer a GET or HEAD."""
        if path == COUNTS:
            counts = {**self.counts, "CPU seconds": time.process_time()}
            return whole(200, json.dumps(counts).encode(), "Content-Type: application/json\r\n")
        parameters = parse_qs(query, keep_blank_values=True)
        if not key:
            return self.read_bucket(method, parameters)
        etag = self.etag(key)
        kind = "GetObjectTagging" if "tagging" in parameters else f"{method.title()}Object"
        if etag is None:
            return self.refuse(404, kind, empty=method == "HEAD")
        self.counts[kind] += 1
        if "tagging" in parameters:
            return xml(f"<Tagging {NAMESPACE}><TagSet></TagSet></Tagging>")
        content = self.put.get(key)
        size = SIZE if content is None else len(content)
        headers = f'Content-Type: image/jpeg\r\nETag: "{etag}"\r\nLast-Modified: {MODIFIED}\r\n'
        if method == "HEAD":
            return start(200, size, headers)
        return whole(200, bytes(SIZE) if content is None else content, headers)

    def read_bucket(self, method: str, parameters: dict[str, list[str]]) -> bytes:
        """Answer HeadBucket or ListObjectsV2."""
        if method == "HEAD":
            self.counts["HeadBucket"] += 1
            return start(200, 0, "x-amz-bucket-region: us-east-1\r\n")
        if "list-type" not in parameters or "delimiter" in parameters:
            return self.refuse(501, "other")
        self.counts["ListObjectsV2"] += 1
        prefix = parameters.get("prefix", [""])[0]
        first = parameters.get("continuation-token") or [str(self.place_after(parameters.get("start-after", [""])[0]))]
        return xml(self.page(prefix, int(first[0])))

    def place_after(self, key: str) -> int:
        """The place in the order of all keys of the first source or copy that follows this key."""
        numbers = range(self.objects)
        sources = bisect_right(numbers, key, key=source_key)
        return sources + bisect_right(numbers, key, key=destination_key)

    def page(self, prefix: str, first: int) -> str:
        """Return a page of a listing; `first` is a place in the order of all keys that can exist."""
        lines: list[str] = []
        place = self.next_place(first, prefix)
        while place is not None and len(lines) < PAGE:
            key, etag, size = self.object_at(place)
            if key.startswith(prefix):
                lines.append(
                    f"<Contents><Key>{key}</Key><LastModified>{WHEN}</LastModified>"
                    f"<ETag>&quot;{etag}&quot;</ETag><Size>{size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
                )
            place = self.next_place(place + 1, prefix)
        token = "" if place is None else f"<NextContinuationToken>{place}</NextContinuationToken>"
        return (
            f"<ListBucketResult {NAMESPACE}><Prefix>{prefix}</Prefix><EncodingType>url</EncodingType>"
            f"<KeyCount>{len(lines)}</KeyCount><MaxKeys>{PAGE}</MaxKeys>"
            f"<IsTruncated>{'true' if token else 'false'}</IsTruncated>{token}{''.join(lines)}</ListBucketResult>"
        )

    def next_place(self, place: int, prefix: str) -> int | None:
        """Return the next place with an object, this one included: sources first, then copies, then what was put."""
        if place < self.objects and not prefix.startswith(COPIES):
            return place
        if prefix.startswith(DUMP):
            return None
        copied = self.copied.find(1, max(0, place - self.objects))
        if place < 2 * self.objects and copied >= 0:
            return self.objects + copied
        place = max(place, 2 * self.objects)
        return place if place < 2 * self.objects + len(self.put) else None

    def object_at(self, place: int) -> tuple[str, str, int]:
        """Return key, ETag and size of the object at this place."""
        if place < self.objects:
            return source_key(place), etag_of(place), SIZE
        if place < 2 * self.objects:
            return destination_key(place - self.objects), etag_of(place - self.objects), SIZE
        key = sorted(self.put)[place - 2 * self.objects]
        return key, str(self.etag(key)), len(self.put[key])

    def etag(self, key: str) -> str | None:
        """Return the ETag of the object with this key, or None if there is no such object."""
        if key in self.put:
            return hashlib.md5(self.put[key], usedforsecurity=False).hexdigest()
        number = self.number(key, "")
        if number is None or not (key.startswith(DUMP) or self.copied[number]):
            return None
        return etag_of(number)

    def number(self, key: str, prefix: str) -> int | None:
        """Return the number of the source or copy with this key, or None if it does not begin with `prefix`."""
        recid = key[key.rfind("/") + 1 :].removesuffix(".jpg")
        if not (key.startswith(prefix) and recid.isdigit()):
            return None
        number = int(recid) - FIRST_RECID
        return number if 0 <= number < self.objects else None

    def refuse(self, status: int, kind: str, *, empty: bool = False) -> bytes:
        """Count a request and answer it with an error, without a body if `empty` (for HEAD)."""
        self.counts[kind] += 1
        error = f"<Error><Code>{CODES[status]}</Code><Message>refused by the stub</Message></Error>"
        return start(status, 0, "") if empty else xml(error, status)


def header(head: bytes, lower: bytes, name: bytes) -> bytes:
    """Return a header's value, empty if it was not sent; `lower` is `head` in lower case."""
    at = lower.find(b"\r\n" + name + b":")
    if at < 0:
        return b""
    end = lower.find(b"\r\n", at + 2)
    return head[at + len(name) + 3 : end if end >= 0 else None].strip()


def xml(text: str, status: int = 200) -> bytes:
    """Return an answer in XML."""
    return whole(status, f'<?xml version="1.0" encoding="UTF-8"?>{text}'.encode(), "Content-Type: application/xml\r\n")


def whole(status: int, body: bytes, headers: str) -> bytes:
    """Return an answer with a body."""
    return start(status, len(body), headers) + body


def start(status: int, length: int, headers: str) -> bytes:
    """Return an answer up to its body."""
    return (
        f"HTTP/1.1 {status} {REASONS[status]}\r\nx-amz-request-id: 0\r\nContent-Length: {length}\r\n{headers}\r\n"
    ).encode()


class Answers:
    """Writes each answer after the same delay, so that answers are due in the order in which they arrive."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.loop = asyncio.get_running_loop()
        self.due: deque[tuple[float, asyncio.Transport, bytes]] = deque()

    def write(self, transport: asyncio.Transport, answer: bytes) -> None:
        """Write the answer, at once or after the delay."""
        if not self.seconds:
            transport.write(answer)
            return
        self.due.append((self.loop.time() + self.seconds, transport, answer))
        if len(self.due) == 1:
            self.loop.call_at(self.due[0][0], self.write_due)

    def write_due(self) -> None:
        """Write what is due, and schedule the next call."""
        now = self.loop.time()
        while self.due and self.due[0][0] <= now:
            _, transport, answer = self.due.popleft()
            transport.write(answer)
        if self.due:
            self.loop.call_at(self.due[0][0], self.write_due)


class Connection(asyncio.Protocol):
    """One client's connection, with one request after the other."""

    def __init__(self, store: Store, answers: Answers) -> None:
        self.store, self.answers = store, answers
        self.read = b""
        self.continued = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport to write to."""
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        """Answer every request that has arrived in full."""
        self.read += data
        while (end := self.read.find(b"\r\n\r\n")) >= 0:
            head = self.read[:end]
            length = content_length(head)
            if len(self.read) < end + 4 + length:
                if not self.continued and b"100-continue" in head:
                    self.continued = True
                    self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                return
            body = self.read[end + 4 : end + 4 + length]
            self.read = self.read[end + 4 + length :]
            self.continued = False
            self.answers.write(self.transport, self.store.answer(head, body))


def content_length(head: bytes) -> int:
    """Return how many bytes follow the head."""
    return int(header(head, head.lower(), b"content-length") or b"0") if head.startswith(b"PUT") else 0


async def serve(port: int, objects: int, milliseconds: float, copied: int) -> None:
    """Serve on 127.0.0.1 until the process ends."""
    store, answers = Store(objects, copied), Answers(milliseconds / 1000)
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(store, answers), "127.0.0.1", port, backlog=BACKLOG
    )
    await server.serve_forever()


@contextmanager
def stub_server(objects: int, milliseconds: float, copied: int = 0) -> Iterator[dict[str, str]]:
    """Run the stub in its own process, with the first objects `copied`; yields the environment for its clients.

    Raises RuntimeError if it does not start.
    """
    [port] = free_ports(1)
    arguments = [str(port), str(objects), str(milliseconds), str(copied)]
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.stub_s3", *arguments],
        cwd=PROJECT_ROOT,
        process_group=0,
        preexec_fn=die_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509 (no threads run yet)
    )
    try:
        environment = client_environment(f"http://127.0.0.1:{port}", "stub", "stub")
        wait_for(environment, process)
        yield environment
    finally:
        process.kill()
        process.wait()


def wait_for(environment: dict[str, str], process: "subprocess.Popen[bytes]") -> None:
    """Wait until the stub answers; raises RuntimeError if it does not in time."""
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            requests_so_far(environment)
        except URLError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the stub of S3 did not start") from None
            time.sleep(0.05)
        else:
            return


def requests_so_far(environment: dict[str, str]) -> Counter[str]:
    """Return how many requests of each kind the stub has received, and its `CPU seconds`."""
    with urlopen(environment["AWS_ENDPOINT_URL_S3"] + COUNTS) as answer:
        return Counter(json.load(answer))


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])))
