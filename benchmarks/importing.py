"""How fast images come out of FileMaker, in how much memory, and whether a run ends by itself when the server rests.

The double of FileMaker Server runs in this process, the importer in another one, and the store is SeaweedFS.
"""

import os
import random
import sys
import tempfile
from pathlib import Path

from benchmarks.processes import timed
from linkage.paths import PROJECT_ROOT
from sandbox.filemaker_server import Faults, Record, filemaker_server
from sandbox.s3_server import client, s3_server

BUCKET, DUMP = "clinic", "filemaker-import/images-bulk-dump/"
BYTES = 500_000
LATENCY = 0.03  # seconds before each answer
EARLIER = 33  # images a minute of the clinic's earlier importer
JPEG = bytes.fromhex("ffd8ffe000104a46494600010100")
RUNS = (  # title, records, faults
    ("a tenth of the clinic", 666, Faults(latency=LATENCY)),
    ("the whole clinic", 6_664, Faults(latency=LATENCY)),
    ("502 for 30 s after 80 downloads", 400, Faults(latency=LATENCY, burst_after=80, burst_seconds=30)),
)


def main() -> None:
    """Import the records of each run into an empty dump; print images a minute, seconds and peak memory."""
    print(f"\nImport from FileMaker: {BYTES:,} bytes an image, {LATENCY * 1000:.0f} ms before each answer, 3 workers")
    for title, records, faults in RUNS:
        with tempfile.TemporaryDirectory() as name:
            run(Path(name), title, records, faults)


def run(folder: Path, title: str, records: int, faults: Faults) -> None:
    """Import this many records once."""
    with (
        s3_server(folder / "store") as store,
        filemaker_server(folder, map(record, range(1, records + 1)), faults=faults) as server,
    ):
        client(store).create_bucket(Bucket=BUCKET)
        environment = {**store, **server.environment(), "LINKAGE_DATA": str(folder / "data")}
        command = [sys.executable, "scripts/import_filemaker_images.py", f"s3://{BUCKET}/{DUMP}"]
        figures = timed(command, environment, str(PROJECT_ROOT))
        rate = records / figures.wall * 60
        print(f"{title:34}{records:>6,} images{rate:8,.0f} a minute, {rate / EARLIER:5.1f} times the earlier importer")
        print(f"{'':34}{figures.wall:8.1f} s{figures.cpu:8.1f} s of processor time{figures.peak:8.1f} MB", flush=True)


def record(number: int) -> Record:
    """A record whose picture is made anew each time that it is read, so that this process stays small."""
    fields: dict[str, str | int | float] = {
        "recid": number,
        "id_Contact": "",
        "date": "10/18/2016",
        "NexusExportDate": "",
    }
    return Record(number, fields, {"image_Full": lambda: JPEG + random.Random(number).randbytes(BYTES)})


if __name__ == "__main__":
    os.umask(0o077)
    main()
