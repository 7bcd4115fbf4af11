"""A run of copies: as many at once as S3 bears, tried again where that may help, each outcome recorded."""

import gc
import heapq
import random
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

from linkage.copying.manifest import ManifestRow
from linkage.copying.report import Recorder
from linkage.copying.resume import KnownCopies
from linkage.copying.rules import (
    LARGEST_COPY,
    TOO_LARGE,
    Outcome,
    Store,
    copy_parameters,
    find_obstacle,
    is_proof,
    is_refusal,
    is_transient,
    verify,
)
from linkage.s3.answers import Answer, Send, ask

PAUSES = (0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30, 30)  # seconds before the further tries: two minutes in all
OPEN_ROWS = 4  # rows begun and not decided, for each request that may be in flight: an outage touches no more
LOOKING = 32  # threads at most that look at objects
TICK = 0.2  # seconds
COPY, LOOK, VERIFY = "copy", "look", "verify"
ANSWERED = (200, 404, 412)


@dataclass(slots=True)
class Task:
    """A row on its way and its next step; it is copied once its source is known to have the manifest's size."""

    row: ManifestRow
    step: str
    refused: bool = False  # S3 has refused to copy it
    attempts: int = 0


class Pace:
    """How many requests may be in flight: halved at most once a second in times of trouble, then more and more."""

    def __init__(self, most: int) -> None:
        self.most = self.allowed = float(most)
        self.slowed = 0.0

    def faster(self) -> None:
        """One request went well."""
        self.allowed = min(self.most, self.allowed + 0.1)

    def slower(self, now: float) -> None:
        """One request did not, at this monotonic time."""
        if now - self.slowed > 1:
            self.slowed = now
            self.allowed = max(1.0, self.allowed / 2)


def run_rows(
    rows: Iterable[ManifestRow],
    known: KnownCopies,
    store: Store,
    recorder: Recorder,
    *,
    send: Send | None,
    workers: int,
) -> str:
    """Decide and record every row; S3's word for it where it refused these credentials, else an empty text.

    At the first Ctrl-C what is in flight is finished and recorded, and nothing
    more begun; a second one is Python's own.
    """
    gc.freeze()  # the SDK's objects stay as they are: to walk through them again and again is a quarter of the time
    with ctrl_c() as stop:
        run = CopyRun(send, store, workers, recorder.record, stop)
        run.finish(tasks(rows, known, recorder, stop, copying=send is not None), recorder.flush_in_time)
        recorder.flush()
    return run.refusal


def tasks(
    rows: Iterable[ManifestRow], known: KnownCopies, recorder: Recorder, stop: threading.Event, *, copying: bool
) -> Iterator[Task]:
    """The rows that need a request; the others are recorded as what they are known to be."""
    for number, row in enumerate(rows):
        if stop.is_set():
            return
        to_copy = known.source_listed[number] and not known.listed[number] and row.source_size <= LARGEST_COPY
        if known.verified[number]:
            recorder.record(row, Outcome("already_present", known.etags[number].decode()), 0)
        elif to_copy and not copying and known.complete:
            recorder.record(row, Outcome("copied"), 0)
        else:
            yield Task(row, COPY if to_copy and copying else LOOK)


