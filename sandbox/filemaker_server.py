"""A double of FileMaker Server's Data API for the demo, the tests and the benchmarks: real HTTPS, and faults on demand.

The real server cannot be had here, so tests/sandbox/test_filemaker_server.py checks the double with clients that were
written elsewhere, python-fmrest and fmdata.
"""

import base64
import contextlib
import hashlib
import json
import re
import secrets
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from email.message import Message
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import trustme

from sandbox.filemaker_faults import DOWNLOADS, WITH_TOKEN, Faults
from sandbox.filemaker_find import DATE_PATTERNS, FileMakerError, Value, as_date, as_number, matches, sort_key
from sandbox.filemaker_https import BREAK_OFF, Answer, HttpsServer

CONTAINERS = ("image_Full", "image_Ex_large", "image_large", "image_medium", "image_small", "Recovered")
DEFAULT_FIELD_TYPES = {
    **dict.fromkeys(("id", "id_Contact", "Type", "Note", "fileName", "Name_of_file"), "text"),
    **dict.fromkeys(("recid", "imported"), "number"),
    **dict.fromkeys(("date", "NexusExportDate"), "date"),
    **dict.fromkeys(CONTAINERS, "container"),
}
MESSAGES = {
    "0": "OK",
    "101": "Record is missing",
    "102": "Field is missing",
    "105": "Layout is missing",
    "201": "Field cannot be modified",
    "212": "Invalid user account and/or password; please try again",
    "301": "Record is in use by another user",
    "306": "Record modification ID does not match",
    "400": "Find criteria are empty",
    "401": "No records match the request",
    "413": "Specified field has inappropriate field type",
    "500": "Date value does not meet validation entry options",
    "802": "Unable to open file",
    "952": "Invalid FileMaker Data API token (*)",
    "953": "Data API data limit exceeded",
    "956": "Maximum number of Data API sessions exceeded",
    "960": "Parameter is invalid",
    "1630": "URL is not properly formed",
    "1631": "HTTP method is not supported",
}
CODES = {"expired": "952", "in_use": "301", "changed": "306", "too_many_sessions": "956", "data_limit": "953"}
CODES |= {"unavailable": "802"}
HTTP_UNAUTHORIZED = {"212", "952"}
SESSIONS = "databases/(?P<database>[^/]+)/sessions"
LAYOUTS = "databases/(?P<database>[^/]+)/layouts"
LAYOUT = f"{LAYOUTS}/(?P<layout>[^/]+)"
ROUTES = [
    (re.compile(f"/fmi/data/(?:v1|v2|vLatest)/{path}"), kinds)
    for path, kinds in {
        "productInfo": {"GET": "product_info"},
        "databases": {"GET": "databases"},
        f"{SESSIONS}/?": {"POST": "sign_in"},
        f"{SESSIONS}/(?P<key>[^/]+)": {"DELETE": "sign_out"},
        LAYOUTS: {"GET": "layouts"},
        LAYOUT: {"GET": "layout"},
        f"{LAYOUT}/_find": {"POST": "find"},
        f"{LAYOUT}/records": {"GET": "records", "POST": "create"},
        f"{LAYOUT}/records/(?P<key>[^/]+)": {"GET": "record", "PATCH": "edit", "DELETE": "delete"},
    }.items()
]
COOKIE = "X-FMS-Session-Key"
STREAMING = re.compile(r"/Streaming_SSL/MainDB/([0-9A-F]+)\.jpg")
STREAMING_QUERY = "RCType=EmbeddedRCFileProcessor"

Stored = bytes | str | Callable[[], bytes]


@dataclass
class Record:
    """A record. A container holds a file (bytes, or a function that returns them), or text: `?`, or a path.

    `repeated` has the repetitions of repeating fields, which take the place of these fields' values in answers.
    """

    record_id: int
    fields: dict[str, Value]
    containers: dict[str, Stored] = field(default_factory=dict)
    mod_id: int = 0
    repeated: dict[str, list[str]] = field(default_factory=dict)

    def file(self, container: str) -> bytes:
        """Return the file in a container; empty if there is none."""
        stored = self.containers.get(container, "")
        return b"" if isinstance(stored, str) else stored() if callable(stored) else stored


