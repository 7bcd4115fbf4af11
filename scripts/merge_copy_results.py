"""Add the results of shards to copy_results.csv, which the build and publishing read; run twice, it adds nothing."""

import argparse
import sys
from pathlib import Path

from linkage.copying.merging import MERGED, merge, missing_shards, open_shards, refuse_same
from linkage.copying.tables import private_tables
from linkage.ledger import open_ledger
from linkage.seeds import seed_path
from linkage.steps import run_script


def main() -> None:
    """Merge the files, and report how many lines were added."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help="the results of a shard, copy_results-I-of-N.csv"
    )
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="default: copy_results.csv in the data folder"
    )
    options = parser.parse_args()
    with open_shards(options.files) as files, private_tables() as tables:
        path = seed_path("copy_results", options.output).resolve()
        refuse_same(path, options.files)
        with open_ledger(path, MERGED) as merged:
            done = merge(tables, merged, files)
    for sentence in missing_shards(options.files):
        print(f"warning: {sentence}", file=sys.stderr)
    print(
        f"files {len(files):,}   lines {done.read:,}   added {done.added:,}   "
        f"already there {done.read - done.added:,}: {path} has {done.lines:,} lines"
    )


if __name__ == "__main__":
    run_script(main)
