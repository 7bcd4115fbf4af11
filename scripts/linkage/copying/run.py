"""A run of copies: as many at once as S3 can handle, retried where that may help, each outcome recorded."""

import gc
import heapq
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

from linkage.copying.manifest import ManifestRow
from linkage.copying.report import Recorder
from linkage.copying.resume import COPY, HELD, LOOK, VERIFIED, VERIFY, PlannedRow
from linkage.copying.rules import (
    DONE,
    HELD_BACK,
    LARGEST_COPY,
    TOO_LARGE,
    Outcome,
    Store,
    copy_parameters,
    is_proof,
    is_refusal,
    is_transient,
    outcome_without_copy,
    verify,
)
from linkage.s3.answers import Answer, Send, ask
from linkage.s3.errors import about_the_caller, fault_of_caller
from linkage.steps import stopping

PAUSES = (0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30, 30)  # seconds before each retry: two minutes in all
OPEN_ROWS = 4  # rows begun and undecided, for each request that may be in flight: an outage affects no more
LOOKING = 32  # threads at most that check objects
TICK = 0.2  # seconds
# New objects after which Python looks for garbage, of which copies leave none: with its own 700, looking would cost a
# thirtieth of the rate even if the SDK's many objects were exempt (gc.freeze).
GARBAGE = 50_000
# Copies per second, far more than possible. Answers are taken in groups, after the time in which all requests in flight
# would be answered at this rate: waking up for each answer would cost a twentieth of the rate.
IMPOSSIBLE = 150_000
MOST_REFUSED = 20  # rows in a row; then a run ends in which no row went well
ANSWERED = (200, 404, 412)
CONTINUE = "run the same command again to continue where this run ended"
REFUSED = (
    f"S3 refused {MOST_REFUSED} objects one after the other ({{}}), and no row went well; check the permissions of "
    f"these credentials (docs/copying.md, Least privilege), and {CONTINUE}"
)
Record = Callable[[ManifestRow, Outcome, int], None]


@dataclass(slots=True)
class Task:
    """An undecided row and its next step; before it is copied, its source must be known to have the manifest's size."""

    row: ManifestRow
    step: str
    copy_refused: bool = False  # because one of its conditions did not hold
    attempts: int = 0


class Pace:
    """How many requests may be in flight: halved at most once a second when requests fail, then slowly raised."""

    def __init__(self, most: int) -> None:
        self.most = self.allowed = float(most)
        self.slowed = 0.0

    def faster(self) -> None:
        """A request succeeded."""
        self.allowed = min(self.most, self.allowed + 0.1)

    def slower(self, now: float) -> None:
        """A request failed, at this monotonic time."""
        if now - self.slowed > 1:
            self.slowed = now
            self.allowed = max(1.0, self.allowed / 2)


def run_rows(
    rows: Iterable[PlannedRow],
    store: Store,
    recorder: Recorder,
    *,
    send: Send | None,
    workers: int,
    believe_listings: bool = True,
) -> str:
    """Decide and record every row; return the sentence why S3 ended the run, or an empty text.

    Without `send` nothing is copied. A row that a run would copy is recorded as
    `copied` if the listings can be trusted about what does not exist; otherwise
    its objects are checked.

    After the first Ctrl-C, requests in flight finish and are recorded, and no
    others begin; Python handles a second one.
    """
    thresholds = gc.get_threshold()
    gc.set_threshold(GARBAGE)
    try:
        with stopping() as stop:
            run = CopyRun(send, store, workers, recorder.record, stop)
            run.finish(tasks(rows, run.record, stop, send, believe_listings), recorder.flush_in_time)
            recorder.flush()
    finally:
        gc.set_threshold(*thresholds)
    return run.ended


def tasks(
    rows: Iterable[PlannedRow],
    record: Record,
    stop: threading.Event,
    send: Send | None,
    believe_listings: bool,
) -> Iterator[Task]:
    """The rows that need a request; the others are recorded with the outcome that is known."""
    for row, step, etag in rows:
        if stop.is_set():
            return
        to_copy = step == COPY and row.source_size <= LARGEST_COPY
        if step == VERIFIED:
            record(row, Outcome("already_present", etag), 0)
        elif step == HELD:
            record(row, Outcome(HELD_BACK, etag), 0)
        elif to_copy and not send and believe_listings:
            record(row, Outcome("copied"), 0)
        else:
            yield Task(row, step if step == VERIFY or (to_copy and send) else LOOK)


