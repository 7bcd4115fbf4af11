"""Copy the manifest's objects to their patients' folders: verified, and never over anything (§9)."""

import argparse
import fcntl
import os
import shutil
import signal
import sys
import tempfile
import threading
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import click

from linkage.copying import Outcome, copy_object_row, preview_object_row
from linkage.errors import UnusableInput, run_script
from linkage.files import csv_line
from linkage.manifest import ManifestRow, check_manifest, read_manifest
from linkage.s3 import s3_client, s3_errors
from linkage.seeds import SEED_COLUMNS, seed_path
from linkage.settings import project_var

DONE = ("copied", "already_present")
LABELS = {
    "copied": "copied",
    "already_present": "already present",
    "conflict": "conflicts",
    "source_missing": "sources missing",
    "source_changed": "sources changed",
    "failed": "failed",
}
LISTED = 20
QUEUED_PER_WORKER = 16
STOPPED = 130
MANIFEST_IN_MEMORY = 64 * 1024 * 1024
HEADER = csv_line(SEED_COLUMNS["copy_results"]).encode()


@dataclass
class Tally:
    """How often each outcome came, and the first rows that are not done."""

    outcomes: Counter[str] = field(default_factory=Counter)
    not_done: list[str] = field(default_factory=list)

    def add(self, row: ManifestRow, outcome: Outcome) -> None:
        self.outcomes[outcome.outcome] += 1
        if outcome.outcome not in DONE and len(self.not_done) < LISTED:
            self.not_done.append(f"  {row.image_id}  {outcome.outcome} {outcome.error}".rstrip())


def main() -> int:
    """Check everything, then copy row by row; the exit codes are §9's."""
    options = parse_arguments()
    with open_manifest(options.manifest) as manifest:
        summary = check_manifest(manifest, project_var("source_prefix"))
        total = min(summary.rows, options.limit or summary.rows)
        if not total:
            print(f"nothing to copy: {options.manifest} has no rows")
            return 0
        check_buckets(summary.buckets)
        client = s3_client(
            max_pool_connections=options.workers,
            retries={"total_max_attempts": 1},  # linkage.copying tries again, and counts
            user_agent="image-linkage",  # the SDK's own is put together anew for each request: 5 % of the time
        )
        rows = (row for _, row in islice(read_manifest(manifest), total))
        if options.dry_run:
            tally = process(rows, partial(preview_object_row, client), options.workers, total)
            report(tally, "Would copy", "")
        else:
            results = seed_path("copy_results", options.results)
            with open_results(results) as descriptor:
                work = partial(copy_and_record, client, descriptor, str(uuid.uuid4()))
                tally = process(rows, work, options.workers, total)
            report(tally, LABELS["copied"], f": see {results}")
    if tally.outcomes.total() < total:
        print("stopped by Ctrl-C; run the same command again to go on where this run ended", file=sys.stderr)
        return STOPPED
    return 0 if tally.outcomes.total() == sum(tally.outcomes[outcome] for outcome in DONE) else 1


def parse_arguments() -> argparse.Namespace:
    """The command line; argparse ends with exit code 2 where it cannot be used."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("manifest", type=Path, help="manifest.csv, as dbt build writes it")
    parser.add_argument("--dry-run", action="store_true", help="tell what a run would do now, and write nothing")
    parser.add_argument("--limit", type=positive, metavar="N", help="only the first N rows")
    parser.add_argument("--workers", type=positive, default=32, metavar="N", help="requests in flight (default 32)")
    parser.add_argument("--results", type=Path, metavar="FILE", help="default: copy_results.csv in the data folder")
    return parser.parse_args()


def positive(text: str) -> int:
    """A whole number above 0; else argparse's own error."""
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError("must be a whole number above 0")
    return int(text)


@contextmanager
def open_manifest(path: Path) -> Iterator[BinaryIO]:
    """The manifest as it is at this moment, so that what is copied is what was checked."""
    with tempfile.SpooledTemporaryFile(max_size=MANIFEST_IN_MEMORY) as manifest:
        try:
            with path.open("rb") as file:
                shutil.copyfileobj(file, manifest)
        except OSError as error:
            raise UnusableInput(
                f"cannot read the manifest {path}: {error.strerror}; dbt build writes one when all its tests pass"
            ) from None
        yield manifest