@dataclass(frozen=True)
class Call:
    """A call as it arrived; `shown` is its path without secrets, `key` a token, a record id or a container's secret."""

    kind: str
    method: str
    shown: str
    headers: Message
    query: Mapping[str, str]
    body: bytes
    names: dict[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        return self.names.get("key", "")


@dataclass(eq=False, repr=False)
class FileMakerServer:
    """The server's state, which tests read and change while it runs. Every call locks it."""

    url: str
    ca_bundle: Path
    records: dict[int, Record]
    field_types: dict[str, str]
    faults: Faults
    database: str = "Clinic"
    layout: str = "API_Images"
    user: str = "importer"
    password: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    session_seconds: float = 900
    most_sessions: int = 500
    clock: Callable[[], float] = time.monotonic
    sessions: dict[str, float] = field(default_factory=dict)  # token: when it was last used
    issued_tokens: list[str] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)  # by kind of call
    faulted: Counter[str] = field(default_factory=Counter)  # by kind of fault
    hosts_asked: Counter[str] = field(default_factory=Counter)  # by Host header; "http://" for a call without TLS
    errors: list[BaseException] = field(default_factory=list)  # of the double itself; the context raises the first

    def __post_init__(self) -> None:
        self.lock = threading.RLock()
        self.advanced = 0.0
        self.urls: dict[str, tuple[str, int, str]] = {}  # secret: token, record, container
        self.expired_urls: set[str] = set()
        self.cookies: dict[str, str] = {}  # cookie: secret
        self.md5s: dict[tuple[int, str], tuple[Stored, str]] = {}
        self.downloads = 0
        self.burst_until = float("-inf")

    def environment(self) -> dict[str, str]:
        """Return the settings with which the importer signs in here."""
        return {
            "FILEMAKER_URL": self.url,
            "FILEMAKER_DATABASE": self.database,
            "FILEMAKER_USER": self.user,
            "FILEMAKER_PASSWORD": self.password,
            "FILEMAKER_CA_BUNDLE": str(self.ca_bundle),
        }

    @property
    def issued_urls(self) -> list[str]:
        """The secret part of every container URL so far."""
        return list(self.urls)

    def advance(self, seconds: float) -> None:
        """Move the server's clock: sessions expire, and a burst of errors ends."""
        with self.lock:
            self.advanced += seconds
            self.close_expired_sessions()

    def now(self) -> float:
        return self.clock() + self.advanced

    def close_expired_sessions(self) -> None:
        now = self.now()
        for token in [token for token, used in self.sessions.items() if now - used > self.session_seconds]:
            del self.sessions[token]

    def answer(self, method: str, target: str, headers: Message, body: bytes) -> Answer:
        """Carry out a call, or fail it as the faults say."""
        call, faults = self.call(method, target, headers, body), self.faults
        time.sleep(faults.latency)
        with self.lock:
            self.calls[call.kind] += 1
            self.hosts_asked[call.headers.get("Host", "")] += 1
            fault = faults.draw(call.kind)
            if fault and fault not in ("question_mark", "malformed_url"):
                self.faulted[fault] += 1
        try:
            answer = self.fail(call, fault) or self.carry_out(call, fault)
        except FileMakerError as error:
            answer = failed(error.code, error.status)
        if fault in BREAK_OFF:
            answer.broken_off = fault
        if faults.on_call:
            faults.on_call(call.method, call.shown)
        return answer

    def fail(self, call: Call, fault: str) -> Answer | None:
        """Return the answer to a call that is not carried out; None for one that is."""
        if fault == "expired":
            with self.lock:
                self.sessions.pop(call.key if call.kind == "sign_out" else bearer(call.headers), None)
        if fault in CODES:
            return failed(CODES[fault])
        if fault == "expired_url":
            self.expired_urls.add(call.key)
        if fault in ("unauthorized", "expired_url"):
            return page(401)
        if fault in ("gateway", "page"):
            return page(502 if fault == "gateway" else 200)
        if fault in ("reset", "empty_body"):
            return Answer(200)
        return failed("802") if fault in BREAK_OFF and call.kind == "sign_in" else None

    def carry_out(self, call: Call, fault: str) -> Answer:
        if call.kind in DOWNLOADS:
            return self.container(call)
        if call.kind in ("unknown", "unknown method"):
            known = call.kind == "unknown method"
            raise FileMakerError("1631" if known else "1630", 405 if known else 404)
        with self.lock:
            if call.kind in WITH_TOKEN:
                self.use_session(bearer(call.headers))
            if call.names.get("database", self.database) != self.database:
                raise FileMakerError("802")
            if call.names.get("layout", self.layout) != self.layout:
                raise FileMakerError("105")
            return getattr(self, f"answer_{call.kind}")(call, fault)

    def use_session(self, token: str) -> None:
        self.close_expired_sessions()
        if token not in self.sessions:
            raise FileMakerError("952")
        self.sessions[token] = self.now()

    # The calls of the API, each with the lock held.

    def answer_product_info(self, _call: Call, _fault: str) -> Answer:
        names = {"name": "FileMaker Data API Engine", "version": "21.1.1.41", "buildDate": "12/04/2024"}
        formats = {"dateFormat": "MM/dd/yyyy", "timeFormat": "HH:mm:ss", "timeStampFormat": "MM/dd/yyyy HH:mm:ss"}
        return ok({"productInfo": names | formats})

    def answer_databases(self, _call: Call, _fault: str) -> Answer:
        return ok({"databases": [{"name": self.database}]})

    def answer_sign_in(self, call: Call, _fault: str) -> Answer:
        json_body(call, {"fmDataSource"})
        expected = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        if call.headers.get("Authorization") != f"Basic {expected}":
            raise FileMakerError("212")
        self.close_expired_sessions()
        if len(self.sessions) >= self.most_sessions:
            raise FileMakerError("956")
        token = secrets.token_hex(30)
        self.sessions[token] = self.now()
        self.issued_tokens.append(token)
        return ok({"token": token}, {"X-FM-Data-Access-Token": token})

    def answer_sign_out(self, call: Call, _fault: str) -> Answer:
        self.use_session(call.key)
        del self.sessions[call.key]
        return ok({})

    def answer_layouts(self, _call: Call, _fault: str) -> Answer:
        return ok({"layouts": [{"name": self.layout, "table": ""}]})

    def answer_layout(self, _call: Call, _fault: str) -> Answer:
        constant = {"type": "normal", "displayType": "editText", "global": False, "maxRepeat": 1, "maxCharacters": 0}
        constant |= {
            "autoEnter": False,
            "fourDigitYear": False,
            "notEmpty": False,
            "numeric": False,
            "timeOfDay": False,
        }
        fields = [{"name": name, "result": kind, **constant} for name, kind in self.field_types.items()]
        return ok({"fieldMetaData": fields, "portalMetaData": {}})

    def answer_record(self, call: Call, fault: str) -> Answer:
        refuse_others(call.query, {"dateformats", "layout.response"})
        return self.show([self.record(call)], 1, call, fault, call.query)

    def answer_records(self, call: Call, fault: str) -> Answer:
        refuse_others(call.query, {"_limit", "_offset", "_sort", "dateformats", "layout.response"})
        limit, offset = whole(call.query.get("_limit", "100")), whole(call.query.get("_offset", "1"))
        if "_offset" in call.query and offset > len(self.records):
            raise FileMakerError("101")
        found = self.sorted([self.records[number] for number in sorted(self.records)], call.query.get("_sort"))
        return self.show(found[offset - 1 : offset - 1 + limit], len(found), call, fault, call.query)

    def answer_find(self, call: Call, fault: str) -> Answer:
        asked = json_body(call, {"query", "sort", "limit", "offset", "dateformats", "layout.response"})
        limit, offset = whole(asked.get("limit", "100")), whole(asked.get("offset", "1"))
        found = self.sorted(self.find(asked.get("query")), asked.get("sort"))
        if offset > len(found):
            raise FileMakerError("401")
        return self.show(found[offset - 1 : offset - 1 + limit], len(found), call, fault, asked)

    def answer_create(self, call: Call, _fault: str) -> Answer:
        changes = self.changes(json_body(call, {"fieldData", "portalData", "dateformats"}))
        number = max(self.records, default=0) + 1
        self.records[number] = Record(number, changes)
        return ok({"recordId": str(number), "modId": "0"})

    def answer_edit(self, call: Call, _fault: str) -> Answer:
        record = self.record(call)
        asked = json_body(call, {"fieldData", "portalData", "modId", "dateformats"})
        changes = self.changes(asked)
        if not isinstance(mod_id := asked.get("modId", str(record.mod_id)), str):
            raise FileMakerError("960", 400)
        if mod_id != str(record.mod_id):
            raise FileMakerError("306")
        record.fields |= changes
        record.mod_id += 1
        return ok({"modId": str(record.mod_id)})

    def answer_delete(self, call: Call, _fault: str) -> Answer:
        del self.records[self.record(call).record_id]
        return ok({})

    def record(self, call: Call) -> Record:
        found = self.records.get(int(call.key)) if call.key.isdecimal() else None
        if found is None:
            raise FileMakerError("101")
        return found

    def changes(self, asked: dict[str, Any]) -> dict[str, Value]:
        """Check the values of an edit; a date is in US format, whatever `dateformats` says, as before Server 21."""
        changes: dict[str, Value] = {}
        if not isinstance(given := asked.get("fieldData"), dict):
            raise FileMakerError("960", 400)
        for name, value in given.items():
            kind = self.type_of(name)
            if kind == "container" or self.md5_of(name):
                raise FileMakerError("201")
            if isinstance(value, bool) or not isinstance(value, str | int | float):
                raise FileMakerError("960", 400)
            changes[name] = returns(value) if isinstance(value, str) else value
            if kind in DATE_PATTERNS and value != "":
                if (day := as_date(value, kind)) is None:
                    raise FileMakerError("500")
                changes[name] = day.strftime(DATE_PATTERNS[kind][1])
        return changes

    def find(self, query: object) -> list[Record]:
        """Return the records that any request finds, by record id; a request with `omit` takes its records out."""
        if not isinstance(query, list) or not query:
            raise FileMakerError("400")
        omits = [str(request.get("omit", "")).lower() == "true" for request in query]
        found = set(self.records) if all(omits) else set()
        for request, omit in zip(query, omits, strict=True):
            criteria = [(name, str(value)) for name, value in request.items() if name != "omit" and value != ""]
            if not criteria:
                raise FileMakerError("400")
            kinds = {name: self.type_of(name) for name, _ in criteria}
            fits = {
                number
                for number, record in self.records.items()
                if all(matches(self.raw(record, name), kinds[name], value) for name, value in criteria)
            }
            found = found - fits if omit else found | fits
        return [self.records[number] for number in sorted(found)]

    def sorted(self, records: list[Record], order: Any) -> list[Record]:
        try:
            steps: list[dict[str, str]] = json.loads(order) if isinstance(order, str) else order or []
        except ValueError:
            raise FileMakerError("960", 400) from None
        for step in reversed(steps):
            name, kind = step["fieldName"], self.type_of(step["fieldName"])
            down = step.get("sortOrder", "ascend").startswith("desc")
            records = sorted(records, key=lambda one: sort_key(self.raw(one, name), kind), reverse=down)
        return records

    def type_of(self, name: str) -> str:
        if name not in self.field_types:
            raise FileMakerError("102")
        return self.field_types[name]

    def md5_of(self, name: str) -> str:
        """Return the container of which this field is FileMaker's own MD5; empty for any other field."""
        container = name.removesuffix("_MD5")
        return container if container != name and self.field_types.get(container) == "container" else ""

    def raw(self, record: Record, name: str) -> Value:
        """Return a field's value as FileMaker stores it; for a container only whether it is empty counts."""
        if self.field_types[name] == "container":
            stored = record.containers.get(name, "")
            return stored if isinstance(stored, str) else "file"
        if name not in record.fields and (container := self.md5_of(name)):
            stored = record.containers.get(container, "")
            if isinstance(stored, str):
                return ""
            known = self.md5s.get((record.record_id, container))
            if known is None or known[0] is not stored:
                content = stored() if callable(stored) else stored
                known = stored, hashlib.md5(content, usedforsecurity=False).hexdigest().upper()
                self.md5s[record.record_id, container] = known
            return known[1]
        return record.fields.get(name, "")

    def show(self, records: list[Record], found: int, call: Call, fault: str, asked: Mapping[str, Any]) -> Answer:
        """Answer with records; `fault` spoils the first container with a file of one of them."""
        token, iso = bearer(call.headers), asked.get("dateformats") in ("2", 2)
        shown = [self.field_data(record, token, iso) for record in records]
        if fault in ("question_mark", "malformed_url"):
            stored = [
                (data, name)
                for record, data in zip(records, shown, strict=True)
                if (name := next((name for name in self.containers() if has_file(record, name)), None))
            ]
            if stored:
                self.faulted[fault] += 1
                data, name = self.faults.random.choice(stored)
                data[name] = "?" if fault == "question_mark" else self.malformed(str(data[name]))
        info = {
            "database": self.database,
            "layout": self.layout,
            "table": "Images",
            "totalRecordCount": len(self.records),
            "foundCount": found,
            "returnedCount": len(records),
        }
        listed = [
            {"fieldData": fields, "portalData": {}, "recordId": str(record.record_id), "modId": str(record.mod_id)}
            for record, fields in zip(records, shown, strict=True)
        ]
        return ok({"dataInfo": info, "data": listed})

    def containers(self) -> list[str]:
        others = (name for name, kind in self.field_types.items() if kind == "container" and name not in CONTAINERS)
        return [*(name for name in CONTAINERS if name in self.field_types), *others]

    def field_data(self, record: Record, token: str, iso: bool) -> dict[str, Value]:
        shown: dict[str, Value] = {}
        for name, kind in self.field_types.items():
            value = self.raw(record, name)
            if has_file(record, name) and kind == "container":
                secret = secrets.token_hex(32).upper()
                self.urls[secret] = token, record.record_id, name
                value = f"{self.url}/Streaming_SSL/MainDB/{secret}.jpg?{STREAMING_QUERY}"
            elif kind == "number":
                value = as_number(value)
            elif kind in DATE_PATTERNS and iso and (day := as_date(value, kind)):
                value = str(day.date() if kind == "date" else day)
            shown[name] = value if kind == "number" else returns(str(value))
        for name, texts in record.repeated.items():
            del shown[name]
            shown |= {f"{name}({number})": returns(text) for number, text in enumerate(texts, 1)}
        return shown

    def malformed(self, url: str) -> str:
        path = url.removeprefix(self.url)
        http, other = self.url.replace("https://", "http://"), "https://fms.internal.example"
        return self.faults.random.choice([f"{http}{path}", f"{self.url}/{url}", f"{other}{path}", path])

    def container(self, call: Call) -> Answer:
        """Answer the GET of a container's URL: first with a cookie, then with the file."""
        with self.lock:
            self.close_expired_sessions()
            token, number, name = self.urls.get(call.key, ("", 0, ""))
            stored = self.records[number].containers.get(name, "") if number in self.records else ""
            if not token or isinstance(stored, str):
                return page(404)
            if self.now() < self.burst_until:
                return page(502)
            if token not in self.sessions or call.key in self.expired_urls:
                return page(401)
            if call.kind == "container":
                if self.faults.bearer and bearer(call.headers) != token:
                    return page(401)
                cookie = secrets.token_hex(16).upper()
                self.cookies[cookie] = call.key
                location = f"{self.url}/Streaming_SSL/MainDB/{call.key}.jpg?{STREAMING_QUERY}"
                set_cookie = f"{COOKIE}={cookie}; Path=/; HttpOnly; Secure"
                return Answer(302, headers={"Location": location, "Set-Cookie": set_cookie})
        content = stored() if callable(stored) else stored
        return Answer(200, content, "image/jpeg", when_sent=self.count_download)

    def count_download(self) -> None:
        with self.lock:
            self.downloads += 1
            if self.faults.burst_after and self.downloads % self.faults.burst_after == 0:
                self.burst_until = self.now() + self.faults.burst_seconds

    def call(self, method: str, target: str, headers: Message, body: bytes) -> Call:
        """Say what kind of call this is."""
        parts = urlsplit(target)
        query = dict(parse_qsl(parts.query))
        if method == "GET" and (found := STREAMING.fullmatch(parts.path)) and parts.query == STREAMING_QUERY:
            keys = re.findall(rf"{COOKIE}=([0-9A-F]+)", headers.get("Cookie", ""))
            kind = "redirected container" if any(self.cookies.get(key) == found[1] for key in keys) else "container"
            return Call(kind, method, "/Streaming_SSL/MainDB/…", headers, query, body, {"key": found[1]})
        for route, kinds in ROUTES:
            if found := route.fullmatch(parts.path):
                names = {name: unquote(value) for name, value in found.groupdict().items()}
                kind = kinds.get(method, "unknown method")
                shown = re.sub("/sessions/.+", "/sessions/…", parts.path)
                return Call(kind, method, shown, headers, query, body, names)
        return Call("unknown", method, "…", headers, query, body)


