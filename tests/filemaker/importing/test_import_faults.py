"""The importer under faults of FileMaker Server: every picture arrives, none is wrong, and no secret is shown."""

from contextlib import nullcontext
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from linkage.filemaker.data_api.containers import check_length
from linkage.filemaker.data_api.problems import NotNow
from linkage.filemaker.importing import run as importing
from sandbox.filemaker_faults import Faults
from tests.support.copying import keep_versions
from tests.support.cutting import cutting
from tests.support.importing import (
    best,
    data_file,
    dump,
    fail_first,
    marked,
    newest,
    pictures,
    record,
    results,
    use,
    violations,
)

RECORDS = 500


def secrets_of(server) -> set[str]:
    """The password, and every token, part of a container's URL and cookie that the server has issued."""
    return {server.password, *server.issued_tokens, *server.issued_urls, *server.cookies}


def leaks(server, texts: list[str]) -> set[str]:
    """The secrets that appear in one of these texts, in any case."""
    lowered = "\n".join(texts).lower()
    return {secret for secret in secrets_of(server) if secret.lower() in lowered}


def written(folder: Path) -> list[str]:
    """The names and contents of all files in a folder."""
    found = [path for path in folder.rglob("*") if path.is_file()]
    return [str(path.name) for path in found] + [path.read_bytes().decode(errors="replace") for path in found]


def test_with_a_fifth_of_the_calls_failing_all_are_imported_none_is_wrong_and_no_secret_shows(
    server, s3, import_here, tmp_path
):
    keep_versions(s3)
    use(server, records := pictures(RECORDS))
    server.faults = Faults(rate=0.2, seed=3)
    run = import_here("--workers=4")
    server.faults.rate = 0
    assert run.returncode == 0, run.stdout + run.stderr
    assert dump(s3) == {f"{number}.jpg": best(one) for number, one in enumerate(records, 1)}
    assert marked(server) == set(range(1, RECORDS + 1))
    assert violations(server, s3, ended=True) == []
    assert {marks for _, marks, _ in newest(s3).values()} == {"yes"}
    assert len(results(s3)) == RECORDS
    assert len(data_file(s3, "filemaker_images_metadata.csv").read_text().splitlines()) == RECORDS + 1
    assert server.faulted.keys() >= set(Faults().kinds) - {"too_many_sessions"}, server.faulted
    names = [str(found) for found in s3.client.list_object_versions(Bucket=s3.bucket)["Versions"]]
    heads = [str(s3.client.head_object(Bucket=s3.bucket, Key=line["key"])) for line in results(s3)[:20]]
    assert not leaks(server, [run.stdout, run.stderr, *written(tmp_path), *names, *heads])
    assert leaks(server, [f"x{server.issued_tokens[-1]}x"])  # the search itself


def test_an_error_that_has_a_pictures_address_is_reported_without_it(server, s3, import_here, tmp_path):
    """The errors of the HTTP client contain the whole address where no connection can be made."""
    use(server, [record(1)])
    answer, latest = server.answer, [""]

    def close(method, target, headers, body):
        found = answer(method, target, headers, body)
        latest[0] = target
        found.headers["Connection"] = "close"
        return found

    def before_a_download() -> bool:
        is_read = latest[0].endswith("/records/1001")
        latest[0] = ""
        return is_read

    server.answer = close
    with cutting(urlsplit(server.url).port, before_a_download) as port:
        run = import_here("--workers=1", FILEMAKER_URL=f"https://localhost:{port}")
    assert run.returncode == 1
    assert newest(s3) == {"1": ("failed", "no", "SSLError")}
    assert server.issued_urls
    assert not leaks(server, [run.stdout, run.stderr, *written(tmp_path)])


@pytest.mark.parametrize(
    "kind", ["expired", "unavailable", "gateway", "page", "reset", "truncated", "cut_chunked", "empty_body"]
)
def test_the_session_is_closed_even_if_signing_out_fails_at_first(server, s3, import_here, kind):
    """Whatever was not closed would be open for 15 minutes, and a server has few sessions."""
    use(server, [record(1)])
    failed = fail_first(server, "DELETE", kind, times=2)
    assert import_here().returncode == 0
    assert failed
    assert not server.sessions


