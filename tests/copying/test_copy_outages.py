"""An outage costs its time and no row; trouble lowers the rate, and a good time raises it again."""

import random
import threading
import time
from typing import Any

import pytest

from linkage.copying import run as copy_run
from linkage.copying.run import OPEN_ROWS, CopyRun, Pace, Task
from tests.support.copying import objects, pictures, results
from tests.support.proxy import COPY, AnsweringProxy, Closed, Reply, Request, answering_proxy, error

ENGINES = pytest.mark.parametrize("engine", ["crt", "boto3"])
SLOW_DOWN = error(503, "SlowDown")
OUTAGE = 1.0  # seconds


def about(rows: Any, request: Request) -> bool:
    """Whether a request is about one of the rows' destinations."""
    return request.key in {row.destination_key for row in rows}


@ENGINES
@pytest.mark.parametrize("answer", [SLOW_DOWN, Closed()])
def test_an_outage_costs_its_time_and_no_row(s3, proxy, copy_here, monkeypatch, engine, answer):
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
    run = copy_here(proxy, rows, "--engine", engine, "--workers", 4)
    assert run.returncode == 0, run
    assert {line["outcome"] for line in results(s3)} == {"copied"}
    assert len(objects(s3, "patients/p/")) == 60
    during = [request for request in proxy.seen if began[0] <= request.at < began[0] + OUTAGE]
    tries = 5  # after 0, 0.1, 0.3, 0.7 and 1.5 seconds, or up to half of that earlier
    assert len(during) <= 4 * OPEN_ROWS * tries
    assert len({request.key for request in during}) <= 4 * OPEN_ROWS
    last = max(request.at for request in proxy.seen)
    assert last - began[0] < OUTAGE + 8


@ENGINES
def test_a_store_at_which_nobody_listens_for_a_while_is_waited_for(s3, proxy, copy_here, monkeypatch, engine):
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
        run = copy_here(proxy, rows, "--engine", engine, "--workers", 4)
    finally:
        over.set()
        away.set()
        helper.join()
    assert run.returncode == 0, run
    assert len(objects(s3, "patients/p/")) == 40
    assert back[0].copies


def test_the_pace_is_halved_once_a_second_and_comes_back_slowly():
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


@ENGINES
def test_slow_down_lowers_the_rate_and_it_comes_back(s3, proxy, copy_here, monkeypatch, engine):
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
    assert copy_here(proxy, rows, "--engine", engine, "--workers", 8).returncode == 0
    copies = [request for request in proxy.seen if request.kind == COPY and about(rows, request)]
    at = copies.index(slowed[0])
    assert max(request.present for request in copies[:at]) == 8
    assert max(request.present for request in copies[at + 8 : at + 16]) <= 6
    assert max(request.present for request in copies[-60:]) == 8


@ENGINES
def test_a_row_that_always_fails_is_failed_with_its_error_and_holds_up_no_other(
    s3, proxy, copy_here, monkeypatch, engine
):
    monkeypatch.setattr(copy_run, "PAUSES", (0.05, 0.1, 0.2, 0.4))
    bad, *others = rows = pictures(s3, 30)
    proxy.rule = lambda request: error(500, "InternalError") if request.key == bad.destination_key else None
    run = copy_here(proxy, rows, "--engine", engine, "--workers", 2)
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
