"""Insert the linked images whose copy is verified, and their batches, into Nexus: all of them or none (§10).

The database is that of NEXUS_DATABASE_URL. What Nexus holds is never changed
or removed, but for the image count of a batch that gets more images, and, with
--relink, the patient of batches whose patient was imported into Nexus anew.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from tempfile import gettempdir
from uuid import uuid4

import duckdb
import psycopg

from linkage.errors import UnusableInput, run_script
from linkage.nexus.connection import nexus_connection
from linkage.nexus.mapping import check_fit, look_up_values, read_mapping
from linkage.nexus.publishing import (
    STAGED,
    Finding,
    Nexus,
    RowRefused,
    begin,
    choose_new_rows,
    find_long_values,
    find_other_batches,
    find_other_images,
    insert_new_rows,
    keeps_record_numbers,
    relink,
    stage,
)
from linkage.paths import data_folder, warehouse_path
from linkage.seeds import SEED_COLUMNS, literal, load_seed
from linkage.warehouse.mark import proved_schema

FETCHED = 10_000  # rows at a time
# What DuckDB may use before it spills to disk; with one thread this suffices for millions of rows.
LIMITS = {"memory_limit": "96MB", "threads": 1}

# A copy counts if its newest outcome, by destination and source etag, says so.
VERIFIED = """
create temporary table verified_image as
with results as (
    select
        destination_bucket,
        destination_key,
        source_etag,
        outcome,
        row_number() over (
            partition by destination_bucket, destination_key, source_etag
            order by recorded_at desc, rowid desc
        ) as newest_first
    from memory.copy_results
)
select image.id, image.batch_id
from image
inner join copy_manifest as manifest on manifest.image_id = image.id
inner join results
    on results.destination_bucket = manifest.destination_bucket
    and results.destination_key = image.s3_key
    and results.source_etag = image.source_etag
where results.newest_first = 1 and results.outcome in ('copied', 'already_present')
"""
# what each staged kind is read from, and the columns of it
MARTS = {
    "batch": (tuple(STAGED["batch"]), "image_batch where id in (select batch_id from verified_image)"),
    "image": (tuple(STAGED["image"]), "image where id in (select id from verified_image)"),
    "relink": (("id", "patient_id", "new_patient_id", "image_ids_md5"), "batches_to_relink"),
}


@dataclass
class Report:
    """What a run did, or would do: rows by kind (`batch`, `image`) and class, and what stands in the way."""

    published_at: datetime
    staged: dict[str, int]
    new: dict[str, int]
    waiting: int = 0
    relinked: int = 0
    recounted: int = 0
    findings: list[Finding] = field(default_factory=list)


def main() -> int:
    """Publish, and say what was done; the exit code is 1 where rows stand in the way, and then nothing is done."""
    os.umask(0o077)
    options = parse_arguments()
    with nexus_connection() as connection:
        report = publish(connection, options)
        if report.findings or options.dry_run:
            connection.rollback()
    show(report, options)
    return 1 if report.findings else 0


def parse_arguments() -> argparse.Namespace:
    """The command line; argparse ends with exit code 2 where it cannot be used."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dry-run", action="store_true", help="tell what a run would insert now, and insert nothing")
    parser.add_argument(
        "--relink", action="store_true", help="also give the batches in batches_to_relink their patient"
    )
    parser.add_argument("--mapping", default="plan", help="plan (default), generic, or a file like theirs")
    parser.add_argument("--warehouse", type=Path, metavar="FILE", help="the DuckDB file that dbt build made")
    return parser.parse_args()


def publish(connection: psycopg.Connection, options: argparse.Namespace) -> Report:
    """Stage, classify and, unless something stands in the way, insert; the caller commits."""
    mapping = read_mapping(options.mapping)
    published_at = begin(connection, partial(print, flush=True))
    columns = check_fit(connection, mapping)
    values = {**look_up_values(connection, mapping), "published_at": published_at}
    nexus = Nexus(connection, mapping, columns, values)

    with open_warehouse(options.warehouse or warehouse_path()) as warehouse:
        staged = {kind: stage(connection, kind, read_mart(warehouse, nexus, kind)) for kind in STAGED}
        (linked,) = warehouse.execute("select count(*) from image").fetchone()
    report = Report(published_at, staged, {}, linked - staged["image"])
    if options.relink:
        report.relinked, report.findings = relink(nexus)
    report.new = choose_new_rows(nexus)
    report.findings += [*find_other_batches(nexus), *find_other_images(nexus), *find_long_values(nexus)]
    if not report.findings:
        try:
            report.recounted = insert_new_rows(nexus, report.new)
        except RowRefused as refused:
            report.findings = [refused.finding]
    return report