def has_file(record: Record, container: str) -> bool:
    return not isinstance(record.containers.get(container, ""), str)


def ok(response: dict[str, Any], headers: dict[str, str] | None = None) -> Answer:
    return json_answer("0", 200, response, headers or {})


def failed(code: str, status: int = 500) -> Answer:
    return json_answer(code, 401 if code in HTTP_UNAUTHORIZED else status, {}, {})


def json_answer(code: str, status: int, response: dict[str, Any], headers: dict[str, str]) -> Answer:
    body = {"response": response, "messages": [{"code": code, "message": MESSAGES[code]}]}
    return Answer(status, json.dumps(body, ensure_ascii=False).encode(), "application/json; charset=utf-8", headers)


def page(status: int) -> Answer:
    """Return an HTML page, as the web server in front of the Data API sends it."""
    title = f"{status} {HTTPStatus(status).phrase}"
    return Answer(status, f"<!DOCTYPE html>\n<html><head><title>{title}</title></head><body></body></html>\n".encode())


def bearer(headers: Message) -> str:
    return headers.get("Authorization", "").removeprefix("Bearer ")


def returns(text: str) -> str:
    """Write line ends as FileMaker's returns."""
    return text.replace("\r\n", "\r").replace("\n", "\r")


def whole(text: object) -> int:
    """Read a limit or an offset, which must be a text."""
    if not isinstance(text, str) or not re.fullmatch("[1-9][0-9]{0,8}", text):
        raise FileMakerError("960", 400)
    return int(text)


