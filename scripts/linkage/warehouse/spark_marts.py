"""What a build on Spark left: its tables as folders of Parquet files, and the table that proves that it passed.

The proof, `build_proof`, has a row for each seed and each mart with the number of its rows; for a seed also the SHA-256
of the CSV file that was staged, and for a mart that of the names of its files, which no two builds share. dbt fills it
after a whole build in which every node passed, and empties it before any run that makes something that is handed over
(macros/spark_tables.sql).
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from uuid import uuid4

import duckdb

from linkage.errors import UnusableInput
from linkage.files import sync_folder
from linkage.paths import PROJECT_ROOT, data_folder
from linkage.seeds import escaped, literal
from linkage.warehouse.mark import MARKED_MART, PROVED
from linkage.warehouse.marts import LIMITS, attach_warehouse
from linkage.warehouse.parquet_seeds import declared_seeds, digest

PROOF = "build_proof"
MANIFEST = "copy_manifest"
OUTCOMES = "image_outcome"
# What builds on DuckDB remember; those on Spark remember in tables of their own (macros/remember.sql).
MEMORY = ("last_build_outcome", "build_changes")
BUILD_AGAIN = "run stage_seeds.py and `dbt build --target spark` again, and then this command"
COPY_AGAIN = "copy the whole folder again, without any file of an earlier build"
# How many rows of the manifest are where the order of copy_manifest.sql has them, with the files read by name.
IN_ORDER = """
select count(*) from (
    select
        manifest.place,
        row_number() over (
            order by
                outcome <> 'linked',
                case outcome when 'linked' then patient_id else filemaker_patient_id end,
                filemaker_date,
                recid_number
        ) as expected
    from (select image_id, row_number() over () as place from {manifest}) as manifest
    inner join {outcomes} as outcomes on outcomes.image_id = manifest.image_id
    where outcome = 'linked' or reason = 'patient_not_found'
) where place = expected
"""


@contextmanager
def open_marts(folder: Path) -> Iterator[tuple[duckdb.DuckDBPyConnection, dict[str, str]]]:
    """Check the tables of a build on Spark; yields a connection and, by name, the SQL that reads each table.

    `folder` is the one of Spark's schema, such as `spark-warehouse/image_linkage.db`.

    Raises UnusableInput if the build did not pass, if a table in the folder is not the
    one that the build made, or if a seed of the data folder has changed since it was
    staged. The recorded copies may have: they decide nothing that is handed over.
    """
    spilled = str(Path(gettempdir()) / f"image-linkage-{uuid4()}")  # DuckDB makes it only when it needs it
    try:
        with duckdb.connect(config={**LIMITS, "temp_directory": spilled}) as connection:
            yield connection, check_build(connection, folder)
    except duckdb.Error as error:  # its own words may have values of a row
        raise UnusableInput(
            f"DuckDB cannot read the tables in {folder} ({type(error).__name__}): make sure that the disk has room; if "
            f"it has, {COPY_AGAIN}"
        ) from None


def check_build(connection: duckdb.DuckDBPyConnection, folder: Path) -> dict[str, str]:
    """The SQL of each table by its name, once it is clear that all are those of a build that passed."""
    if not (folder / PROOF).is_dir():
        raise UnusableInput(
            f"{folder} has no {PROOF}: name the folder of the schema; if it is that one, no whole build on Spark has "
            f"passed: {BUILD_AGAIN}"
        )
    proof = connection.execute(f"select kind, name, row_count, digest from {read(files_of(folder, PROOF))}").fetchall()
    if not proof:
        raise UnusableInput(f"the last build on Spark did not pass as a whole: {BUILD_AGAIN}")
    tables = {}
    for kind, name, expected, sha256 in proof:
        files = files_of(folder, name)
        found = connection.execute(f"select file_name, num_rows from parquet_file_metadata({files})").fetchall()
        count = sum(rows for _, rows in found)
        if count != expected:
            raise UnusableInput(f"{folder / name} has {count:,} rows, and the build made {expected:,}: {COPY_AGAIN}")
        names = ",".join(sorted(Path(path).name for path, rows in found if rows))
        if kind == "mart" and hashlib.sha256(names.encode()).hexdigest() != sha256:
            raise UnusableInput(f"{folder / name} has files of another build: {COPY_AGAIN}")
        tables[name] = read(files)
    for name in (MANIFEST, MARKED_MART, OUTCOMES):
        if name not in tables:
            raise UnusableInput(f"{PROOF} in {folder} does not list {name}: {BUILD_AGAIN}")
    check_data_folder(connection, tables[MARKED_MART])
    check_seeds({name: sha256 for kind, name, _, sha256 in proof if kind == "seed"})
    check_order(connection, tables)
    return tables


def files_of(folder: Path, table: str) -> str:
    """A table's files as an SQL list, in the order of their names; raises UnusableInput if some are missing."""
    if not (folder / table / "_SUCCESS").is_file():
        raise UnusableInput(f"{folder / table} has no file _SUCCESS, so it is not whole: {COPY_AGAIN}")
    paths = sorted((folder / table).glob("*.parquet"))
    if not paths:
        raise UnusableInput(f"{folder / table} has no Parquet file: {COPY_AGAIN}")
    return f"[{', '.join(literal(escaped(path)) for path in paths)}]"


