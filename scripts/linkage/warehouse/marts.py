"""Reading the marts out of the DuckDB file that dbt builds."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import gettempdir
from typing import Any
from uuid import uuid4

import duckdb

from linkage.errors import UnusableInput
from linkage.seeds import SEED_COLUMNS, literal, load_seed, newest_copy_results
from linkage.warehouse.mark import proved_schema

FETCHED = 10_000  # rows at a time
# What DuckDB may use before it spills to disk: with one thread enough for millions of rows.
LIMITS: dict[str, str | bool | int | float | list[str]] = {"memory_limit": "96MB", "threads": 1}
NOT_PASSED = "the warehouse {} is not from a whole build that passed all of its tests: run `dbt build`"

# A copy counts if the newest outcome of its destination says so and is about the object that the image has now.
VERIFIED = """
create temporary table verified_image as
select image.id, image.batch_id
from image
inner join copy_manifest as manifest on manifest.image_id = image.id
inner join ({newest}) as result
    on result.destination_bucket = manifest.destination_bucket
    and result.destination_key = image.s3_key
    and result.source_etag = image.source_etag
where result.outcome in ('copied', 'already_present')
"""
# Where the rows to publish are, by kind.
PUBLISHABLE = {
    "batch": "image_batch where id in (select batch_id from verified_image)",
    "image": "image where id in (select id from verified_image)",
    "relink": "batches_to_relink",
}


@contextmanager
def open_warehouse(path: Path, results: Path) -> Iterator[tuple[duckdb.DuckDBPyConnection, dict[str, str]]]:
    """Open the DuckDB file read-only: a connection whose default schema is that of the marts, and their settings.

    It also has the temporary table `verified_image`, made of the copy results as
    they are now, because the copy run came after the build.

    Raises UnusableInput if a file is missing or cannot be read, if dbt is writing
    to the warehouse, or if the last build did not pass all of its tests.
    """
    if not path.is_file():
        raise UnusableInput(f"the warehouse {path} is missing: run `dbt build`, or name another with --warehouse")
    # DuckDB makes this folder only when it needs it, and removes it.
    spilled = str(Path(gettempdir()) / f"image-linkage-{uuid4()}")
    try:
        with duckdb.connect(config={**LIMITS, "temp_directory": spilled}) as warehouse:
            schema = attach_marts(warehouse, path)
            settings = read_settings(warehouse, schema)
            find_verified_images(warehouse, results)
            yield warehouse, settings
    except duckdb.CatalogException:  # a mart is missing
        raise UnusableInput(NOT_PASSED.format(path)) from None
    except duckdb.Error as error:
        raise UnusableInput(
            f"DuckDB cannot read the warehouse {path} ({type(error).__name__}): make sure that the disk has room, "
            "and run `dbt build` again"
        ) from None


def attach_marts(warehouse: duckdb.DuckDBPyConnection, path: Path) -> str:
    """Make names without a schema mean the marts in the file; returns the schema of the marts."""
    try:
        warehouse.execute(f"attach {literal(str(path))} as marts (read_only)")
    except duckdb.Error:
        raise UnusableInput(f"the warehouse {path} cannot be opened: wait until dbt ends, then run again") from None
    warehouse.execute("use marts")
    schema = proved_schema(warehouse)
    if schema is None:
        raise UnusableInput(NOT_PASSED.format(path))
    warehouse.execute(f'use marts."{schema}"')
    return schema


def read_settings(connection: duckdb.DuckDBPyConnection, schema: str) -> dict[str, str]:
    """The settings that the marts in `schema` were built with, by name: the mart build_settings, all texts."""
    return dict(connection.execute(f'select name, value from "{schema}".build_settings').fetchall())


def find_verified_images(warehouse: duckdb.DuckDBPyConnection, results: Path) -> None:
    """Make the temporary table verified_image: the linked images whose copy the results file shows as verified."""
    if not results.is_file():
        raise UnusableInput(f"{results} is missing: set LINKAGE_DATA to the data folder, or copy first")
    columns = list(SEED_COLUMNS["copy_results"])
    problem = load_seed(warehouse, results, "memory.copy_results", columns, record_number=True, appended=True)
    if problem:
        raise UnusableInput(problem)
    warehouse.execute(VERIFIED.format(newest=newest_copy_results("memory.copy_results")))


def read_publishable(warehouse: duckdb.DuckDBPyConnection, kind: str, columns: list[str]) -> Iterator[tuple[Any, ...]]:
    """Rows of the marts, in these columns.

    `kind` is `image` (the linked images whose copy is verified), `batch` (their
    batches) or `relink` (the batches whose patient has a new id in Nexus).
    """
    cursor = warehouse.execute(f"select {', '.join(columns)} from {PUBLISHABLE[kind]}")
    while rows := cursor.fetchmany(FETCHED):
        yield from rows


def count_images(warehouse: duckdb.DuckDBPyConnection) -> int:
    """How many images are linked."""
    row = warehouse.execute("select count(*) from image").fetchone()
    return row[0] if row else 0