def refuse_others(given: Iterable[str], known: set[str]) -> None:
    if not known.issuperset(given):
        raise FileMakerError("960", 400)


def json_body(call: Call, known: set[str]) -> dict[str, Any]:
    if call.headers.get_content_type() != "application/json":
        raise FileMakerError("960", 415)
    try:
        asked = json.loads(call.body or "{}")
    except ValueError:
        raise FileMakerError("960", 400) from None
    if not isinstance(asked, dict):
        raise FileMakerError("960", 400)
    refuse_others(asked, known)
    return asked


@contextlib.contextmanager
def filemaker_server(
    folder: Path,
    records: Iterable[Record],
    *,
    field_types: Mapping[str, str] = DEFAULT_FIELD_TYPES,
    faults: Faults | None = None,
) -> Iterator[FileMakerServer]:
    """Run the double on a free port of 127.0.0.1, in threads of this process that end with the context.

    The certificate of its CA is `folder/ca.pem`. Raises at the end what went wrong in the double itself, such as a find
    with an operator that it does not know (NotImplementedError).
    """
    folder.mkdir(parents=True, exist_ok=True)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(tls)
    server = HttpsServer(tls)
    by_number = {record.record_id: record for record in records}
    url = f"https://localhost:{server.server_port}"
    double = FileMakerServer(url, folder / "ca.pem", by_number, dict(field_types), faults or Faults())
    server.double = double
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="FileMaker Server")
    thread.start()
    try:
        yield double
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    if double.errors:
        raise double.errors[0]
