"""The double of FileMaker Server, checked with clients that were written elsewhere, and as bare HTTP shows it."""

import hashlib
import re
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import fmdata
import fmrest
import pytest
import requests
from fmdata.session_providers import UsernamePasswordLogin
from fmrest.exceptions import FileMakerError

from sandbox.filemaker_faults import FAULTS
from sandbox.filemaker_server import DEFAULT_FIELD_TYPES, Faults, FileMakerServer, Record, filemaker_server

FILE = b"\xff\xd8\xff\xe0" + bytes(range(256)) * 40
LAYOUT = "API_Images"


def records(count: int = 7) -> list[Record]:
    """Records 1 to `count`: the odd ones are marked, and each has a file but the second."""
    return [
        Record(
            number,
            {"recid": str(number), "Type": f"Wound photo {number}\nleft", "date": "05/03/2017"}
            | ({"NexusExportDate": "01/02/2024"} if number % 2 else {}),
            {}
            if number == 2
            else {"image_Full": "?", "image_large": FILE + bytes([number]), "Recovered": "file:a.jpg"},
        )
        for number in range(1, count + 1)
    ]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FileMakerServer]:
    field_types = {**DEFAULT_FIELD_TYPES, "image_large_MD5": "text", "seen": "timeStamp"}
    with filemaker_server(tmp_path, records(), field_types=field_types) as running:
        yield running


class Api:
    """Bare calls in a session of their own."""

    def __init__(self, server: FileMakerServer) -> None:
        self.server, self.http = server, requests.Session()
        self.http.verify, self.http.trust_env = str(server.ca_bundle), False
        self.base = f"{server.url}/fmi/data/vLatest/databases/{server.database}"

    def sign_in(self) -> requests.Response:
        headers = {"Content-Type": "application/json"}
        answer = self.http.post(f"{self.base}/sessions", auth=(self.server.user, self.server.password), headers=headers)
        if "X-FM-Data-Access-Token" in answer.headers:
            self.token = answer.headers["X-FM-Data-Access-Token"]
        return answer

    def call(self, method: str, path: str, **arguments) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.token}"}
        return self.http.request(method, f"{self.base}/layouts/{LAYOUT}{path}", headers=headers, **arguments)

    def code(self, method: str, path: str, **arguments) -> tuple[str, int]:
        answer = self.call(method, path, **arguments)
        return answer.json()["messages"][0]["code"], answer.status_code

    def find(self, *query: dict[str, str]) -> list[int]:
        found = self.call("POST", "/_find", json={"query": list(query)}).json()["response"].get("data", [])
        return [int(one["recordId"]) for one in found]

    def edit(self, fields: dict[str, str | int], **others: str) -> tuple[str, int]:
        return self.code("PATCH", "/records/1", json={"fieldData": fields, **others})

    def fields(self, number: int = 1) -> dict[str, str | int]:
        return self.call("GET", f"/records/{number}").json()["response"]["data"][0]["fieldData"]

    def sign_out(self) -> requests.Response:
        return self.http.delete(f"{self.base}/sessions/{self.token}")


@contextmanager
def signed_in(server: FileMakerServer) -> Iterator[Api]:
    api = Api(server)
    with api.http:
        api.sign_in()
        yield api
        api.sign_out()
    assert not server.sessions


def test_python_fmrest_works_through_it(server):
    client = fmrest.Server(
        server.url, server.user, server.password, server.database, LAYOUT,
        verify_ssl=str(server.ca_bundle), api_version="vLatest", auto_relogin=True,
    )  # fmt: skip
    with client:
        client.login()
        assert client.get_product_info()["name"] and client.get_databases() == [{"name": "Clinic"}]
        assert {one["name"]: one["result"] for one in client.get_layout()} == server.field_types
        assert [one.record_id for one in client.find([{"NexusExportDate": "="}])] == [2, 4, 6]
        with pytest.raises(FileMakerError, match="401"):
            client.find([{"Type": "nothing"}])
        pages = [client.get_records(offset=offset, limit=3) for offset in (1, 4, 7)]
        assert [one.recid for page in pages for one in page] == [1, 2, 3, 4, 5, 6, 7]
        with pytest.raises(FileMakerError, match="101"):
            client.get_records(offset=8)

        record = client.get_record(3)
        assert (record.modification_id, record.Type, record.image_Full) == (0, "Wound photo 3\rleft", "?")
        assert client.fetch_file(record.image_large)[3].content == FILE + b"\x03"
        assert client.edit_record(3, {"NexusExportDate": "12/31/2025"}, mod_id=0)
        assert client.edit_record(3, {"NexusExportDate": ""}, mod_id=1)
        with pytest.raises(FileMakerError, match="306"):
            client.edit_record(3, {"NexusExportDate": "12/31/2025"}, mod_id=1)

        server.advance(901)
        assert client.get_record(3).NexusExportDate == ""
    assert (len(server.issued_tokens), server.sessions) == (2, {})


