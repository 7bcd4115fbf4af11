"""Only FileMaker Server's own host is asked, whatever it answers and whatever else is set on this machine."""

import socket
from itertools import cycle
from urllib.parse import urlsplit

import pytest

from sandbox.filemaker_faults import Faults
from sandbox.filemaker_https import Answer
from tests.support.cutting import cutting
from tests.support.importing import best, dump, marked, newest, pictures, record, use

ELSEWHERE = "elsewhere.example"
MALFORMED = {
    "http": lambda url: url.replace("https://", "http://"),
    "host twice": lambda url: f"{url[: url.index('/Streaming')]}/{url}",
    "other host": lambda url: f"https://{ELSEWHERE}{url[url.index('/Streaming') :]}",
    "other host with an account": lambda url: f"https://a:b@{ELSEWHERE}:8443{url[url.index('/Streaming') :]}",
    "other host and own host": lambda url: f"https://{ELSEWHERE}/{url}",
    "path": lambda url: url[url.index("/Streaming") :],
    "no scheme": lambda url: f"//{ELSEWHERE}{url[url.index('/Streaming') :]}",
    "upper case": lambda url: url.replace("https://localhost", "HTTPS://LOCALHOST"),
}


@pytest.fixture
def looked_up(monkeypatch) -> list[str]:
    """The names of all hosts to which a connection was to be made."""
    hosts: list[str] = []
    look_up = socket.getaddrinfo

    def note(host, *more, **others):
        hosts.append(host)
        return look_up(host, *more, **others)

    monkeypatch.setattr(socket, "getaddrinfo", note)
    return hosts


def assert_only_this_host(server, looked_up) -> None:
    assert server.hosts_asked.keys() == {urlsplit(server.url).netloc}
    assert set(looked_up) == {"localhost", "127.0.0.1"}  # FileMaker Server, and S3


@pytest.mark.parametrize("form", MALFORMED)
def test_a_malformed_address_is_asked_of_the_own_host(server, s3, import_here, looked_up, form):
    use(server, records := pictures(3))
    server.malformed = MALFORMED[form]
    server.faults = Faults(rate=1, kinds=("malformed_url",))
    assert import_here().returncode == 0
    assert server.faulted["malformed_url"]
    assert dump(s3) == {f"{number}.jpg": best(one) for number, one in enumerate(records, 1)}
    assert_only_this_host(server, looked_up)


@pytest.mark.parametrize("value", [f"https://{ELSEWHERE}/a.jpg", f"http://{ELSEWHERE}", f"ftp://{ELSEWHERE}/a.jpg"])
def test_an_address_that_is_no_containers_is_not_asked_elsewhere(server, s3, import_here, looked_up, value):
    use(server, [record(1, {"image_Full": value}), record(2)])
    assert import_here().returncode == 1
    assert newest(s3)["1"][0] == "failed"
    assert marked(server) == {2}
    assert_only_this_host(server, looked_up)


def test_a_redirect_to_another_host_is_followed_on_the_own_one(server, s3, import_here, looked_up):
    use(server, pictures(2))
    send = server.container

    def redirect(call):
        answer = send(call)
        if answer.status == 302:
            answer.headers["Location"] = answer.headers["Location"].replace(server.url, f"http://{ELSEWHERE}")
        return answer

    server.container = redirect
    assert import_here().returncode == 0
    assert_only_this_host(server, looked_up)


def test_a_redirect_of_a_call_is_not_followed(server, s3, import_here, looked_up):
    use(server, pictures(2))
    server.answer_layout = lambda call, fault: Answer(302, headers={"Location": f"https://{ELSEWHERE}/"})
    run = import_here()
    assert run.returncode == 2
    assert "does not answer as it should (HTTP302)" in run.stderr
    assert_only_this_host(server, looked_up)


def test_neither_netrc_nor_another_ca_bundle_changes_anything(server, s3, import_here, tmp_path):
    (netrc := tmp_path / "netrc").write_text("machine localhost login other password other\n")
    netrc.chmod(0o600)
    (bundle := tmp_path / "bundle.pem").write_text("")
    headers, answer = [], server.answer

    def note(method, target, given, body):
        headers.append(given.get("Authorization", ""))
        return answer(method, target, given, body)

    server.answer = note
    use(server, pictures(2))
    server.faults = Faults(bearer=True)
    variables = {"NETRC": str(netrc), "REQUESTS_CA_BUNDLE": str(bundle), "CURL_CA_BUNDLE": str(bundle)}
    assert import_here(**variables).returncode == 0
    basic = [header for header in headers if header.startswith("Basic ")]
    assert len(basic) == server.calls["sign_in"] == 1
    assert headers[1:-1] == [f"Bearer {server.issued_tokens[0]}"] * (len(headers) - 2)


def test_a_connection_that_is_cut_in_its_handshake_is_made_again(server, s3, import_here):
    use(server, pictures(4))
    every_second = cycle([True, False])
    with cutting(urlsplit(server.url).port, lambda: next(every_second)) as port:
        run = import_here(FILEMAKER_URL=f"https://localhost:{port}")
    assert run.returncode == 0, run
    assert marked(server) == {1, 2, 3, 4}
