"""What a run of copies reports: each outcome in the results file, and the totals."""

import json
import re
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from linkage.copying.manifest import ManifestRow
from linkage.copying.results import Result
from linkage.copying.rules import DONE, Outcome
from linkage.errors import UnusableInput
from linkage.ledger import LedgerClock, LedgerFile, utc_now
from linkage.progress import Advance
from linkage.steps import perhaps_unread

LABELS = {
    "copied": "copied",
    "already_present": "already present",
    "conflict": "conflicts",
    "source_missing": "sources missing",
    "source_changed": "sources changed",
    "held_back": "held back",
    "failed": "failed",
}
NAMED_ROWS = 20
STOPPED = 130  # the exit code after Ctrl-C, as in a shell
BATCH_ROWS = 1000
BATCH_SECONDS = 0.2
LOGGED = ("run_id", "recorded_at", "image_id", "size", "outcome", "attempts", "error")
# What may be shown of a key: a folder in plain small letters, and ids, record numbers and days; nothing that a person
# may have typed, such as the type in `unlinked/{type}/`.
ID = "(?:[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[0-9]+)"
SHOWN_FOLDER = re.compile(f"[a-z][a-z0-9_-]*|{ID}(?:[._-]{ID})*|")
SHOWN_NAME = re.compile(f"{ID}(?:[._-]{ID})*[.][A-Za-z0-9]{{1,5}}")
HIDDEN = "..."


@dataclass
class Tally:
    """How often each outcome occurred, and the first rows whose outcome is not one of `done`."""

    done: tuple[str, ...] = DONE
    outcomes: Counter[str] = field(default_factory=Counter)
    not_done: list[str] = field(default_factory=list)
    bytes_copied: int = 0

    def add(self, result: Result) -> None:
        """Count one row."""
        self.outcomes[result.outcome] += 1
        if result.outcome == "copied":
            self.bytes_copied += result.size
        elif result.outcome not in self.done and len(self.not_done) < NAMED_ROWS:
            what = f"{result.outcome} {result.error}".rstrip()
            self.not_done.append(f"  {result.image_id}  {what}: {' -> '.join(places(result))}")

    def take_back(self, size: int) -> None:
        """Count a row of this size, which was counted as copied, no longer."""
        self.outcomes["copied"] -= 1
        self.bytes_copied -= size

    @property
    def undone(self) -> int:
        """How many rows have an outcome that is not one of `done`."""
        return self.outcomes.total() - sum(self.outcomes[outcome] for outcome in self.done)


class Recorder:
    """Takes outcomes in batches: they are counted, shown and logged only once they are on disk."""

    def __init__(
        self,
        results: LedgerFile | None,
        advance: Advance,
        *,
        log: bool = False,
        translate: Callable[[Outcome], Outcome] = lambda outcome: outcome,
        done: tuple[str, ...] = DONE,
    ) -> None:
        """Without `results`, outcomes are only counted; with `log`, each is also a line of JSON on stdout."""
        self.results, self.advance, self.log, self.translate = results, advance, log, translate
        self.run_id = str(uuid.uuid4())
        self.began_at, self.began = utc_now(), time.monotonic()
        self.clock = LedgerClock(results.last_time if results else "")
        self.tally = Tally(done)
        self.batch: list[Result] = []
        self.flushed = time.monotonic()
        self.confirming, self.confirmed = False, 0

    def begin_confirming(self) -> None:
        """From now on, outcomes are about rows recorded as copied; one that is confirmed gets no new line."""
        self.confirming = True

    def record(self, row: ManifestRow, outcome: Outcome, attempts: int) -> None:
        """Take the outcome of one row, decided after this many attempts (0: known without a request)."""
        name, destination_etag, error = self.translate(outcome)
        if self.confirming:
            self.confirmed += 1
            if name == "copied":
                return
            self.tally.take_back(row.source_size)
        image_id, source_bucket, source_key, source_etag, size, destination_bucket, destination_key = row
        self.batch.append(
            Result(
                self.run_id, self.clock.now(), image_id, source_bucket, source_key, source_etag, destination_bucket,
                destination_key, destination_etag, size, name, attempts, error,
            )
        )  # fmt: skip
        if len(self.batch) >= BATCH_ROWS:
            self.flush()

    def flush_in_time(self) -> None:
        """Write the batch if the last one was written some time ago."""
        if self.batch and time.monotonic() - self.flushed >= BATCH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write the batch; raises UnusableInput if that fails. The run goes on if nobody reads its output any more."""
        if self.results:
            self.results.append(self.batch)
        batch, self.batch = self.batch, []
        for result in batch:
            self.tally.add(result)
        with perhaps_unread(sys.stdout):
            for result in batch if self.log else ():
                print(json.dumps(logged(result)))
        with perhaps_unread(sys.stderr):
            self.advance(len(batch))
        self.flushed = time.monotonic()


def logged(result: Result) -> dict[str, object]:
    """What the line of JSON about one row has."""
    source, destination = places(result)
    values = {name: value for name, value in result._asdict().items() if name in LOGGED}
    return {**values, "source": source, "destination": destination}


def places(result: Result) -> tuple[str, str]:
    """Where a row's source and destination are, bucket first, as far as that may be shown."""
    return (
        f"{result.source_bucket}/{shown(result.source_key)}",
        f"{result.destination_bucket}/{shown(result.destination_key)}",
    )


def shown(key: str) -> str:
    """A key without the parts that may be something a person typed."""
    *folders, name = key.split("/")
    is_unlinked = folders[:1] == ["unlinked"]
    kept = [
        folder if SHOWN_FOLDER.fullmatch(folder) and not (is_unlinked and number) else HIDDEN
        for number, folder in enumerate(folders)
    ]
    return "/".join([*kept, name if SHOWN_NAME.fullmatch(name) else HIDDEN])


def report(tally: Tally, labels: dict[str, str], *, title: str = "", where_more: str = "") -> None:
    """Print, after the title, how often each outcome occurred, and which rows are not done."""
    print(title + "   ".join(f"{label} {tally.outcomes[outcome]:,}" for outcome, label in labels.items()))
    for line in tally.not_done:
        print(line)
    if more := tally.undone - len(tally.not_done):
        print(f"  and {more:,} more{where_more}")


def describe_run(recorder: Recorder, path: Path) -> dict[str, object]:
    """What names a run afterwards: its id, its time, what it copied, and where its outcomes are."""
    return {
        "run_id": recorder.run_id,
        "began_at": recorder.began_at,
        "seconds": round(time.monotonic() - recorder.began, 1),
        "bytes_copied": recorder.tally.bytes_copied,
        "results": str(path),
    }


def report_run(run: dict[str, object]) -> None:
    """Print the description of a run."""
    print(
        "run {run_id}: {bytes_copied:,} bytes copied in {seconds:,} s from {began_at} on; its outcomes are in "
        "{results}".format_map(run)
    )


def report_json(tally: Tally, labels: dict[str, str], about: dict[str, object]) -> None:
    """Print how often each outcome occurred, and what they are about, as the last line of JSON."""
    print(json.dumps({"totals": {outcome: tally.outcomes[outcome] for outcome in labels}, **about}))


def exit_code(tally: Tally, ended: str, rows: int) -> int:
    """The exit code after a run over this many rows.

    Raises UnusableInput if S3 ended the run: with the sentence that says why.
    """
    if ended:
        raise UnusableInput(ended)
    if tally.outcomes.total() < rows:
        print("stopped by Ctrl-C; run the same command again to continue where this run ended", file=sys.stderr)
        return STOPPED
    return 1 if tally.undone else 0