@contextmanager
def ctrl_c() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C sets, in the place of an exception in the midst of anything."""
    stop = threading.Event()

    def handle(*_: object) -> None:
        stop.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)


class CopyRun:
    """What is going on: `record(row, outcome, attempts)` is called for every row that is decided.

    Without `send` nothing is copied, and `copied` says what would be. `refusal`
    is S3's word for it where it has refused these credentials; then, as after
    `stop`, what is in flight is finished and nothing more begun.
    """

    def __init__(
        self,
        send: Send | None,
        store: Store,
        workers: int,
        record: Callable[[ManifestRow, Outcome, int], None],
        stop: threading.Event,
    ) -> None:
        self.send, self.store, self.workers, self.record, self.stop = send, store, workers, record, stop
        self.pace = Pace(workers)
        self.answers: SimpleQueue[tuple[Task, Any]] = SimpleQueue()
        self.waiting: list[tuple[float, int, Task]] = []
        self.in_flight = 0
        self.tasks_left = True
        self.refusal = ""

    def finish(self, tasks: Iterator[Task], idle: Callable[[], None]) -> None:
        """Carry out every task; `idle` is called at least every TICK seconds."""
        with ThreadPoolExecutor(min(self.workers, LOOKING)) as self.pool:
            while True:
                stopping = self.stop.is_set() or self.refusal
                while not stopping and self.in_flight < self.pace.allowed and (task := self.next_task(tasks)):
                    task.attempts += 1
                    self.begin(task)
                    stopping = self.stop.is_set()
                if not self.in_flight and (stopping or not (self.tasks_left or self.waiting)):
                    return
                with suppress(Empty):
                    self.decide(*self.answers.get(timeout=self.time_to_wait()))
                    while True:
                        self.decide(*self.answers.get_nowait())
                idle()

    def next_task(self, tasks: Iterator[Task]) -> Task | None:
        """The row whose pause is over, or else a new one, unless too many are open."""
        if self.waiting and self.waiting[0][0] <= time.monotonic():
            return heapq.heappop(self.waiting)[2]
        if not self.tasks_left or self.in_flight + len(self.waiting) >= self.workers * OPEN_ROWS:
            return None
        task = next(tasks, None)
        self.tasks_left = task is not None
        return task

    def time_to_wait(self) -> float:
        """Seconds until something is to be done even where no answer comes."""
        if not self.waiting:
            return TICK
        return min(TICK, max(0.001, self.waiting[0][0] - time.monotonic()))

    def begin(self, task: Task) -> None:
        """Make the request, or look, that the task's step asks for."""
        self.in_flight += 1
        if task.step == COPY:
            self.send(copy_parameters(task.row), task.row.source_size, lambda answer: self.answers.put((task, answer)))
        else:
            rule = verify if task.step == VERIFY else find_obstacle
            self.pool.submit(lambda: self.answers.put((task, ask(partial(rule, self.store, task.row)))))

    def decide(self, task: Task, answer: Outcome | Answer | None) -> None:
        """Go on with a task after what was answered, or seen (None: nothing stands in the way of a copy)."""
        self.in_flight -= 1
        if isinstance(answer, Outcome):
            self.pace.faster()
            self.record(task.row, answer, task.attempts)
        elif answer is None:
            self.go_on_to_copy(task)
        elif task.step == COPY and answer.status in ANSWERED:
            self.pace.faster()
            self.take_copy_answer(task, answer)
        elif is_refusal(answer):
            self.refusal = answer.code
        elif is_transient(answer):
            self.pace.slower(time.monotonic())
            self.try_later(task, answer.code)
        else:
            self.record(task.row, Outcome("failed", error=answer.code), task.attempts)

    def take_copy_answer(self, task: Task, answer: Answer) -> None:
        """Go on after S3 has made a copy, or has refused to because a condition does not hold or there is no source."""
        if answer.status != 200:
            task.refused, task.step = True, LOOK
            self.begin(task)
        elif is_proof(answer, task.row, self.store):
            self.record(task.row, Outcome("copied", answer.etag), task.attempts)
        else:
            task.step = VERIFY
            self.begin(task)

    def go_on_to_copy(self, task: Task) -> None:
        """Copy a row that nothing stands in the way of: at once, or later where S3 has just refused to."""
        task.step = COPY
        if task.row.source_size > LARGEST_COPY:
            self.record(task.row, Outcome("failed", error=TOO_LARGE), task.attempts)
        elif not self.send:
            self.record(task.row, Outcome("copied"), task.attempts)
        elif task.refused:
            self.try_later(task, "CopyRefused")
        else:
            self.begin(task)

    def try_later(self, task: Task, error: str) -> None:
        """Have the task's step tried again after a pause, or give the row up."""
        if task.attempts > len(PAUSES):
            self.record(task.row, Outcome("failed", error=error), task.attempts)
            return
        pause = PAUSES[task.attempts - 1] * random.uniform(0.75, 1.25)
        heapq.heappush(self.waiting, (time.monotonic() + pause, id(task), task))