def read(files: str) -> str:
    """The SQL that reads files, in this order; `x=1` in the path of a folder is no column."""
    return f"read_parquet({files}, hive_partitioning = false)"


def check_data_folder(connection: duckdb.DuckDBPyConnection, settings: str) -> None:
    """Raise UnusableInput if the build was made from another data folder than the one in use."""
    query = f"select value from {settings} where name = 'data_folder'"
    built_from = next((value for (value,) in connection.execute(query).fetchall()), "")
    if (PROJECT_ROOT / built_from).resolve() != data_folder().resolve():
        raise UnusableInput(
            f"the build on Spark was made from {built_from}, and the data folder in use is {data_folder()}: set "
            "LINKAGE_DATA to the same folder"
        )


def check_seeds(staged: dict[str, str]) -> None:
    """Raise UnusableInput if a seed's CSV file is not the one whose SHA-256 was `staged`."""
    for seed in declared_seeds():
        if not seed.appended and digest(seed.path) != staged.get(seed.name, ""):
            raise UnusableInput(f"{seed.path.name} is not the file that was staged for the build: {BUILD_AGAIN}")


def check_order(connection: duckdb.DuckDBPyConnection, tables: dict[str, str]) -> None:
    """Raise UnusableInput if the rows of the manifest are not in the order of patient, date and record."""
    [(count,)] = connection.execute(f"select count(*) from {tables[MANIFEST]}").fetchall()
    query = IN_ORDER.format(manifest=tables[MANIFEST], outcomes=tables[OUTCOMES])
    if connection.execute(query).fetchall() != [(count,)]:
        raise UnusableInput(f"the rows of {MANIFEST} are not in order: {BUILD_AGAIN}")


def load_marts(connection: duckdb.DuckDBPyConnection, tables: dict[str, str], warehouse: Path) -> str:
    """Put the tables, marked as those of a build that passed, into a new DuckDB file that replaces `warehouse`.

    What builds on DuckDB remember is kept. Returns the sentence about it.

    Raises UnusableInput if the warehouse is in use or not readable, or if it has the marts of another data folder.
    """
    try:
        warehouse.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with TemporaryDirectory(dir=warehouse.parent, prefix=".load-") as work:
            new = Path(work) / warehouse.name
            connection.execute(f"attach {literal(str(new))} as loaded")
            for name, table in tables.items():
                connection.execute(f'create table loaded."{name}" as from {table}')
            connection.execute(f"comment on table loaded.{MARKED_MART} is {literal(PROVED)}")
            if warehouse.exists():
                keep_memory(connection, warehouse)
            connection.execute("use memory")
            connection.execute("detach loaded")
            new.chmod(0o600)
            new.replace(warehouse)
        sync_folder(warehouse.parent)
    except OSError as error:
        raise UnusableInput(
            f"cannot write the warehouse {warehouse}: {error.strerror}; name another file in LINKAGE_WAREHOUSE"
        ) from None
    return f"{warehouse.name}: {len(tables)} tables, as of the build on Spark."


def keep_memory(connection: duckdb.DuckDBPyConnection, warehouse: Path) -> None:
    """Copy what builds remember from a warehouse into the new one; the file stays locked as long as the connection."""
    attach_warehouse(connection, warehouse, read_only=False)
    connection.execute("checkpoint marts")  # so that no write-ahead log is left beside the new file
    found = connection.execute(
        "select schema_name, table_name from duckdb_tables() where database_name = 'marts'"
    ).fetchall()
    for schema, table in found:
        ours = f'"{schema}"."{table}"'
        if (
            table == MARKED_MART
            and connection.execute(
                f"select value from marts.{ours} where name = 'data_folder' except "
                f"select value from loaded.{MARKED_MART} where name = 'data_folder'"
            ).fetchall()
        ):
            raise UnusableInput(
                f"the warehouse {warehouse} has the marts of another data folder: name another file in "
                "LINKAGE_WAREHOUSE, or move it away"
            )
        if table in MEMORY:
            connection.execute(f'create schema if not exists loaded."{schema}"')
            connection.execute(f"create table loaded.{ours} as from marts.{ours}")
