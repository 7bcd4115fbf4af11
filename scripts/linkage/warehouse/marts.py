"""Reading the marts out of the DuckDB file that dbt builds."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import gettempdir
from typing import Any, NamedTuple
from uuid import uuid4

import duckdb

from linkage.errors import UnusableInput
from linkage.macros import macro_sql
from linkage.seeds import SEED_COLUMNS, literal, load_seed
from linkage.warehouse.mark import proved_schema

FETCHED = 10_000  # rows at a time
# What DuckDB may use before it spills to disk: with one thread enough for millions of rows. With 96 MB, the joins of
# 200,000 recorded copies ran out of memory.
LIMITS: dict[str, str | bool | int | float | list[str]] = {
    "memory_limit": "256MB",
    "threads": 1,
}
MAGIC = slice(8, 12)  # of a DuckDB file
NOT_PASSED = "the warehouse {} is not from a whole build that passed all of its tests: run `dbt build`"

# By what DuckDB says, apart from the path.
IN_USE = "is open in another program: wait until dbt ends, or close the program, then run again"
CANNOT_BE_OPENED = {
    "Could not set lock": IN_USE,
    "file handle conflict": IN_USE,  # this very process
    "storage version": "was written by another version of DuckDB: run `dbt build` again with this project's",
    "": "is damaged: remove it and run `dbt build` again",
}

# A copy is recorded if the newest outcome of its destination says so and is about the object that the image has now.
# What a person holds back is left out.
RECORDED = """
create table memory.newest_result as
select destination_bucket, destination_key, destination_etag, source_etag, size
from ({newest}) as result
where outcome in ('copied', 'already_present');

create table memory.recorded_copy as
select
    image.id as image_id,
    image.batch_id,
    result.destination_bucket as bucket,
    result.destination_key as key,
    result.destination_etag as etag,
    image.file_size as size,
from image
inner join copy_manifest as manifest on manifest.image_id = image.id
inner join memory.newest_result as result
    on result.destination_bucket = manifest.destination_bucket
    and result.destination_key = image.s3_key
    and result.source_etag = image.source_etag
    and result.size = cast(image.file_size as varchar)
where image.recid not in (select recid from memory.held)
"""
# It counts if the store still shows it.
VERIFIED = """
create temporary table verified_image as
select image_id as id, batch_id from memory.recorded_copy semi join memory.listed using (bucket, key, etag, size)
"""
COUNTS = """
select
    count(*) filter (where recid in (select recid from memory.held)) as held,
    count(*) - held - (select count(*) from memory.recorded_copy),
    (select count(*) from memory.recorded_copy) - (select count(*) from verified_image),
