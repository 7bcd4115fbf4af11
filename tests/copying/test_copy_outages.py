"""An outage delays a run but loses no row; faults lower the rate; a refusal by S3 ends one row or the run.

The rules are tested on boto3; the Answers that they judge are the same on every
engine (tests/s3/test_copy_engines.py).
"""

import random
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from linkage.copying import run as copy_run
from linkage.copying.rules import is_refusal, is_transient
from linkage.copying.run import OPEN_ROWS, CopyRun, Pace, Task
from linkage.s3.answers import Answer
from linkage.s3.errors import about_the_caller
from tests.support.copying import objects, only_line, pictures, results, upload
from tests.support.proxy import (
    COPY,
    GET,
    HEAD,
    LIST,
    AnsweringProxy,
    Closed,
    Reply,
    Request,
    answering,
    answering_proxy,
    error,
)
from tests.support.servers import S3

BOTO3 = ("--engine", "boto3", "--workers")
SLOW_DOWN = error(503, "SlowDown")
OUTAGE = 1.0  # seconds


def about(rows: Any, request: Request) -> bool:
    """Whether a request is about one of the rows' destinations."""
    return request.key in {row.destination_key for row in rows}


@pytest.mark.parametrize("answer", [SLOW_DOWN, Closed()])
def test_an_outage_delays_a_run_and_loses_no_row(s3, proxy, copy_here, monkeypatch, answer):
    monkeypatch.setattr(copy_run, "PAUSES", (0.1, 0.2, 0.4, 0.8, 1.6, 3))
    rows = pictures(s3, 60)
    began: list[float] = []
    lock = threading.Lock()

    def fail(request: Request) -> Any:
        with lock:
            if not began and len(proxy.copies) > 20:
                began.append(request.at)
        return answer if began and request.at < began[0] + OUTAGE else None

    proxy.rule = fail
    run = copy_here(proxy, rows, *BOTO3, 4)
    assert run.returncode == 0, run
    assert {line["outcome"] for line in results(s3)} == {"copied"}
    assert len(objects(s3, "patients/1/")) == 60
    during = [request for request in proxy.seen if began[0] <= request.at < began[0] + OUTAGE]
    tries = 5  # after 0, 0.1, 0.3, 0.7 and 1.5 seconds, or up to half of that earlier
    assert len(during) <= 4 * OPEN_ROWS * tries
    assert len({request.key for request in during}) <= 4 * OPEN_ROWS


def test_a_store_that_is_unreachable_for_a_while_is_waited_for(s3, proxy, copy_here, monkeypatch):
    monkeypatch.setattr(copy_run, "PAUSES", (0.1, 0.2, 0.4, 0.8, 1.6, 3))
    rows = pictures(s3, 40)
    port = proxy.server_address[1]
    away = threading.Event()

    def go_away(request: Request) -> Closed | None:
        if len(proxy.copies) > 10:
            away.set()
        return Closed() if away.is_set() else None

    proxy.rule = go_away
    back: list[AnsweringProxy] = []

    def come_back() -> None:
        away.wait(60)
        proxy.socket.close()
        time.sleep(0.7)
        with answering_proxy(s3.environment, port=port) as other:
            back.append(other)
            over.wait(60)

    over = threading.Event()
    helper = threading.Thread(target=come_back)
    helper.start()
    try:
        run = copy_here(proxy, rows, *BOTO3, 4)
    finally:
        over.set()
        away.set()
        helper.join()
    assert run.returncode == 0, run
    assert len(objects(s3, "patients/1/")) == 40
    assert back[0].copies


@pytest.mark.parametrize(
    ("answers", "verdict"),
    [
        ([Answer(0, "Timeout"), Answer(409, "X"), Answer(412, "X"), Answer(429, "X"), Answer(500, "X"),
          Answer(502, "X"), Answer(503, "X"), Answer(504, "X"), Answer(400, "SlowDown"), Answer(400, "RequestTimeout"),
          Answer(400, "Throttling"), Answer(403, "403"), Answer(407, "407")], "transient"),
        ([Answer(401, "X"), Answer(403, "RequestTimeTooSkewed"), Answer(403, "NoCredentialsError"),
          Answer(400, "ExpiredToken"), Answer(400, "InvalidToken")], "about the caller"),
        ([Answer(403, "AccessDenied"), Answer(403, "AllAccessDisabled")], "refused"),
        ([Answer(301, "X"), Answer(400, "EntityTooLarge"), Answer(400, "TypeError"), Answer(501, "NotImplemented"),
          Answer(403, "InvalidObjectState"), Answer(400, "400")], "failed"),
    ],
    ids=["transient", "about the caller", "about an object that others may read", "about the row"],
)  # fmt: skip
def test_what_an_answer_means_for_its_row_and_for_the_run(answers, verdict):
    def judge(answer: Answer) -> str:
        """In the order in which a run asks."""
        if about_the_caller(answer.code, answer.status):
            return "about the caller"
        if is_transient(answer):
            return "transient"
        return "refused" if is_refusal(answer) else "failed"

    assert [answer for answer in answers if judge(answer) != verdict] == []


