"""A run of imports: a few records at once, retried after pauses, with a rest whenever the server does not cope."""

import heapq
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from linkage.errors import UnusableInput
from linkage.filemaker.data_api.problems import NotNow
from linkage.filemaker.importing.outcomes import Outcome
from linkage.filemaker.importing.record import Task, failed

PAUSES = (0.25, 0.5, 1, 2, 4, 8, 15)  # seconds before a record is tried again; the last one is repeated
MOST_ATTEMPTS, MOST_FAULTS = 8, 20  # that fail because of the record, or of the server
FIRST_REST, LONGEST_REST = 0.25, 60  # seconds in which nothing is asked after the server has failed
PATIENCE = 30 * 60  # seconds without a success; then a run ends
TICK = 0.2  # seconds
GIVEN_UP = (
    "FileMaker Server has not answered as it should for {} minutes ({}); what is done stays, so run the same command "
    "again later, to continue where this run ended"
)


class Rest:
    """How long nothing is asked, because the server fails: doubled for each attempt that fails after a rest."""

    def __init__(self) -> None:
        self.seconds, self.until, self.success = 0.0, 0.0, time.monotonic()

    def failed(self, began: float) -> None:
        """An attempt that began at this monotonic time has failed because of the server."""
        if began >= self.until:
            self.seconds = min(LONGEST_REST, self.seconds * 2 or FIRST_REST)
            self.until = time.monotonic() + self.seconds

    def succeeded(self) -> None:
        """The server has answered as it should."""
        self.seconds, self.success = 0.0, time.monotonic()

    @property
    def is_over_patience(self) -> bool:
        """Whether the run should end."""
        return time.monotonic() - self.success > PATIENCE


class ImportRun:
    """The state of a run. `ended` is the sentence why it cannot go on.

    `import_one` is called in up to `workers` threads, and `keep` for every record that is decided, in this one.
    """

    def __init__(
        self,
        import_one: Callable[[Task], Outcome],
        keep: Callable[[Task, Outcome], None],
        workers: int,
        stop: threading.Event,
    ) -> None:
        self.import_one, self.keep, self.workers, self.stop = import_one, keep, workers, stop
        self.rest, self.ended, self.tasks_left = Rest(), "", True
        self.waiting: list[tuple[float, str, Task]] = []
        self.begun: dict[Future[Outcome], tuple[Task, float]] = {}

    @property
    def stopping(self) -> bool:
        """Whether nothing else may be begun."""
        return bool(self.ended) or self.stop.is_set()

    def finish(self, tasks: Iterator[Task]) -> None:
        """Decide every task; after `stop`, or when the run cannot go on, only those that were begun."""
        with ThreadPoolExecutor(self.workers) as pool:
            while True:
                while len(self.begun) < self.workers and (task := self.next_task(tasks)):
                    task.attempts += 1
                    self.begun[pool.submit(self.import_one, task)] = task, time.monotonic()
                if self.begun:
                    for future in wait(self.begun, TICK, FIRST_COMPLETED).done:
                        self.decide(future, *self.begun.pop(future))
                elif self.stopping or not (self.waiting or self.tasks_left):
                    return
                else:
                    time.sleep(TICK)

    def next_task(self, tasks: Iterator[Task]) -> Task | None:
        """The record whose pause is over, or else a new one; None if nothing may be begun now."""
        now = time.monotonic()
        if self.stopping or now < self.rest.until:
            return None
        if self.waiting and self.waiting[0][0] <= now:
            return heapq.heappop(self.waiting)[2]
        task = next(tasks, None) if self.tasks_left else None
        self.tasks_left = task is not None
        return task

    def decide(self, future: Future[Outcome], task: Task, began: float) -> None:
        """Keep the outcome of an attempt, or try the record again later."""
        try:
            outcome = future.result()
        except NotNow as problem:
            self.take_problem(task, problem, began)
        except UnusableInput as problem:
            self.ended = self.ended or str(problem)
            self.keep(task, failed(task, "RunEnded"))
        except Exception as error:  # no error that one record causes may end the run
            self.keep(task, failed(task, type(error).__name__))
        else:
            self.rest.succeeded()
            self.keep(task, outcome)

    def take_problem(self, task: Task, problem: NotNow, began: float) -> None:
        """Try a record again after a pause, unless that has been done often enough."""
        if problem.by_server:
            self.rest.failed(began)
            task.faults += 1
            if self.rest.is_over_patience:
                self.ended = self.ended or GIVEN_UP.format(PATIENCE // 60, problem)
        else:
            self.rest.succeeded()
            task.problems += 1
        if self.stopping or task.faults >= MOST_FAULTS or task.problems >= MOST_ATTEMPTS:
            self.keep(task, failed(task, str(problem)))
            return
        pause = PAUSES[min(task.attempts, len(PAUSES)) - 1] * random.uniform(0.75, 1.25)
        heapq.heappush(self.waiting, (time.monotonic() + pause, task.record_id, task))
