"""What a run of imports reports: each outcome in the ledger, and the totals."""

import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from linkage.filemaker.data_api.containers import UNKNOWN
from linkage.filemaker.importing.layout import CONTAINERS
from linkage.filemaker.importing.outcomes import (
    CONFLICT,
    FAILED,
    IN_DUMP,
    NO_IMAGE,
    PRESENT,
    UPLOADED,
    Outcome,
    Result,
)
from linkage.filemaker.importing.record import Task
from linkage.ledger import LedgerClock, LedgerFile, utc_now
from linkage.progress import Advance
from linkage.steps import perhaps_unread

LABELS = {
    UPLOADED: "uploaded",
    PRESENT: "already present",
    CONFLICT: "conflicts",
    NO_IMAGE: "no image",
    FAILED: "failed",
}
MARKS = {"yes": "marked", "no": "not marked", "failed": "marking failed"}
NAMED = 20  # records


class Recorder:
    """Counts outcomes, and shows them, once they are on disk."""

    def __init__(self, ledger: LedgerFile, bucket: str, advance: Advance) -> None:
        self.ledger, self.bucket, self.advance = ledger, bucket, advance
        self.run_id, self.clock = str(uuid.uuid4()), LedgerClock(ledger.last_time)
        self.began_at, self.began = utc_now(), time.monotonic()
        self.outcomes: Counter[str] = Counter()
        self.marked: Counter[str] = Counter()
        self.containers: Counter[str] = Counter()
        self.bytes_uploaded = 0
        self.not_done: list[str] = []
        self.of_unknown_type: list[int] = []
        self.to_mark: list[int] = []

    def record(self, task: Task, outcome: Outcome) -> None:
        """Write the line of one record; raises UnusableInput if that fails."""
        result = Result(
            self.run_id, self.clock.now(), task.recid or "", task.record_id, outcome.container,
            self.bucket if outcome.key else "", outcome.key, outcome.size, outcome.md5, outcome.sha256,
            outcome.outcome, outcome.marked, task.attempts, outcome.error,
        )  # fmt: skip
        self.ledger.append([result])
        self.count(task, outcome)
        with perhaps_unread(sys.stderr):
            self.advance(1)

    def count(self, task: Task, outcome: Outcome) -> None:
        """Count the outcome of one record."""
        self.outcomes[outcome.outcome] += 1
        if outcome.outcome in IN_DUMP:
            self.marked[outcome.marked] += 1
            self.containers[outcome.container] += 1
            if outcome.marked != "yes":
                self.to_mark.append(task.recid)
            if outcome.key.endswith(f".{UNKNOWN[0]}"):
                self.of_unknown_type.append(task.recid)
        if outcome.outcome == UPLOADED:
            self.bytes_uploaded += int(outcome.size)
        if outcome.outcome not in IN_DUMP or outcome.marked == "failed":
            not_marked = " but not marked" if outcome.outcome in IN_DUMP else ""
            what = f"{outcome.outcome}{not_marked} {outcome.error}".rstrip()
            self.not_done.append(f"  {name_of(task)}: {what}" + (f", {outcome.key}" if outcome.key else ""))

    def report(self, path: Path) -> None:
        """Print the totals, the containers, which records are not done, and what names the run afterwards."""
        print("   ".join(f"{label} {self.outcomes[outcome]:,}" for outcome, label in LABELS.items()))
        print("   ".join(f"{label} {self.marked[value]:,}" for value, label in MARKS.items()))
        for line in describe_containers(self.containers):
            print(line)
        if self.of_unknown_type:
            print(
                f"{len(self.of_unknown_type):,} files are of no known type and are named .{UNKNOWN[0]}: records "
                + some(sorted(self.of_unknown_type))
            )
        for line in self.not_done[:NAMED]:
            print(line)
        if len(self.not_done) > NAMED:
            print(f"  and {len(self.not_done) - NAMED:,} more: see {path}")
        seconds = round(time.monotonic() - self.began, 1)
        print(
            f"run {self.run_id}: {self.bytes_uploaded:,} bytes uploaded in {seconds:,} s from {self.began_at} on; its "
            f"outcomes are in {path}"
        )

    @property
    def is_done(self) -> bool:
        """Whether every record so far is in the dump, and marked unless it is not to be."""
        return not self.not_done


def name_of(task: Task) -> str:
    """How to call a record: by its number, or by the server's id."""
    return f"record {task.recid}" if task.recid and not task.problem else f"FileMaker's record id {task.record_id}"


def describe_containers(containers: Counter[str]) -> Iterable[str]:
    """How many images come from which container, as lines to print."""
    total = containers.total()
    for name in CONTAINERS if total else ():
        yield f"  {name:<16}{containers[name]:>8,}{containers[name] / total:>8.1%}"


def some(recids: list[int]) -> str:
    """The first of some record numbers."""
    more = len(recids) - NAMED
    return ", ".join(map(str, recids[:NAMED])) + (f" and {more:,} more" if more > 0 else "")