def test_the_pace_is_halved_at_most_once_a_second_and_recovers_slowly():
    pace = Pace(64)
    pace.faster()
    assert pace.allowed == 64
    for now in (100, 100.5, 100.9):
        pace.slower(now)
    assert pace.allowed == 32
    pace.slower(101.5)
    assert pace.allowed == 16
    for now in range(102, 130, 2):
        pace.slower(now)
    assert pace.allowed == 1
    steps = 0
    while pace.allowed < 64 and steps < 1000:
        before, steps = pace.allowed, steps + 1
        pace.faster()
        assert pace.allowed > before
    assert steps in range(300, 1000)
    pace.faster()
    assert pace.allowed == 64


def test_slow_down_lowers_the_rate_and_the_rate_recovers(s3, proxy, copy_here, monkeypatch):
    monkeypatch.setattr(copy_run, "PAUSES", (0.3, 0.4, 0.8))
    rows = pictures(s3, 200)
    slowed: list[Request] = []

    def slow_down(request: Request) -> Reply | None:
        if request.kind != COPY or not about(rows, request):
            return None
        time.sleep(0.02)
        if len(proxy.copies) > 50 and not slowed:
            slowed.append(request)
            return SLOW_DOWN
        return None

    proxy.rule = slow_down
    assert copy_here(proxy, rows, *BOTO3, 8).returncode == 0
    copies = [request for request in proxy.seen if request.kind == COPY and about(rows, request)]
    at = copies.index(slowed[0])
    assert max(request.present for request in copies[:at]) == 8
    assert max(request.present for request in copies[at + 8 : at + 16]) <= 6
    assert max(request.present for request in copies[-60:]) == 8


def test_a_row_that_always_fails_is_recorded_with_its_error_and_delays_no_other(s3, proxy, copy_here, monkeypatch):
    monkeypatch.setattr(copy_run, "PAUSES", (0.05, 0.1, 0.2, 0.4))
    bad, *others = rows = pictures(s3, 30)
    proxy.rule = lambda request: error(500, "InternalError") if request.key == bad.destination_key else None
    run = copy_here(proxy, rows, *BOTO3, 2)
    assert run.returncode == 1
    assert f"  {bad.image_id}  failed InternalError" in run.stdout
    lines = {line["image_id"]: line for line in results(s3)}
    assert (lines[bad.image_id]["outcome"], lines[bad.image_id]["attempts"]) == ("failed", "5")
    assert {lines[row.image_id]["outcome"] for row in others} == {"copied"}
    assert max(lines[row.image_id]["recorded_at"] for row in others) < lines[bad.image_id]["recorded_at"]
    assert proxy.copies.count(bad.destination_key) == 5


def test_an_outage_of_a_minute_is_shorter_than_the_shortest_pauses_of_a_row(monkeypatch):
    monkeypatch.setattr(random, "uniform", lambda least, most: least)
    clock = [0.0]
    monkeypatch.setattr(copy_run.time, "monotonic", lambda: clock[0])
    run = CopyRun(None, None, 1, lambda row, outcome, attempts: failed.append(attempts), threading.Event())
    failed: list[int] = []
    task = Task(None, COPY)
    while not failed:
        task.attempts += 1
        run.try_later(task, "SlowDown")
        if run.waiting:
            clock[0] = run.waiting.pop()[0]
    assert clock[0] >= 60


def test_no_more_requests_are_in_flight_than_workers(s3, proxy, copy_here):
    """Copies, reads and verifications together."""
    rows = pictures(s3, 30)
    for row in rows[::3]:
        upload(s3, row.destination_key, b"picture %d" % int(Path(row.source_key).stem))
    proxy.rule = lambda request: time.sleep(0.02)
    assert copy_here(proxy, rows, *BOTO3, 3).returncode == 0
    assert proxy.most == 3


# --- refusals by S3 --------------------------------------------------------------------------------------------------


def recorded(s3: S3) -> dict[str, tuple[str, str]]:
    """Source's key → outcome and error of its newest line."""
    return {line["source_key"]: (line["outcome"], line["error"]) for line in results(s3)}


REFUSALS = [
    (403, "ExpiredToken", "have expired or are not valid (ExpiredToken)"),
    (400, "ExpiredToken", "have expired or are not valid (ExpiredToken)"),
    (403, "RequestTimeTooSkewed", "this machine's clock is wrong"),
    (403, "InvalidAccessKeyId", "S3 rejected these credentials"),
]


