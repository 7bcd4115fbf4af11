"""What one shard of a large manifest costs: requests, time and memory, on the stub of S3."""

import os
import sys
import tempfile
from pathlib import Path

from benchmarks.copying import copy_objects, stub_rows, write_manifest
from benchmarks.processes import timed
from benchmarks.stub_s3 import requests_so_far, stub_server
from linkage.paths import PROJECT_ROOT

MOST_LISTINGS = 40


def main(objects: int = 1_000_000, shards: int = 100) -> None:
    """Copy the shard in the middle, then run it again, and audit it; print the figures."""
    shard = f"{max(1, shards // 2)}/{shards}"
    with tempfile.TemporaryDirectory() as name, stub_server(objects, 0) as environment:
        folder = Path(name)
        manifest = write_manifest(folder / "manifest.csv", stub_rows(objects))
        copying = copy_objects(manifest, folder / "copy_results.csv", "--shard", shard)
        print(f"\nShard {shard} of {objects:,} rows: stub, 0 ms", flush=True)
        for title, options in (("all new", []), ("the same again", []), ("--verify", ["--verify"])):
            before = requests_so_far(environment)
            figures = timed([*copying, *options], environment, str(PROJECT_ROOT))
            made = requests_so_far(environment) - before
            del made["CPU seconds"]
            kinds = ", ".join(f"{kind} {count:,}" for kind, count in made.most_common())
            print(f"{title:16} wall s {figures.wall:6.1f}   cpu s {figures.cpu:6.1f}   peak MB {figures.peak:4.0f}")
            print(f"{'':16} {kinds}   (at most {MOST_LISTINGS} listings)", flush=True)


if __name__ == "__main__":
    os.umask(0o077)
    main(*map(int, sys.argv[1:]))