def test_fmdata_works_through_it(server):
    credentials = UsernamePasswordLogin(server.user, server.password)
    client = fmdata.Client(
        server.url,
        server.database,
        credentials,
        21,
        verify_ssl=str(server.ca_bundle),
        too_fast_login_retry_timeout=None,
    )
    fields = client.get_layout(layout=LAYOUT).response.field_meta_data
    assert [one.name for one in fields] == list(server.field_types)
    found = client.find(LAYOUT, [{"NexusExportDate": "="}], limit=2)
    assert [one.record_id for one in found.response.data] == ["2", "4"]
    assert found.response.data_info.found_count == 3
    assert client.find(LAYOUT, [{"Type": "nothing"}], limit=2).messages[0].code == "401"
    pages = client.get_records_paginated(layout=LAYOUT, page_size=3).pages
    assert [one.record_id for page in pages for one in page.result.response.data] == list("1234567")

    edited = client.edit_record(LAYOUT, "1", {"NexusExportDate": "12/31/2025"}, mod_id="0")
    assert edited.response.mod_id == "1"
    assert client.edit_record(LAYOUT, "1", {"NexusExportDate": ""}, mod_id="0").messages[0].code == "306"
    server.advance(901)
    assert client.get_record(LAYOUT, "1").response.data[0].mod_id == "1"
    client.logout()
    assert (len(server.issued_tokens), server.sessions) == (2, {})


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ([{"NexusExportDate": "*"}], [1, 3, 5, 7]),
        ([{"NexusExportDate": "="}, {"recid": "7"}], [2, 4, 6, 7]),
        ([{"NexusExportDate": "="}, {"recid": "==4", "omit": "true"}], [2, 6]),
        ([{"recid": "4", "omit": "true"}], [1, 2, 3, 5, 6, 7]),
        ([{"Type": "WOUND ph"}], [1, 2, 3, 4, 5, 6, 7]),
        ([{"Type": "hoto"}], []),
        ([{"Type": "=Wound"}], [1, 2, 3, 4, 5, 6, 7]),
        ([{"Type": "=Woun"}], []),
        ([{"Type": "==Wound photo 3*"}], [3]),
        ([{"Type": "==Wound photo 3"}], []),
        ([{"image_large": "="}], [2]),
        ([{"Name_of_file": r"==a\*\@b"}], [5]),
        ([{"date": "5/3/2017", "recid": "3"}], [3]),
    ],
)
def test_a_find_works_like_filemakers(server, query, found):
    server.records[5].fields["Name_of_file"] = "a*@b"
    with signed_in(server) as api:
        assert api.find(*query) == found


def test_every_error_has_filemakers_code_whatever_its_http_status(server):
    with signed_in(server) as api:
        assert api.code("GET", "/records/99") == ("101", 500)
        assert api.code("GET", "/records?_limit=x") == ("960", 400)
        assert api.code("GET", "/records?_offset=8") == ("101", 500)
        assert api.code("POST", "/_find", json={"query": [{"Type": "nothing"}]}) == ("401", 500)
        assert api.code("POST", "/_find", json={"query": [{"recid": "*"}], "limit": 3}) == ("960", 400)
        assert api.code("POST", "/_find", json={"query": [{}]}) == ("400", 500)
        assert api.code("POST", "/_find", json={"query": [{"patient": "x"}]}) == ("102", 500)
        assert api.code("GET", "2/records") == ("105", 500)
        assert api.code("PUT", "/records") == ("1631", 405)
        assert api.edit({"patient": "x"}) == ("102", 500)
        assert api.edit({"image_Full": "x"}) == ("201", 500)
        wrong = api.http.post(f"{api.base}/sessions", auth=("importer", "wrong"), json={})
        assert (wrong.json()["messages"][0]["code"], wrong.status_code) == ("212", 401)
        elsewhere = api.http.post(f"{server.url}/fmi/data/v1/databases/Else/sessions", auth=("a", "b"), json={})
        assert elsewhere.json()["messages"][0]["code"] == "802"
        server.most_sessions = 1
        assert api.http.post(f"{api.base}/sessions", auth=(server.user, server.password), json={}).status_code == 500
        server.advance(901)
        assert api.code("GET", "/records") == ("952", 401)


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("NexusExportDate", "12/31/2025", "0"),
        ("NexusExportDate", "", "0"),
        ("NexusExportDate", "2025-12-31", "500"),
        ("NexusExportDate", "12/31/2025 10:00:00", "500"),
        ("NexusExportDate", "31/12/2025", "500"),
        ("NexusExportDate", "1", "500"),
        ("NexusExportDate", 1, "500"),
        ("seen", "12/31/2025 10:00:00", "0"),
        ("seen", "12/31/2025", "500"),
    ],
)
def test_an_edit_takes_dates_in_us_format_only(server, name, value, code):
    with signed_in(server) as api:
        assert api.edit({name: value}, dateformats="2") == (code, 200 if code == "0" else 500)
        assert server.records[1].mod_id == (code == "0")
        assert api.fields()["date"] == "05/03/2017"
        assert (api.fields()[name] == value) == (code == "0")
        answer = api.call("GET", "/records/1?dateformats=2").json()
        assert answer["response"]["data"][0]["fieldData"]["date"] == "2017-05-03"


