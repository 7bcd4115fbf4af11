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

from linkage.copying.present import list_copies
from linkage.held import read_held_images
from linkage.nexus.connection import begin_publishing, nexus_connection
from linkage.nexus.findings import Finding, find_long_values, find_other_batches, find_other_images
from linkage.nexus.inserting import insert_new_rows, update_image_counts
from linkage.nexus.mapping import SETTINGS, default_mapping, read_mapping
from linkage.nexus.publish_results import read_changes, record_and_commit
from linkage.nexus.relinking import relink
from linkage.nexus.staging import STAGED, choose_new_rows, mart_columns, stage
from linkage.nexus.tables import Nexus, open_nexus
from linkage.nexus.undoing import undo_sql
from linkage.paths import data_folder, outside_sample, warehouse_path
from linkage.settings import project_var
from linkage.steps import run_script
from linkage.warehouse.marts import Counts, find_recorded_copies, find_verified_images, open_warehouse, read_publishable


@dataclass
class Report:
    """What a run did, or would do: rows by kind (`batch`, `image`), and the rows that prevent publishing."""

    published_at: datetime
    staged: dict[str, int]
    images: Counts
    new: dict[str, int] = field(default_factory=dict)
    relinked: int = 0
    recounted: int = 0
    findings: list[Finding] = field(default_factory=list)
    recorded: int = 0


def main() -> int:
    """Publish and report what was done; returns 1 if rows prevent publishing, or if copies are no longer there."""
    os.umask(0o077)
    options = parse_arguments()
    if options.undo_sql is not None:
        return print_undo(options)
    with nexus_connection() as connection:
        nexus, report = publish(connection, options)
        if report.findings or options.dry_run:
            connection.rollback()
        else:
            changes = read_changes(nexus, report.published_at, report.relinked)
            report.recorded = record_and_commit(results_path(), changes, connection.commit)
    show(report, options)
    return 1 if report.findings or report.images.gone else 0


def parse_arguments() -> argparse.Namespace:
    """Parse the command line; argparse exits with code 2 if it cannot be used."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--dry-run", action="store_true", help="report what a run would insert now, and insert nothing")
    mode.add_argument(
        "--undo-sql", metavar="TIMESTAMP", help="print the SQL that takes back the run with this timestamp; run nothing"
    )
    parser.add_argument(
        "--relink", action="store_true", help="also give the batches in batches_to_relink their new patient"
    )
    parser.add_argument(
        "--mapping",
        default=default_mapping(),
        help="plan, generic, or a .yml file of your own (default: NEXUS_MAPPING, or else plan)",
    )
    parser.add_argument("--warehouse", type=Path, metavar="FILE", help="the DuckDB file that `dbt build` made")
    return parser.parse_args()


def print_undo(options: argparse.Namespace) -> int:
    """Print the SQL that takes a run back."""
    mapping = read_mapping(options.mapping, {name: project_var(name) for name in SETTINGS})
    for part in undo_sql(mapping, results_path(), options.undo_sql):
        print(part, end="")
    return 0


def results_path() -> Path:
    """The file with a line for each row that was inserted or relinked; raises UnusableInput if it is the sample's."""
    return outside_sample(data_folder() / "publish_results.csv")


def publish(connection: psycopg.Connection, options: argparse.Namespace) -> tuple[Nexus, Report]:
    """Stage and check all rows and, if nothing is wrong with any, insert the new ones; the caller commits."""
    published_at = begin_publishing(connection, partial(print, flush=True))
    with open_warehouse(options.warehouse or warehouse_path()) as (warehouse, settings):
        nexus = open_nexus(connection, read_mapping(options.mapping, settings), published_at=published_at)
        held = read_held_images()
        list_copies(warehouse, find_recorded_copies(warehouse, data_folder() / "copy_results.csv", held))
        images = find_verified_images(warehouse)
        staged = {
            kind: stage(nexus, kind, read_publishable(warehouse, kind, mart_columns(nexus, kind))) for kind in STAGED
        }
    report = Report(published_at, staged, images)
    if options.relink:
        report.relinked, report.findings = relink(nexus)
    report.new = choose_new_rows(nexus)
    report.findings += [*find_other_batches(nexus), *find_other_images(nexus), *find_long_values(nexus)]
    report.findings = report.findings or insert_new_rows(nexus, report.new)
    if not report.findings:
        report.recounted, report.findings = update_image_counts(nexus)
    return nexus, report


def show(report: Report, options: argparse.Namespace) -> None:
    """Print each row that cannot be published, then what was done, or would be."""
    for finding in report.findings:
        print(f"{finding.row}: {finding.problem}")
    print(f"{'':<15}{'new':>12}{'already there':>16}")
    for kind, label in (("batch", "image batches"), ("image", "images")):
        print(f"{label:<15}{report.new[kind]:>12,}{report.staged[kind] - report.new[kind]:>16,}")
    images = report.images
    if images.waiting:
        print(f"{images.waiting:,} linked images have no verified copy yet: publish again after the next copy run")
    if images.held:
        print(f"{images.held:,} linked images are held back in held_images.csv, and are not inserted")
    if images.gone:
        print(
            f"error: {images.gone:,} images are not inserted: their copies are no longer in the store as they were "
            "verified; run the copier again",
            file=sys.stderr,
        )
    if report.findings:
        print(f"error: nothing was changed; rows to correct first: {len(report.findings):,}", file=sys.stderr)
        return
    done = f"{report.new['batch']:,} image batches and {report.new['image']:,} images"
    published_at = report.published_at.isoformat(sep=" ")
    if options.dry_run:
        print(f"Would insert {done}")
    else:
        print(f"Inserted {done}, with the timestamp {published_at}")
    would_be = "that would be " if options.dry_run else ""
    if options.relink:
        print(f"Image batches {would_be}given their new patient: {report.relinked:,}")
    if report.recounted:
        print(f"Image batches {would_be}given another image count: {report.recounted:,}")
    if report.recorded:
        print(f"Recorded in {results_path()}; --undo-sql '{published_at}' prints the SQL that takes this run back")


if __name__ == "__main__":
    run_script(main)
