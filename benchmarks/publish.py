"""How long publishing to Nexus takes, and whether its memory grows with the number of images."""

import os
import sys
import tempfile
from pathlib import Path
from statistics import median_high

import duckdb
import psycopg

from benchmarks.processes import Figures, spread, timed
from benchmarks.stub_s3 import COPIES, FIRST_RECID, IMAGES_OF_PATIENT, SIZE, stub_server
from benchmarks.stub_s3 import IMAGES_OF_BATCH as STUB_BATCH
from linkage.files import csv_line
from linkage.paths import PROJECT_ROOT
from linkage.seeds import SEED_COLUMNS, literal
from linkage.warehouse.mark import MARKED_MART, PROVED
from sandbox import nexus
from sandbox.postgres_server import database_url, postgres_server
from sandbox.settings import DEFAULT_VARS

IMAGES_OF_BATCH = 4
SETTINGS = {name: value for name, value in DEFAULT_VARS.items() if isinstance(value, str)}


def main(images: int = 200_000, patients: int = 20_000, runs: int = 3) -> None:
    """Publish a quarter of the images, then all, each into a new database, then all again; print the figures."""
    print(f"\nPublish: {images:,} images in {images // IMAGES_OF_BATCH:,} batches, {patients:,} patients; {runs} runs")
    print("A quarter of the images, all of them, and all again when nothing is left to insert", flush=True)
    quarter: list[Figures] = []
    new: list[Figures] = []
    again: list[Figures] = []
    with (
        tempfile.TemporaryDirectory() as name,
        postgres_server() as server,
        stub_server(images, milliseconds=0, copied=images) as store,
    ):
        folder = Path(name)
        make_template(server, patients)
        few = store | write_warehouse(folder / "few", images // 4, patients)
        all_images = store | write_warehouse(folder / "all", images, patients)
        for _ in range(runs):
            new_database(server)
            quarter.append(publish(server, few))
            new_database(server)
            new.append(publish(server, all_images))
            again.append(publish(server, all_images))
    print(f"{'':34}{'min':>8} {'median':>8} {'max':>8}")
    titles = (f"{images // 4:,} new images", f"{images:,} new images", f"{images:,} already there")
    for title, figures in zip(titles, (quarter, new, again), strict=True):
        print(f"{title:26}{'wall s':>8}{spread([run.wall for run in figures])}")
        print(f"{'':26}{'peak MB':>8}{spread([run.peak for run in figures])}")
    print(f"{'wall time of all':26}{'':8}{median_high([run.wall for run in new]):26.1f} s   (limit: under 30)")
    growth = median_high([run.peak for run in new]) / median_high([run.peak for run in quarter])
    print(f"{'peak of all / a quarter':26}{'':8}{growth:26.2f}   (limit: about 1)")


def make_template(server: str, patients: int) -> None:
    """Create the database `template_plan` with Nexus's tables and `patients` patients."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("create database template_plan")
    url = database_url(server, "template_plan")
    nexus.migrate(url, "plan")
    with psycopg.connect(url) as connection:
        connection.execute(
            f"insert into patients_patient (id, name, notes)"
            f" select cast({patient('number')} as uuid), 'Patient ' || number, ''"
            f" from generate_series(0, {patients - 1}) as numbers (number)"
        )
        connection.execute("analyze patients_patient")


def new_database(server: str) -> None:
    """Replace the database `plan` by a copy of the template."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("drop database if exists plan with (force)")
        connection.execute("create database plan template template_plan")
        connection.execute("checkpoint")


def publish(server: str, environment: dict[str, str]) -> Figures:
    """Run publish_to_nexus.py on the database `plan`."""
    environment = os.environ | environment | {"NEXUS_DATABASE_URL": database_url(server, "plan")}
    return timed([sys.executable, "scripts/publish_to_nexus.py"], environment, str(PROJECT_ROOT))


def write_warehouse(folder: Path, images: int, patients: int) -> dict[str, str]:
    """Write the marts that publishing reads and the results of a copy run; returns the environment that names them."""
    folder.mkdir()
    path = folder / "warehouse.duckdb"
    batch = f"i // {IMAGES_OF_BATCH}"
    key = (
        f"'{COPIES}' || printf('%08x-0000-4000-8000-0123456789ab/images/', i // {IMAGES_OF_PATIENT})"
        f" || printf('%08x-0000-3000-8000-0123456789ab/', i // {STUB_BATCH}) || ({FIRST_RECID} + i) || '.jpg'"
    )
    with duckdb.connect(path) as connection:
        connection.execute("set enable_progress_bar = false")
        connection.execute(
            f"""
            create table image as
            select
                {uuid("'image' || i")} as id, batch_id, {key} as s3_key, recid || '.jpg' as original_filename,
                cast({SIZE} as bigint) as file_size, type as category, {uuid("'filemaker' || i")}
                as filemaker_id, type as filemaker_type, filemaker_date, cast(recid as bigint) as recid, patient_id,
                'clinic' as source_bucket, 'filemaker-import/images-bulk-dump/' || recid || '.jpg' as source_key,
                printf('%032x', i) as source_etag
            from (
                select
                    i, i + 2 as recid, {uuid(f"'batch' || {batch}")} as batch_id,
                    {patient(f"{batch} % {patients}")} as patient_id,
                    date '2016-01-04' + cast({batch} // {patients} as integer) as filemaker_date,
                    case when i % 3 = 0 then 'Dorsal' else 'Plantar, ' || i % 290 end as type
                from range({images}) as numbers (i)
            )
            """
        )
        connection.execute(
            """
            create table image_batch as
            select
                batch_id as id, patient_id,
                strftime(filemaker_date, '%-d %b %Y') || ' (FileMaker Import)' as batch_name,
                filemaker_date as captured_date, cast(null as varchar) as filemaker_batch_id,
                'filemaker_import' as import_source, count(*) as image_count
            from image
            group by batch_id, patient_id, filemaker_date
            """
        )
        connection.execute(
            """
            create table copy_manifest as
            select
                id as image_id, source_bucket, source_key, source_etag, file_size as source_size,
                'clinic' as destination_bucket, s3_key as destination_key
            from image
            """
        )
        connection.execute(
            "create table batches_to_relink (id varchar, patient_id varchar, new_patient_id varchar,"
            " captured_date date, image_count bigint, image_ids_md5 varchar)"
        )
        connection.execute("create table build_settings (name varchar, value varchar)")
        connection.executemany("insert into build_settings values (?, ?)", [*map(list, SETTINGS.items())])
        connection.execute(f"comment on table {MARKED_MART} is {literal(PROVED)}")
        results = {
            "run_id": "'run'",
            "recorded_at": "'2026-01-02T03:04:05Z'",
            "destination_etag": "source_etag",
            "size": "source_size",
            "outcome": "'copied'",
            "attempts": "1",
            "error": "null",
        }
        selected = ", ".join(f"{results.get(column, column)} as {column}" for column in SEED_COLUMNS["copy_results"])
        connection.execute(
            f"copy (select {selected} from copy_manifest)"
            f" to {literal(str(folder / 'copy_results.csv'))} (format csv, header true)"
        )
    (folder / "held_images.csv").write_text(csv_line(SEED_COLUMNS["held_images"]), encoding="utf-8")
    return {"LINKAGE_WAREHOUSE": str(path), "LINKAGE_DATA": str(folder)}


def patient(number: str) -> str:
    """Return SQL for a patient's id in Nexus."""
    return uuid(f"'patient' || {number}")


def uuid(name: str) -> str:
    """Return SQL, for DuckDB and PostgreSQL, for a UUID that depends only on the text `name`."""
    digest = f"md5({name})"
    parts = ((1, 8), (9, 4), (13, 4), (17, 4), (21, 12))
    return " || '-' || ".join(f"substr({digest}, {start}, {length})" for start, length in parts)


if __name__ == "__main__":
    os.umask(0o077)
    main()