@pytest.mark.parametrize(("status", "code", "saying"), REFUSALS)
def test_what_is_about_the_caller_stops_the_run_at_once_and_the_next_run_continues(
    s3, proxy, copy_here, status, code, saying
):
    rows = pictures(s3, 40)
    done: list[str] = []

    def refuse(request: Request) -> Reply | None:
        if request.kind == COPY and not request.key.endswith("canary"):
            done.append(request.key)
            return error(status, code) if len(done) > 10 else None
        return None

    proxy.rule = refuse
    run = copy_here(proxy, rows, *BOTO3, 4)
    line = only_line(run)
    assert saying in line
    assert "run the same command again to continue where this run ended" in line
    assert 11 <= len(done) <= 10 + 4
    assert recorded(s3) == {row.source_key: ("copied", "") for row in rows if row.destination_key in done[:10]}
    assert "copied 10 " in run.stdout
    proxy.rule = lambda request: None
    assert "copied 30   already present 10 " in copy_here(proxy, rows, *BOTO3, 4).stdout


def test_credentials_rejected_for_a_read_stop_the_run_too(s3, proxy, copy_here):
    """The answer to a HEAD has no body that says so; that to a GET has one."""
    row, *others = pictures(s3, 6)
    upload(s3, row.destination_key, b"picture 1")
    proxy.rule = answering(error(403, "ExpiredToken"), HEAD, GET, key=row.destination_key)
    assert "have expired or are not valid (ExpiredToken)" in only_line(copy_here(proxy, [row, *others], *BOTO3, 1))
    assert row.source_key not in recorded(s3)


DENIED = error(403, "AccessDenied")


@pytest.mark.parametrize("engine", ["crt", "boto3"])
@pytest.mark.parametrize("kinds", [(COPY,), (HEAD, GET)], ids=["copied", "checked"])
def test_an_object_that_s3_refuses_fails_alone_even_if_it_is_the_first(s3, proxy, copy_here, engine, kinds):
    rows = pictures(s3, 30)
    first, unlinked, last = rows[0], rows[10], rows[-1]
    unlinked = rows[10] = unlinked._replace(destination_key="unlinked/wound/11.jpg")
    refused = [first, unlinked, last]
    if HEAD in kinds:
        for row in refused:
            upload(s3, row.destination_key, b"something of another size")
    proxy.rule = lambda request: DENIED if request.kind in kinds and about(refused, request) else None
    run = copy_here(proxy, rows, f"--engine={engine}", "--workers=1")
    assert run.returncode == 1, run
    assert recorded(s3) == {
        row.source_key: ("failed", "AccessDenied") if row in refused else ("copied", "") for row in rows
    }
    for row in (first, last):
        places = f"{s3.bucket}/{row.source_key} -> {s3.bucket}/{row.destination_key}"
        assert f"  {row.image_id}  failed AccessDenied: {places}\n" in run.stdout


@pytest.mark.parametrize("engine", ["crt", "boto3"])
def test_a_run_in_which_twenty_rows_in_a_row_are_refused_and_none_went_well_ends(s3, proxy, copy_here, engine):
    rows = pictures(s3, 60)
    proxy.rule = lambda request: DENIED if request.kind == COPY and about(rows, request) else None
    line = only_line(copy_here(proxy, rows, f"--engine={engine}", "--workers=2"))
    assert "S3 refused 20 objects one after the other (AccessDenied)" in line
    assert 20 <= len(proxy.copies) <= 22
    assert recorded(s3) == {row.source_key: ("failed", "AccessDenied") for row in rows[: len(proxy.copies)]}


@pytest.mark.parametrize("well", ["copied", "already present", "listed"])
def test_a_run_in_which_one_row_went_well_ends_with_its_last_row(s3, proxy, copy_here, well):
    """Whether it was copied, compared, or known from an earlier run."""
    first, *others = rows = pictures(s3, 60)
    if well == "listed":
        assert copy_here(proxy, [first], *BOTO3, 1).returncode == 0
    if well == "already present":
        upload(s3, first.destination_key, b"picture 1")
    proxy.rule = lambda request: DENIED if request.kind == COPY and about(others[:40], request) else None
    run = copy_here(proxy, rows, *BOTO3, 1)
    assert run.returncode == 1, run
    assert Counter(recorded(s3).values())["failed", "AccessDenied"] == 40
    assert {recorded(s3)[row.source_key] for row in others[40:]} == {("copied", "")}