from image
"""
# Where the rows to publish are, by kind.
PUBLISHABLE = {
    "batch": "image_batch where id in (select batch_id from verified_image)",
    "image": "image where id in (select id from verified_image)",
    "relink": "batches_to_relink",
}


class Counts(NamedTuple):
    """Linked images: held back, waiting for a verified copy, or with one that is no longer in the store."""

    held: int
    waiting: int
    gone: int


@contextmanager
def open_warehouse(path: Path) -> Iterator[tuple[duckdb.DuckDBPyConnection, dict[str, str]]]:
    """Open the DuckDB file read-only: a connection whose default schema is that of the marts, and their settings.

    Tables of a step's own are made in the connection's database `memory`.

    Raises UnusableInput if the file is missing or cannot be read, if another program
    has it open, or if the last build did not pass all of its tests.
    """
    # DuckDB makes this folder only when it needs it, and removes it.
    spilled = str(Path(gettempdir()) / f"image-linkage-{uuid4()}")
    try:
        with duckdb.connect(config={**LIMITS, "temp_directory": spilled}) as warehouse:
            schema = attach_marts(warehouse, path)
            yield warehouse, read_settings(warehouse, schema)
    except duckdb.CatalogException:  # a mart is missing
        raise UnusableInput(NOT_PASSED.format(path)) from None
    except duckdb.BinderException:  # a column is missing
        raise UnusableInput(
            f"the warehouse {path} was built by another version of this project: run `dbt build` again"
        ) from None
    except duckdb.Error as error:
        raise UnusableInput(
            f"DuckDB cannot read the warehouse {path} ({type(error).__name__}): make sure that the disk has room; if "
            "it has, the file is damaged: remove it and run `dbt build` again"
        ) from None


def attach_marts(warehouse: duckdb.DuckDBPyConnection, path: Path) -> str:
    """Make names without a schema mean the marts in the file; returns the schema of the marts."""
    attach_warehouse(warehouse, path)
    schema = proved_schema(warehouse)
    if schema is None:
        raise UnusableInput(NOT_PASSED.format(path))
    warehouse.execute(f'use marts."{schema}"')
    return schema


def attach_warehouse(warehouse: duckdb.DuckDBPyConnection, path: Path, *, read_only: bool = True) -> None:
    """Attach the file as the database `marts`, and make it the connection's own.

    Raises UnusableInput if it is missing, in use or not readable.
    """
    check_header(path)
    try:
        warehouse.execute(f"attach {literal(str(path))} as marts (read_only {str(read_only).lower()})")
    except duckdb.Error as error:
        said = str(error).replace(str(path), "")
        problem = next(problem for words, problem in CANNOT_BE_OPENED.items() if words in said)
        raise UnusableInput(f"the warehouse {path} {problem}") from None
    warehouse.execute("use marts")


def check_header(path: Path) -> None:
    """Raise UnusableInput if a file is missing, or is no file of DuckDB's."""
    try:
        with path.open("rb") as file:
            header = file.read(MAGIC.stop)
    except FileNotFoundError:
        raise UnusableInput(
            f"the warehouse {path} is missing: run `dbt build`, or name another in LINKAGE_WAREHOUSE"
        ) from None
    except OSError as error:
        raise UnusableInput(
            f"the warehouse {path} cannot be opened ({error.strerror}): name the file in LINKAGE_WAREHOUSE"
        ) from None
    if header[MAGIC] != b"DUCK":
        raise UnusableInput(
            f"the warehouse {path} is not a DuckDB database: name the file that `dbt build` made, or remove it and "
            "build again"
        )


def read_settings(connection: duckdb.DuckDBPyConnection, schema: str) -> dict[str, str]:
    """The settings that the marts in `schema` were built with, by name: the mart build_settings, all texts."""
    return dict(connection.execute(f'select name, value from "{schema}".build_settings').fetchall())


def find_recorded_copies(warehouse: duckdb.DuckDBPyConnection, results: Path, held: Collection[int]) -> str:
    """Make a table of the copies of linked images that the results file shows as verified; returns its name.

    It has the columns image_id, batch_id, bucket, key, etag and size. The results are
    read as they are now, because the copy run came after the build. Images whose record
    number is `held` are left out.

    Raises UnusableInput if the results cannot be used.
    """
    if not results.is_file():
        raise UnusableInput(f"{results} is missing: set LINKAGE_DATA to the data folder, or copy first")
    columns = list(SEED_COLUMNS["copy_results"])
    problem = load_seed(warehouse, results, "memory.copy_results", columns, record_number=True, appended=True)
    if problem:
        raise UnusableInput(problem)
    warehouse.execute("create table memory.held as select unnest(cast(? as bigint[])) as recid", [list(held)])
    warehouse.execute(RECORDED.format(newest=macro_sql("newest_copy_results", "memory.copy_results")))
    return "memory.recorded_copy"


def find_verified_images(warehouse: duckdb.DuckDBPyConnection) -> Counts:
    """Make the temporary table verified_image, of the recorded copies that the table memory.listed still shows."""
    warehouse.execute(VERIFIED)
    row = warehouse.execute(COUNTS).fetchone()
    assert row is not None
    return Counts(*row)


def read_publishable(warehouse: duckdb.DuckDBPyConnection, kind: str, columns: list[str]) -> Iterator[tuple[Any, ...]]:
    """Rows of the marts, in these columns.

    `kind` is `image` (the linked images whose copy is verified), `batch` (their
    batches) or `relink` (the batches whose patient has a new id in Nexus).
    """
    cursor = warehouse.execute(f"select {', '.join(columns)} from {PUBLISHABLE[kind]}")
    while rows := cursor.fetchmany(FETCHED):
        yield from rows
