"""What a run of copies reports: each outcome in the results file, and the totals."""

import json
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from linkage.copying.manifest import ManifestRow
from linkage.copying.results import Result, ResultsFile
from linkage.copying.rules import DONE, Outcome
from linkage.errors import UnusableInput
from linkage.files import csv_lines
from linkage.progress import Advance

LABELS = {
    "copied": "copied",
    "already_present": "already present",
    "conflict": "conflicts",
    "source_missing": "sources missing",
    "source_changed": "sources changed",
    "failed": "failed",
}
NAMED_ROWS = 20
STOPPED = 130  # the exit code after Ctrl-C, as in a shell
BATCH_ROWS = 1000
BATCH_SECONDS = 0.2
LOGGED = ("run_id", "recorded_at", "image_id", "size", "outcome", "attempts", "error")


@dataclass
class Tally:
    """How often each outcome occurred, and the first rows whose outcome is not one of `done`."""

    done: tuple[str, ...] = DONE
    outcomes: Counter[str] = field(default_factory=Counter)
    not_done: list[str] = field(default_factory=list)

    def add(self, image_id: str, outcome: str, error: str) -> None:
        """Count one row."""
        self.outcomes[outcome] += 1
        if outcome not in self.done and len(self.not_done) < NAMED_ROWS:
            self.not_done.append(f"  {image_id}  {outcome} {error}".rstrip())

    @property
    def undone(self) -> int:
        """How many rows have an outcome that is not one of `done`."""
        return self.outcomes.total() - sum(self.outcomes[outcome] for outcome in self.done)


class Recorder:
    """Takes outcomes in batches: they are counted, shown and logged only once they are on disk."""

    def __init__(
        self,
        results: ResultsFile | None,
        advance: Advance,
        *,
        log: bool = False,
        translate: Callable[[Outcome], Outcome] = lambda outcome: outcome,
        done: tuple[str, ...] = DONE,
    ) -> None:
        """Without `results`, outcomes are only counted; with `log`, each is also a line of JSON on stdout."""
        self.results, self.advance, self.log, self.translate = results, advance, log, translate
        self.run_id = str(uuid.uuid4())
        self.tally = Tally(done)
        self.batch: list[Result] = []
        self.flushed = time.monotonic()

    def record(self, row: ManifestRow, outcome: Outcome, attempts: int) -> None:
        """Take the outcome of one row, decided after this many attempts (0: known without a request)."""
        name, destination_etag, error = self.translate(outcome)
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        image_id, source_bucket, source_key, source_etag, size, destination_bucket, destination_key = row
        self.batch.append(
            Result(
                self.run_id, now, image_id, source_bucket, source_key, source_etag, destination_bucket, destination_key,
                destination_etag, size, name, attempts, error,
            )
        )  # fmt: skip
        if len(self.batch) >= BATCH_ROWS:
            self.flush()

    def flush_in_time(self) -> None:
        """Write the batch if the last one was written some time ago."""
        if self.batch and time.monotonic() - self.flushed >= BATCH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write the batch; raises UnusableInput if that fails."""
        if self.results:
            self.results.append(csv_lines(self.batch).encode())
        for result in self.batch:
            self.tally.add(result.image_id, result.outcome, result.error)
            if self.log:
                print(json.dumps({name: value for name, value in result._asdict().items() if name in LOGGED}))
        self.advance(len(self.batch))
        self.batch = []
        self.flushed = time.monotonic()


def report(tally: Tally, labels: dict[str, str], *, title: str = "", where_more: str = "") -> None:
    """Print, after the title, how often each outcome occurred, and which rows are not done."""
    print(title + "   ".join(f"{label} {tally.outcomes[outcome]:,}" for outcome, label in labels.items()))
    for line in tally.not_done:
        print(line)
    if more := tally.undone - len(tally.not_done):
        print(f"  and {more:,} more{where_more}")


def report_json(tally: Tally, labels: dict[str, str]) -> None:
    """Print how often each outcome occurred, as the last line of JSON."""
    print(json.dumps({"totals": {outcome: tally.outcomes[outcome] for outcome in labels}}))


def exit_code(tally: Tally, rejected: str, rows: int) -> int:
    """The exit code after a run over this many rows.

    Raises UnusableInput if S3 rejected these credentials.
    """
    if rejected:
        raise UnusableInput(
            f"S3 rejected these credentials ({rejected}); renew them or check their permissions, and run the same "
            "command again to continue where this run ended"
        )
    if tally.outcomes.total() < rows:
        print("stopped by Ctrl-C; run the same command again to continue where this run ended", file=sys.stderr)
        return STOPPED
    return 1 if tally.undone else 0