class CopyRun:
    """The state of a run; `keep(row, outcome, attempts)` is called for every row that is decided.

    Without `send` nothing is copied, and `copied` means that a run would copy the row.
    `ended` is the sentence why S3 ended the run; then, as after `stop`, requests
    in flight are finished and no others begun.
    """

    def __init__(
        self,
        send: Send | None,
        store: Store,
        workers: int,
        keep: Record,
        stop: threading.Event,
    ) -> None:
        self.send, self.store, self.workers, self.keep, self.stop = send, store, workers, keep, stop
        self.pace = Pace(workers)
        self.answers: SimpleQueue[tuple[Task, Any]] = SimpleQueue()
        self.waiting: list[tuple[float, int, Task]] = []
        self.in_flight = 0
        self.tasks_left = True
        self.ended = ""
        self.went_well = False  # any row
        self.refused = 0  # rows decided last, one after the other

    def finish(self, tasks: Iterator[Task], idle: Callable[[], None]) -> None:
        """Carry out every task; `idle` is called at least every TICK seconds."""
        with ThreadPoolExecutor(min(self.workers, LOOKING)) as self.pool:
            while True:
                stopping = self.stop.is_set() or bool(self.ended)
                while not stopping and self.in_flight < self.pace.allowed and (task := self.next_task(tasks)):
                    task.attempts += 1
                    self.begin(task)
                    stopping = self.stop.is_set()
                if not self.in_flight and (stopping or not (self.tasks_left or self.waiting)):
                    return
                with suppress(Empty):
                    first = self.answers.get(timeout=self.time_to_wait())
                    time.sleep(min(TICK, self.workers / IMPOSSIBLE))
                    self.decide(*first)
                    while True:
                        self.decide(*self.answers.get_nowait())
                idle()

    def next_task(self, tasks: Iterator[Task]) -> Task | None:
        """The row whose pause is over, or else a new one, unless too many are undecided."""
        if self.waiting and self.waiting[0][0] <= time.monotonic():
            return heapq.heappop(self.waiting)[2]
        if not self.tasks_left or self.in_flight + len(self.waiting) >= self.workers * OPEN_ROWS:
            return None
        task = next(tasks, None)
        self.tasks_left = task is not None
        return task

    def time_to_wait(self) -> float:
        """Seconds until there is something to do even if no answer arrives."""
        if not self.waiting:
            return TICK
        return min(TICK, max(0.001, self.waiting[0][0] - time.monotonic()))

    def begin(self, task: Task) -> None:
        """Begin the task's step: a copy request, or the checks of its objects in a thread."""
        self.in_flight += 1
        if self.send and task.step == COPY:
            self.send(copy_parameters(task.row), task.row.source_size, lambda answer: self.answers.put((task, answer)))
        else:
            rule = verify if task.step == VERIFY else outcome_without_copy
            self.pool.submit(lambda: self.answers.put((task, ask(partial(rule, self.store, task.row)))))

    def decide(self, task: Task, answer: Outcome | Answer | None) -> None:
        """Continue a task after an answer, or after checking (None: the row is to be copied)."""
        self.in_flight -= 1
        if isinstance(answer, Outcome):
            self.pace.faster()
            self.record(task.row, answer, task.attempts)
        elif answer is None:
            self.go_on_to_copy(task)
        elif task.step == COPY and answer.status in ANSWERED:
            self.pace.faster()
            self.take_copy_answer(task, answer)
        elif about_the_caller(answer.code, answer.status):
            sentence = fault_of_caller(answer.code, answer.status, {}, task.row.destination_bucket)
            self.ended = f"{sentence}; {CONTINUE}"
        elif is_transient(answer):
            self.pace.slower(time.monotonic())
            self.try_later(task, answer.code)
        else:
            self.fail(task, answer)

    def record(self, row: ManifestRow, outcome: Outcome, attempts: int) -> None:
        """Keep the outcome of a row that is decided."""
        self.refused = 0
        self.went_well = self.went_well or outcome.outcome in DONE
        self.keep(row, outcome, attempts)

    def fail(self, task: Task, answer: Answer) -> None:
        """Record a row as failed, and end the run if S3 refuses row after row and none went well."""
        refused = self.refused + is_refusal(answer)
        self.record(task.row, Outcome("failed", error=answer.code), task.attempts)
        self.refused = refused if is_refusal(answer) else 0
        if self.refused == MOST_REFUSED and not self.went_well:
            self.ended = REFUSED.format(answer.code)

    def take_copy_answer(self, task: Task, answer: Answer) -> None:
        """Continue after S3 made a copy, or refused to because a condition did not hold or there is no source."""
        if answer.status != 200:
            task.copy_refused, task.step = True, LOOK
            self.begin(task)
        elif is_proof(answer, task.row, self.store):
            self.record(task.row, Outcome("copied", answer.etag), task.attempts)
        else:
            task.step = VERIFY
            self.begin(task)

    def go_on_to_copy(self, task: Task) -> None:
        """Copy a row: at once, or later if S3 has just refused to."""
        task.step = COPY
        if task.row.source_size > LARGEST_COPY:
            self.record(task.row, Outcome("failed", error=TOO_LARGE), task.attempts)
        elif not self.send:
            self.record(task.row, Outcome("copied"), task.attempts)
        elif task.copy_refused:
            self.try_later(task, "CopyRefused")
        else:
            self.begin(task)

    def try_later(self, task: Task, error: str) -> None:
        """Retry the task's step after a pause, or record the row as failed."""
        if task.attempts > len(PAUSES):
            self.record(task.row, Outcome("failed", error=error), task.attempts)
            return
        pause = PAUSES[task.attempts - 1] * random.uniform(0.75, 1.25)
        heapq.heappush(self.waiting, (time.monotonic() + pause, id(task), task))