def test_refusals_with_another_outcome_in_between_are_not_in_a_row(s3, proxy, copy_here):
    rows = pictures(s3, 45)
    for row in rows[14::15]:
        upload(s3, row.destination_key, b"somebody else's")
    proxy.rule = lambda request: DENIED if request.kind == COPY and about(rows, request) else None
    run = copy_here(proxy, rows, *BOTO3, 1)
    assert run.returncode == 1, run
    assert Counter(recorded(s3).values()) == {("failed", "AccessDenied"): 42, ("conflict", ""): 3}


PAGE = Reply(403, [("Content-Type", "text/html")], b"<html><body>Blocked by the <b>gateway</body></html>")
NOTHING = Reply(403, [], b"")


@pytest.mark.parametrize("engine", ["crt", "boto3"])
@pytest.mark.parametrize("document", [PAGE, NOTHING, error(403, "")], ids=["a page", "nothing", "no code"])
def test_a_refusal_that_is_not_s3s_is_retried(s3, proxy, copy_here, monkeypatch, engine, document):
    monkeypatch.setattr(copy_run, "PAUSES", (0.05, 0.05))
    waited, checked, never, *others = rows = pictures(s3, 30)
    upload(s3, checked.destination_key, b"picture 2")
    seen: Counter[str] = Counter()

    def refuse(request: Request) -> Reply | None:
        if about([never], request):
            return document
        seen[request.key] += about([waited, checked], request)
        return document if 0 < seen[request.key] <= 2 else None

    proxy.rule = refuse
    run = copy_here(proxy, rows, f"--engine={engine}", "--workers=2")
    assert run.returncode == 1, run
    assert recorded(s3) == {
        never.source_key: ("failed", "403"),
        checked.source_key: ("already_present", ""),
        **{row.source_key: ("copied", "") for row in (waited, *others)},
    }
    assert proxy.copies.count(never.destination_key) == 3


def test_an_archived_source_fails_its_own_row_only(s3, proxy, copy_here):
    archived, *others = pictures(s3, 6)
    proxy.rule = answering(error(403, "InvalidObjectState"), COPY, key=archived.destination_key)
    assert copy_here(proxy, [archived, *others], *BOTO3, 4).returncode == 1
    assert recorded(s3) == {
        archived.source_key: ("failed", "InvalidObjectState"),
        **{row.source_key: ("copied", "") for row in others},
    }
    assert proxy.copies.count(archived.destination_key) == 1


def test_an_object_encrypted_with_somebody_elses_key_fails_its_own_row_only(s3, proxy, copy_here):
    """S3 answers a HEAD of it with 400 and, as it has no body, without a code."""
    theirs, *others = pictures(s3, 4)
    upload(s3, theirs.destination_key, b"picture 1")
    proxy.rule = answering(Reply(400, [], b""), HEAD, GET, key=theirs.destination_key)
    assert copy_here(proxy, [theirs, *others], *BOTO3, 4).returncode == 1
    outcomes = {key: outcome for key, (outcome, _) in recorded(s3).items()}
    assert outcomes == {theirs.source_key: "failed"} | {row.source_key: "copied" for row in others}


@pytest.mark.parametrize("listed", [True, False])
def test_an_object_above_five_gib_fails_without_a_copy(s3, proxy, copy_here, listed):
    large, largest = pictures(s3, 2)
    large, largest = large._replace(source_size=5 * 1024**3 + 1), largest._replace(source_size=5 * 1024**3)
    sizes = {row.source_key: str(row.source_size) for row in (large, largest)}

    def change(request: Request, reply: Reply) -> Reply:
        if request.kind == LIST and listed:
            content = reply.body
            for key, size in sizes.items():
                one = f"<Key>{key.replace('/', '%2F')}</Key>".encode()
                one = one if one in content else f"<Key>{key}</Key>".encode()
                before, found, after = content.partition(one)
                content = before + found + after.replace(b"<Size>9<", f"<Size>{size}<".encode(), 1)
            return Reply(200, reply.headers, content)
        if request.kind == HEAD and request.key in sizes:
            kept = [pair for pair in reply.headers if pair[0].lower() != "content-length"]
            return Reply(200, [*kept, ("Content-Length", sizes[request.key])], b"")
        return reply

    proxy.change = change
    copy_here(proxy, [large], *BOTO3, 4)
    assert recorded(s3) == {large.source_key: ("failed", "EntityTooLarge")}
    assert not proxy.copies
    result = f'<CopyObjectResult><ETag>"{largest.source_etag}"</ETag></CopyObjectResult>'
    proxy.rule = answering(Reply(200, [], result.encode()), COPY, key=largest.destination_key)
    copy_here(proxy, [largest], *BOTO3, 4)
    assert proxy.copies == [largest.destination_key]
    if listed:
        assert recorded(s3)[largest.source_key] == ("copied", "")