def check_buckets(buckets: Iterable[str]) -> None:
    """Raise UnusableInput unless these credentials reach every bucket, within seconds."""
    for bucket in sorted(buckets):
        with s3_errors(bucket):
            client = s3_client(connect_timeout=3, read_timeout=10, retries={"total_max_attempts": 3})
            client.head_bucket(Bucket=bucket)


def process(rows: Iterable[ManifestRow], work: Callable[[ManifestRow], Outcome], workers: int, total: int) -> Tally:
    """Call `work` on each of the `total` rows, `workers` at a time.

    At Ctrl-C what is in flight is finished and counted, and nothing more begun;
    a second Ctrl-C is Python's own.
    """
    tally = Tally()
    queue: deque[tuple[ManifestRow, Future[Outcome]]] = deque()
    pool = ThreadPoolExecutor(workers)
    with progress(total) as advance, ctrl_c() as stop:

        def finish_first() -> None:
            row, future = queue.popleft()
            if not future.cancelled():
                tally.add(row, future.result())
                advance()

        try:
            for row in rows:
                if stop.is_set():
                    break
                queue.append((row, pool.submit(work, row)))
                if len(queue) >= workers * QUEUED_PER_WORKER:
                    finish_first()
            while queue and not stop.is_set():
                finish_first()
        finally:
            pool.shutdown(cancel_futures=True)
        while queue:
            finish_first()
    return tally


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


@contextmanager
def progress(total: int) -> Iterator[Callable[[], None]]:
    """Count finished rows on stderr: a bar on a terminal, at most about 20 plain lines elsewhere."""
    if sys.stderr.isatty():
        with click.progressbar(length=total, file=sys.stderr) as bar:
            yield lambda: bar.update(1)
        return
    finished, step = 0, max(1000, total // 20)

    def advance() -> None:
        nonlocal finished
        finished += 1
        if finished % step == 0:
            print(f"{finished:,} of {total:,}", file=sys.stderr, flush=True)

    yield advance


def report(tally: Tally, copied_label: str, where_more: str) -> None:
    """Print how often each outcome came, and which rows are not done."""
    labels = {**LABELS, "copied": copied_label}
    print("   ".join(f"{label} {tally.outcomes[outcome]:,}" for outcome, label in labels.items()))
    for line in tally.not_done:
        print(line)
    more = tally.outcomes.total() - sum(tally.outcomes[outcome] for outcome in DONE) - len(tally.not_done)
    if more:
        print(f"  and {more:,} more{where_more}")


def copy_and_record(client: Any, results: int, run_id: str, row: ManifestRow) -> Outcome:
    """Copy one row and append its outcome to the results, as one whole line."""
    outcome = copy_object_row(client, row)
    values = {
        **row._asdict(),
        **outcome._asdict(),
        "run_id": run_id,
        "recorded_at": datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "size": row.source_size,
    }
    append(results, csv_line(values[column] for column in SEED_COLUMNS["copy_results"]).encode())
    return outcome


@contextmanager
def open_results(path: Path) -> Iterator[int]:
    """A descriptor that appends to the results file, made with mode 0600 and its header if it is new.

    Raises UnusableInput where the file cannot be written to, or is no whole results file.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    except OSError as error:
        raise UnusableInput(
            f"cannot write the results file {path}: {error.strerror}; name one with --results"
        ) from None
    try:
        os.fchmod(descriptor, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # two runs that start at once write one header
        check_results(path, descriptor)
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        yield descriptor
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def check_results(path: Path, descriptor: int) -> None:
    """Give an empty results file its header; raise UnusableInput for a file that is not one, or is cut off."""
    size = os.fstat(descriptor).st_size
    if size == 0:
        append(descriptor, HEADER)
    elif os.pread(descriptor, len(HEADER), 0) != HEADER:
        raise UnusableInput(f"{path} is no results file: its first line is another one; name another with --results")
    elif os.pread(descriptor, 1, size - 1) != b"\n":
        raise UnusableInput(f"the last line of {path} is cut off; end or remove that line and run again")


def append(descriptor: int, line: bytes) -> None:
    """Append `line` by one write, so that lines of several threads and runs stay whole."""
    try:
        while line:  # again only where a full disk took a part
            line = line[os.write(descriptor, line) :]
    except OSError as error:
        raise UnusableInput(
            f"cannot write to the results file: {error.strerror}; what was copied stays, make room and run again"
        ) from None


if __name__ == "__main__":
    run_script(main)