@contextmanager
def open_warehouse(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """The marts in DuckDB's file, read-only, with the temporary table verified_image.

    Raises UnusableInput where there are none, where dbt is at work on them, or
    where the last build did not pass all of its tests.
    """
    if not path.is_file():
        raise UnusableInput(f"there is no warehouse {path}: run dbt build, or name it with --warehouse")
    # DuckDB makes this folder only when it needs it, and takes it away.
    spilled = Path(gettempdir()) / f"image-linkage-{uuid4()}"
    try:
        with duckdb.connect(config={**LIMITS, "temp_directory": str(spilled)}) as warehouse:
            attach_marts(warehouse, path)
            find_verified_images(warehouse)
            yield warehouse
    except duckdb.Error as error:
        raise UnusableInput(
            f"DuckDB cannot read the warehouse {path} ({type(error).__name__}): see that the disk has room, "
            "and run dbt build again"
        ) from None


def attach_marts(warehouse: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Read names without a schema from the marts of the file, from here on."""
    try:
        warehouse.execute(f"attach {literal(str(path))} as marts (read_only)")
    except duckdb.Error:
        raise UnusableInput(
            f"the warehouse {path} cannot be opened: wait until dbt has ended, and run this again"
        ) from None
    warehouse.execute("use marts")
    schema = proved_schema(warehouse)
    if schema is None:
        raise UnusableInput(
            f"the warehouse {path} is not from a whole build that passed all of its tests: run dbt build"
        )
    warehouse.execute(f'use marts."{schema}"')


def find_verified_images(warehouse: duckdb.DuckDBPyConnection) -> None:
    """Make the temporary table verified_image, of copy_results.csv as it is now: the build was before the copy run."""
    results = data_folder() / "copy_results.csv"
    if not results.is_file():
        raise UnusableInput(f"there is no {results}: set LINKAGE_DATA to the data folder, or copy first")
    problem = load_seed(warehouse, str(results), "memory.copy_results", list(SEED_COLUMNS["copy_results"]))
    if problem:
        raise UnusableInput(problem)
    warehouse.execute(VERIFIED)


def read_mart(warehouse: duckdb.DuckDBPyConnection, nexus: Nexus, kind: str) -> Iterator[tuple]:
    """The rows to stage, in the columns of STAGED[kind]."""
    columns = [
        "recid" if column == "filemaker_id" and keeps_record_numbers(nexus) else column for column in MARTS[kind][0]
    ]
    cursor = warehouse.execute(f"select {', '.join(columns)} from {MARTS[kind][1]}")
    while rows := cursor.fetchmany(FETCHED):
        yield from rows


def show(report: Report, options: argparse.Namespace) -> None:
    """Print each row in the way, then what was done, or would be, by class."""
    for finding in report.findings:
        print(f"{finding.row}: {finding.problem}")
    print(f"{'':<15}{'new':>12}{'already there':>16}")
    for kind, label in (("batch", "image batches"), ("image", "images")):
        print(f"{label:<15}{report.new[kind]:>12,}{report.staged[kind] - report.new[kind]:>16,}")
    if report.waiting:
        print(f"{report.waiting:,} linked images have no verified copy yet: publish again after the next copy run")
    if report.findings:
        print(f"error: {len(report.findings):,} rows stand in the way, so nothing was changed", file=sys.stderr)
        return
    done = f"{report.new['batch']:,} image batches and {report.new['image']:,} images"
    if options.dry_run:
        print(f"Would insert {done}")
    else:
        print(f"Inserted {done}, with the timestamp {report.published_at.isoformat(sep=' ')}")
    would = "would be " if options.dry_run else ""
    if options.relink:
        print(f"{report.relinked:,} image batches {would}given their new patient")
    if report.recounted:
        print(f"{report.recounted:,} image batches {would}given another image count")


if __name__ == "__main__":
    run_script(main)
