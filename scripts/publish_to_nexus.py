"""Insert the linked images whose copy is verified, and their batches, into Nexus: all of them or none.

NEXUS_DATABASE_URL names the database. What Nexus holds is never changed or
removed, except the image count of a batch that gets more images and,
with --relink, the patient of batches whose patient was imported again.
"""

import argparse
import os
import sys
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path

import psycopg

from linkage.nexus.connection import begin_publishing, nexus_connection
from linkage.nexus.findings import Finding, find_long_values, find_other_batches, find_other_images
from linkage.nexus.inserting import insert_new_rows, update_image_counts
from linkage.nexus.mapping import read_mapping
from linkage.nexus.relinking import relink
from linkage.nexus.staging import STAGED, choose_new_rows, mart_columns, stage
from linkage.nexus.tables import open_nexus
from linkage.paths import data_folder, warehouse_path
from linkage.steps import run_script
from linkage.warehouse.marts import count_images, open_warehouse, read_publishable


@dataclass
class Report:
    """What a run did, or would do: rows by kind (`batch`, `image`), and the rows that prevent publishing."""

    published_at: datetime
    staged: dict[str, int]
    waiting: int
    new: dict[str, int] = field(default_factory=dict)
    relinked: int = 0
    recounted: int = 0
    findings: list[Finding] = field(default_factory=list)


def main() -> int:
    """Publish and report what was done; returns 1 if some rows prevent publishing."""
    os.umask(0o077)
    options = parse_arguments()
    with nexus_connection() as connection:
        report = publish(connection, options)
        if report.findings or options.dry_run:
            connection.rollback()
    show(report, options)
    return 1 if report.findings else 0


def parse_arguments() -> argparse.Namespace:
    """Parse the command line; argparse exits with code 2 if it cannot be used."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dry-run", action="store_true", help="report what a run would insert now, and insert nothing")
    parser.add_argument(
        "--relink", action="store_true", help="also give the batches in batches_to_relink their new patient"
    )
    parser.add_argument("--mapping", default="plan", help="plan (default), generic, or a .yml file of your own")
    parser.add_argument("--warehouse", type=Path, metavar="FILE", help="the DuckDB file that `dbt build` made")
    return parser.parse_args()


def publish(connection: psycopg.Connection, options: argparse.Namespace) -> Report:
    """Stage and check all rows and, if nothing is wrong with any, insert the new ones; the caller commits."""
    published_at = begin_publishing(connection, partial(print, flush=True))
    path = options.warehouse or warehouse_path()
    with open_warehouse(path, data_folder() / "copy_results.csv") as (warehouse, settings):
        nexus = open_nexus(connection, read_mapping(options.mapping, settings), published_at=published_at)
        staged = {
            kind: stage(nexus, kind, read_publishable(warehouse, kind, mart_columns(nexus, kind))) for kind in STAGED
        }
        report = Report(published_at, staged, waiting=count_images(warehouse) - staged["image"])
    if options.relink:
        report.relinked, report.findings = relink(nexus)
    report.new = choose_new_rows(nexus)
    report.findings += [*find_other_batches(nexus), *find_other_images(nexus), *find_long_values(nexus)]
    report.findings = report.findings or insert_new_rows(nexus, report.new)
    if not report.findings:
        report.recounted = update_image_counts(nexus)
    return report


def show(report: Report, options: argparse.Namespace) -> None:
    """Print each row that cannot be published, then what was done, or would be."""
    for finding in report.findings:
        print(f"{finding.row}: {finding.problem}")
    print(f"{'':<15}{'new':>12}{'already there':>16}")
    for kind, label in (("batch", "image batches"), ("image", "images")):
        print(f"{label:<15}{report.new[kind]:>12,}{report.staged[kind] - report.new[kind]:>16,}")
    if report.waiting:
        print(f"{report.waiting:,} linked images have no verified copy yet: publish again after the next copy run")
    if report.findings:
        print(f"error: nothing was changed; rows to correct first: {len(report.findings):,}", file=sys.stderr)
        return
    done = f"{report.new['batch']:,} image batches and {report.new['image']:,} images"
    if options.dry_run:
        print(f"Would insert {done}")
    else:
        print(f"Inserted {done}, with the timestamp {report.published_at.isoformat(sep=' ')}")
    would_be = "that would be " if options.dry_run else ""
    if options.relink:
        print(f"Image batches {would_be}given their new patient: {report.relinked:,}")
    if report.recounted:
        print(f"Image batches {would_be}given another image count: {report.recounted:,}")


if __name__ == "__main__":
    run_script(main)