def test_a_containers_url_needs_its_cookie_and_the_session_that_read_it(server):
    server.faults.bearer = True
    server.records[1].containers["image_large"] = lambda: FILE
    with signed_in(server) as api:
        fields = api.fields()
        assert (fields["image_Full"], fields["image_medium"], fields["Recovered"]) == ("?", "", "file:a.jpg")
        assert fields["image_large_MD5"] == hashlib.md5(FILE).hexdigest().upper()
        url = fields["image_large"]
        get = {"verify": str(server.ca_bundle), "allow_redirects": False}
        assert requests.get(url, **get).status_code == 401
        first = requests.get(url, headers={"Authorization": f"Bearer {api.token}"}, **get)
        assert (first.status_code, first.headers["Location"]) == (302, url)
        cookie = first.headers["Set-Cookie"].partition(";")[0]
        server.faults.bearer = False
        assert requests.get(url, headers={"Cookie": cookie[:-1]}, **get).status_code == 302
        second = requests.get(url, headers={"Cookie": cookie}, **get)
        assert (second.content, second.headers["Content-Type"]) == (FILE, "image/jpeg")
        assert api.fields()["image_large"] != url
        api.sign_out()
        assert requests.get(url, headers={"Cookie": cookie}, **get).status_code == 401
    assert urlsplit(url).path.partition(".")[0].rpartition("/")[2] == server.issued_urls[0]


def test_a_burst_of_errors_comes_after_so_many_downloads_and_ends(server):
    server.faults.burst_after, server.faults.burst_seconds = 2, 30
    with signed_in(server) as api:
        url = api.fields()["image_large"]
        assert [api.http.get(url).status_code for _ in range(4)] == [200, 200, 502, 502]
        server.advance(30)
        assert api.http.get(url).status_code == 200


BROKEN = requests.exceptions.RequestException
CODES = {"expired": "952", "in_use": "301", "changed": "306", "data_limit": "953", "unavailable": "802"}
PAGES = {"gateway": 502, "page": 200, "unauthorized": 401, "expired_url": 401}


def fails(kind: str, call) -> None:
    """Check that this call fails as a fault of this kind does."""
    if kind in ("truncated", "cut_chunked", "reset", "lost"):
        with pytest.raises(BROKEN):
            call()
        return
    answer = call()
    if kind in CODES:
        assert answer.json()["messages"][0]["code"] == CODES[kind]
    elif kind == "empty_body":
        assert (answer.status_code, answer.headers["Content-Length"], answer.content) == (200, "0", b"")
    else:
        assert (answer.status_code, answer.content.startswith(b"<!DOCTYPE html>")) == (PAGES[kind], True)


@pytest.mark.parametrize(
    "kind", sorted({*CODES, "gateway", "page", "truncated", "cut_chunked", "reset", "lost", "empty_body"})
)
def test_each_fault_of_an_edit_is_produced_once(server, kind):
    with signed_in(server) as api:
        server.faults.planned.append(kind)
        fails(kind, lambda: api.call("PATCH", "/records/1", json={"fieldData": {"NexusExportDate": "12/31/2025"}}))
        carried_out = kind in ("truncated", "cut_chunked", "lost")
        assert (server.records[1].mod_id, server.faulted) == (int(carried_out), {kind: 1})
        if kind == "expired":
            assert api.code("GET", "/records/1") == ("952", 401)
            api.sign_in()
        assert api.edit({"NexusExportDate": "12/31/2025"}) == ("0", 200)


@pytest.mark.parametrize("kind", sorted(name for name, calls in FAULTS.items() if "redirected container" in calls))
def test_each_fault_of_a_download_is_produced_once(server, kind):
    with signed_in(server) as api:
        url = api.fields()["image_large"]
        first = api.http.get(url, allow_redirects=False)
        server.faults.planned.append(kind)
        cookie = {"Cookie": first.headers["Set-Cookie"].partition(";")[0]}
        fails(kind, lambda: api.http.get(url, headers=cookie))
        assert (server.downloads, server.faulted) == (0, {kind: 1})
        assert api.http.get(url).status_code == (401 if kind == "expired_url" else 200)
        assert api.http.get(api.fields()["image_large"]).content == FILE + b"\x01"