@pytest.mark.parametrize(
    ("headers", "word"),
    [
        ({}, "NoLength"),
        ({"Content-Length": "6"}, "CutOff"),
        ({"Content-Length": "5"}, ""),
        ({"Transfer-Encoding": "chunked"}, ""),
    ],
)
def test_a_download_that_does_not_show_that_it_is_whole_is_not_taken(headers, word):
    """The HTTP client notices a body that is cut off, but not one whose length nobody has announced."""
    answer = requests.Response()
    answer.headers.update(headers)
    with pytest.raises(NotNow, match=f"^{word}$") if word else nullcontext():
        check_length(answer, 5)


def test_an_outage_in_bursts_is_waited_out(server, s3, import_here):
    use(server, pictures(20))
    server.faults = Faults(burst_after=5, burst_seconds=0.3)
    assert import_here().returncode == 0
    assert marked(server) == set(range(1, 21))
    assert violations(server, s3, ended=True) == []


def test_a_server_that_wants_the_token_for_a_download_gets_it(server, s3, import_here):
    use(server, pictures(3))
    server.faults = Faults(bearer=True)
    assert import_here().returncode == 0
    assert marked(server) == {1, 2, 3}


def test_after_a_long_outage_a_run_ends_and_what_is_done_stays(server, s3, import_here, monkeypatch):
    monkeypatch.setattr(importing, "PATIENCE", 0.5)
    monkeypatch.setattr(importing, "MOST_FAULTS", 10_000)
    use(server, pictures(6))

    def fail_from_now_on(method: str, path: str) -> None:
        if method == "PATCH" and len(marked(server)) == 2:
            server.faults = Faults(rate=1, kinds=("unauthorized", "expired_url"))

    server.faults.on_call = fail_from_now_on
    run = import_here("--workers=1")
    assert run.returncode == 2
    assert run.stderr.startswith("error: FileMaker Server has not answered as it should for ")
    assert run.stderr.count("\n") == 1
    assert marked(server) == {1, 2}
    assert dump(s3).keys() == {"1.jpg", "2.jpg"}
    server.faults = Faults()
    assert import_here().returncode == 0
    assert marked(server) == set(range(1, 7))


def test_a_picture_that_never_arrives_does_not_keep_the_run_from_its_end(server, s3, import_here):
    """The other records are imported, and the metadata are written."""
    use(server, pictures(5))
    send = server.container

    def container(call):
        number = server.urls[call.key][1]
        answer = send(call)
        if number == 1003 and answer.status == 200:
            answer.broken_off = "truncated"
        return answer

    server.container = container
    assert import_here().returncode == 1
    outcome, is_marked, error = newest(s3)["3"]
    assert (outcome, is_marked) == ("failed", "no") and error
    assert marked(server) == {1, 2, 4, 5}
    assert dump(s3).keys() == {"1.jpg", "2.jpg", "4.jpg", "5.jpg"}
    assert len(data_file(s3, "filemaker_images_metadata.csv").read_text().splitlines()) == 6


# --- sessions --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["/records", "/records/1003", "/Streaming_SSL/MainDB/…"])
def test_after_a_token_has_expired_the_run_signs_in_once_more(server, s3, import_here, when):
    use(server, pictures(6))

    def rest(method: str, path: str) -> None:
        if path.endswith(when):
            server.faults.on_call = None
            server.advance(server.session_seconds + 1)

    server.faults.on_call = rest
    assert import_here().returncode == 0
    assert marked(server) == set(range(1, 7))
    assert server.calls["sign_in"] == len(server.issued_tokens) == 2


def test_a_run_uses_one_session(server, s3, import_here):
    use(server, pictures(10))
    server.most_sessions = 1
    assert import_here("--workers=5").returncode == 0
    assert len(server.issued_tokens) == 1


def test_the_session_of_another_is_waited_for(server, s3, import_here):
    use(server, pictures(2))
    server.faults = Faults(planned=["too_many_sessions", "too_many_sessions"])
    assert import_here().returncode == 0
