"""The importer can be killed at any moment: what is marked is in the dump, and the next run does the rest."""

import os
import random
import signal
import threading
from collections.abc import Callable
from contextlib import suppress

import pytest

from tests.support.copying import keep_versions
from tests.support.importer_process import MARKS_EARLY, importer
from tests.support.importing import DUMP, best, dump, mark_of, marked, newest, pictures, results, use, violations

SEEDS = range(10)
KILLS = 3


class Killer:
    """Kills a process at the n-th call to FileMaker or request to S3, or at the n-th call with this method, or late."""

    def __init__(self, server, proxy) -> None:
        self.server, self.proxy = server, proxy
        self.lock = threading.Lock()
        server.faults.on_call = lambda method, path: self.step("FileMaker", method)
        proxy.rule = lambda request: self.step("S3", request.method)
        self.spare()

    def spare(self) -> None:
        self.where, self.method, self.left, self.pid = "", "", 0, 0

    def aim(self, pid: int, where: str, left: int, method: str = "") -> None:
        with self.lock:
            self.pid, self.where, self.left, self.method = pid, where, left, method

    def step(self, where: str, method: str) -> None:
        with self.lock:
            if self.pid and where == self.where and self.method in ("", method):
                self.left -= 1
                if self.left == 0:
                    with suppress(ProcessLookupError):
                        os.kill(self.pid, signal.SIGKILL)


@pytest.fixture
def clinic(server, s3, proxy, tmp_path):
    """Callable: one run of the importer, which `aim`, if there is one, is to kill; returns its exit code."""
    keep_versions(s3)
    killer = Killer(server, proxy)
    environment = {**s3.environment, **server.environment(), "AWS_ENDPOINT_URL_S3": proxy.endpoint}

    def run(aim: Callable[[Killer, int], float] | None = None, control: str = "") -> int | None:
        killer.spare()
        with importer([f"s3://{s3.bucket}/{DUMP}"], environment, tmp_path, control) as process:
            seconds = aim(killer, process.pid) if aim else 120
            process.go()
            process.join(seconds)
            process.kill()
            process.join()
            server.sessions.clear()  # a process that was killed leaves its own, until it expires
            return process.exitcode

    return run


def aim_at_random(chance: random.Random, records: int) -> Callable[[Killer, int], float]:
    """Kill at a random call or request, in about the first half of this many records, or after a random time."""
    where = chance.choice(["FileMaker", "FileMaker", "S3", "S3", "time"])
    left, seconds = chance.randrange(1, 2 * records + 5), chance.uniform(0.1, 0.5)

    def aim(killer: Killer, pid: int) -> float:
        killer.aim(pid, where, left)
        return seconds if where == "time" else 60

    return aim


def torment(clinic, server, s3, seed: int) -> list[str]:
    """Kill runs of the importer at random, and let the last one end; returns what was wrong at any of these times."""
    chance = random.Random(seed)
    use(server, records := pictures(chance.randrange(12, 21)))
    for one in records[:2]:  # in the dump since the clinic's own script
        s3.client.put_object(Bucket=s3.bucket, Key=f"{DUMP}{one.fields['recid']}.jpg", Body=best(one))
    wrong = []
    for _ in range(KILLS):
        clinic(aim_at_random(chance, len(records) - len(marked(server))))
        wrong += violations(server, s3, ended=False)
    assert clinic() == 0
    assert len(dump(s3)) == len(marked(server)) == len(records)
    results(s3)  # every line whole
    return wrong + violations(server, s3, ended=True)


@pytest.mark.parametrize("seed", SEEDS)
def test_killed_again_and_again_what_is_marked_is_in_the_dump_and_in_the_end_all_is(clinic, server, s3, seed):
    assert torment(clinic, server, s3, seed) == []


@pytest.mark.parametrize(
    ("where", "method"),
    [("FileMaker", "PATCH"), ("FileMaker", "GET"), ("S3", "PUT"), ("S3", "HEAD"), ("FileMaker", "DELETE")],
)
def test_killed_at_a_certain_step_a_run_is_continued(clinic, server, s3, where, method):
    use(server, pictures(4))

    def aim(killer: Killer, pid: int) -> float:
        killer.aim(pid, where, 3 if method == "GET" else 1, method)
        return 60

    assert clinic(aim) == -signal.SIGKILL
    assert violations(server, s3, ended=False) == []
    assert clinic() == 0
    assert violations(server, s3, ended=True) == []
    assert marked(server) == {1, 2, 3, 4}
    assert {outcome for outcome, *_ in newest(s3).values()} <= {"uploaded", "already_present"}


def test_an_importer_that_marks_before_it_uploads_is_detected(clinic, server, s3):
    use(server, pictures(4))

    def aim(killer: Killer, pid: int) -> float:
        killer.aim(pid, "FileMaker", 1, "PATCH")
        return 60

    assert clinic(aim, MARKS_EARLY) == -signal.SIGKILL
    early = {f"{one.fields['recid']}.jpg" for one in server.records.values() if mark_of(one)}
    expected = {f"{name} is missing, and its record is marked" for name in early - dump(s3).keys()}
    assert expected
    assert expected <= set(violations(server, s3, ended=False))