@pytest.mark.parametrize("kind", ["too_many_sessions", "unavailable", "truncated", "cut_chunked", "reset", "page"])
def test_a_sign_in_that_fails_opens_no_session(server, kind):
    server.faults.planned.append(kind)
    api = Api(server)
    if kind == "too_many_sessions":
        assert api.sign_in().json()["messages"][0]["code"] == "956"
    else:
        fails(kind, api.sign_in)
    assert not server.sessions and not server.issued_tokens


def test_one_read_shows_a_question_mark_for_a_file(server):
    server.faults.planned.append("question_mark")
    with signed_in(server) as api:
        assert [api.fields()["image_large"] == "?" for _ in range(2)] == [True, False]
        assert server.faulted == {"question_mark": 1}


def test_malformed_urls_come_in_each_of_four_forms(server):
    server.faults.rate, server.faults.kinds = 1, ("malformed_url",)
    with signed_in(server) as api:
        path = r"/Streaming_SSL/MainDB/[0-9A-F]{64}\.jpg\?RCType=EmbeddedRCFileProcessor"
        own = re.escape(server.url)
        forms = {
            "http": own.replace("https", "http") + path,
            "doubled": f"{own}/{own}{path}",
            "other": "https://fms.internal.example" + path,
            "relative": path,
        }
        seen = [api.fields()["image_large"] for _ in range(40)]
        assert all(any(re.fullmatch(form, url) for form in forms.values()) for url in seen)
        assert all(any(re.fullmatch(form, url) for url in seen) for form in forms.values())
        relative = next(url for url in seen if url.startswith("/"))
        assert api.http.get(server.url + relative).content == FILE + b"\x01"


def test_a_share_of_all_calls_fails_in_every_kind_that_fits(server):
    server.faults.rate, server.faults.kinds = 0.5, ("gateway", "in_use", "unauthorized")
    with signed_in_despite(server) as api:
        for _ in range(100):
            api.call("GET", "/records/1")
            api.call("PATCH", "/records/1", json={"fieldData": {"Note": "x"}})
        server.faults.rate = 0
        url = api.fields()["image_large"]
        server.faults.rate = 0.5
        for _ in range(20):
            api.http.get(url)
        server.faults.rate = 0
    assert set(server.faulted) == {"gateway", "in_use", "unauthorized"}
    assert 0.3 < server.faulted.total() / server.calls.total() < 0.7


@contextmanager
def signed_in_despite(server: FileMakerServer) -> Iterator[Api]:
    rate, server.faults.rate = server.faults.rate, 0
    with signed_in(server) as api:
        server.faults.rate = rate
        yield api


def test_the_hook_sees_every_call_without_its_secrets_before_the_answer(server):
    seen: list[str] = []
    server.faults.on_call = lambda method, path: seen.append(f"{method} {path} {server.records[1].mod_id}")
    with signed_in(server) as api:
        api.edit({"NexusExportDate": ""})
        api.http.get(api.fields()["image_large"])
    base = "/fmi/data/vLatest/databases/Clinic"
    assert seen == [
        f"POST {base}/sessions 0",
        f"PATCH {base}/layouts/{LAYOUT}/records/1 1",
        f"GET {base}/layouts/{LAYOUT}/records/1 1",
        *["GET /Streaming_SSL/MainDB/… 1"] * 2,
        f"DELETE {base}/sessions/… 1",
    ]
    assert server.calls["container"] == server.calls["redirected container"] == 1


def test_it_is_quiet_about_clients_that_go_and_ends_with_open_connections(tmp_path, capfd):
    before = threading.active_count()
    with filemaker_server(tmp_path, [Record(1, {}, {"image_Full": bytes(20_000_000)})]) as server:
        api = Api(server)
        api.sign_in()
        with api.http.get(api.fields()["image_Full"], stream=True) as answer:
            answer.raw.read(10)
        address = "localhost", urlsplit(server.url).port
        with socket.create_connection(address) as plain:
            plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
            with suppress(ConnectionResetError):
                plain.recv(1)
        with socket.create_connection(address) as stranger, pytest.raises(ssl.SSLError):
            ssl.create_default_context().wrap_socket(stranger, server_hostname="localhost")
        stalled = socket.create_connection(address)  # never begins its handshake
        assert api.fields()["recid"] == ""
    stalled.close()
    assert server.hosts_asked["http://"] == 1
    assert (threading.active_count(), *capfd.readouterr()) == (before, "", "")


def test_what_the_double_cannot_do_is_an_error_at_its_end(tmp_path):
    with (
        pytest.raises(NotImplementedError, match="operator <"),
        filemaker_server(tmp_path, records(), faults=Faults()) as server,
        signed_in(server) as api,
    ):
        assert api.call("POST", "/_find", json={"query": [{"Type": "<5"}]}).status_code == 500
