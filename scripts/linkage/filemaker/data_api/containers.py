"""A container's file, streamed from FileMaker Server with every check that shows whether it is whole."""

import hashlib
import re
from typing import IO, NamedTuple
from urllib.parse import urljoin, urlsplit

import filetype
import pillow_heif
import requests

from linkage.filemaker.data_api.problems import NotNow, NotThisRecord
from linkage.filemaker.data_api.session import TIMEOUTS, Bearer, Session

CHUNK = 256 * 1024  # bytes
HEAD = 8 * 1024  # bytes by which a type is recognised
REDIRECTS = 4
UNREADABLE = "?"
STREAMING = re.compile(r".*(/Streaming(?:_[^/?]*)?/)", re.IGNORECASE | re.DOTALL)
WEB = re.compile("https?://", re.IGNORECASE)
PAGE = re.compile(rb"\s*(?:\xef\xbb\xbf)?\s*<(?:!doctype|html|head|body|\?xml)", re.IGNORECASE)
UNKNOWN = ("bin", "application/octet-stream")


class Picture(NamedTuple):
    """A file that has been read as a whole: bytes, digests in hex, and its first bytes."""

    size: int
    md5: str
    sha256: str
    head: bytes


def container_path(value: str) -> str:
    """The path and query of a container's URL, to be asked of the session's own server, whatever host the value names.

    Servers are known to send `http://`, an internal name, the host twice, or a path alone.

    Raises NotNow for `?`, FileMaker's "cannot show this value"; NotThisRecord for the path of a file that is stored by
    reference, which the server does not have, and for the repetitions of a field, because only one could be imported.
    """
    lines = [line for line in value.split("\r") if line.strip()]
    if len(lines) > 1 and any(STREAMING.match(line) or WEB.match(line) for line in lines):
        raise NotThisRecord("SeveralPictures")
    if value.strip() == UNREADABLE:
        raise NotNow("ContainerUnreadable", by_server=False)
    if streaming := STREAMING.match(value):
        return value[streaming.start(1) :]
    if not WEB.match(value):
        raise NotThisRecord("StoredByReference")
    parts = urlsplit(value)
    return parts.path + (f"?{parts.query}" if parts.query else "")


def fetch(session: Session, value: str, file: IO[bytes]) -> Picture:
    """Write the file of a container with this value to `file`.

    Raises NotNow if it did not arrive whole, or is not a file of a container's; NotThisRecord as `container_path` does.
    """
    md5, sha256, size, head = hashlib.md5(usedforsecurity=False), hashlib.sha256(), 0, b""
    with open_container(session, value) as answer:
        try:
            for chunk in answer.iter_content(CHUNK):
                head += chunk[: HEAD - len(head)]  # a chunked answer may begin with a few bytes
                size += len(chunk)
                md5.update(chunk)
                sha256.update(chunk)
                file.write(chunk)
        except requests.RequestException as error:
            raise NotNow(type(error).__name__) from None
        check_length(answer, size)
    check_head(head)
    return Picture(size, md5.hexdigest(), sha256.hexdigest(), head)


def peek(session: Session, value: str) -> tuple[bytes, int | None]:
    """The first bytes of a container's file, and its size as far as the server says it; raises like `fetch`."""
    with open_container(session, value) as answer:
        try:
            head = next(answer.iter_content(HEAD), b"")
        except requests.RequestException as error:
            raise NotNow(type(error).__name__) from None
        check_head(head)
        return head, int(answer.headers["Content-Length"]) if "Content-Length" in answer.headers else None


def open_container(session: Session, value: str) -> requests.Response:
    """The answer with a container's file, after the redirect by which the server sets a cookie.

    The token is sent along, because some servers want it, and only to the session's own server.

    Raises NotNow for any other answer.
    """
    url = session.account.url + container_path(value)
    http = session.http
    http.cookies.clear()
    for _ in range(REDIRECTS):
        try:
            answer = http.get(
                url,
                auth=Bearer(session.token),
                headers={"Accept-Encoding": "identity"},
                timeout=TIMEOUTS,
                verify=session.verify,
                allow_redirects=False,
                stream=True,
            )
        except requests.RequestException as error:
            raise NotNow(type(error).__name__) from None
        if answer.is_redirect:
            url = session.account.url + container_path(urljoin(url, answer.headers["Location"]))
            answer.close()
            continue
        kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if answer.status_code != requests.codes.ok or kind in ("text/html", "application/json"):
            answer.close()
            if answer.status_code == requests.codes.ok:
                raise NotNow("NotAFile")
            raise NotNow(f"HTTP{answer.status_code}", by_server=answer.status_code != requests.codes.not_found)
        return answer
    raise NotNow("TooManyRedirects")


def check_length(answer: requests.Response, size: int) -> None:
    """Raise NotNow unless as many bytes arrived as were announced; a chunked answer shows by itself where it ends."""
    announced = answer.headers.get("Content-Length")
    if announced is None and answer.headers.get("Transfer-Encoding", "").lower() != "chunked":
        raise NotNow("NoLength")
    if announced is not None and int(announced) != size:
        raise NotNow("CutOff")


def check_head(head: bytes) -> None:
    """Raise NotNow if a file is empty, or is a web page, as servers send it in place of a file."""
    if not head:
        raise NotNow("EmptyFile")
    if PAGE.match(head):
        raise NotNow("WebPage")


def file_type(head: bytes) -> tuple[str, str]:
    """Extension and media type that the first bytes of a file show; `bin` if they show none.

    filetype knows one of HEIF's brands, pillow-heif those of all cameras. An animated PNG is a PNG.
    """
    if kind := filetype.guess(head):
        return ("png", "image/png") if kind.extension == "apng" else (kind.extension, kind.mime)
    return ("heic", "image/heic") if pillow_heif.is_supported(head) else UNKNOWN
