"""What dbt on DuckDB does with files; called by the macros in `macros/duckdb_files.sql` and `macros/run_hooks.sql`."""

import atexit
import os
import sys
from pathlib import Path

import duckdb

from linkage.errors import UnusableInput
from linkage.files import csv_line, sync_folder
from linkage.paths import PROJECT_ROOT, SAMPLE_FOLDER, data_folder, manifest_path, warehouse_of
from linkage.seeds import SEED_COLUMNS, hide_from_git, literal
from linkage.steps import perhaps_unread, read_environment

EXPORT_HEADER = csv_line(SEED_COLUMNS["filemaker_images_metadata"]).encode()


def prepare(
    connection: duckdb.DuckDBPyConnection, data: str, folders: list[str], *, makes: bool, whole_build: bool
) -> str | None:
    """Make what dbt and DuckDB write private, and remove the manifest before a `whole_build`.

    From here on, new files can be read by their owner only. `data` is the data
    folder that dbt reads, and `folders` are dbt's own, absolute or relative to the
    project root; they and the database's folder are made private if they are in the
    project. A folder elsewhere is left as it is: others may need it, as they need
    /tmp.

    Returns the sentence to fail with if a run that `makes` something must not be, else None.
    """
    os.umask(0o077)
    try:
        read_environment()
        problem = makes and (find_other_data(Path(data)) or find_other_warehouse(connection, Path(data)))
        if not problem and Path(data).is_dir() and Path(data).resolve() != SAMPLE_FOLDER.resolve():
            hide_from_git(Path(data))
    except UnusableInput as error:
        problem = str(error)
    if problem:
        return problem
    private = [(PROJECT_ROOT / folder).resolve() for folder in folders]
    database = database_file(connection)
    if database:
        database.chmod(0o600)
        private.append(database.resolve().parent)
    for folder in private:
        if PROJECT_ROOT in folder.parents and folder.is_dir():
            folder.chmod(0o700)
    if whole_build:
        remove_manifest()
    return None


def find_other_data(data: Path) -> str | None:
    """The sentence to fail with if dbt reads the sample although there are a clinic's records, else None."""
    if os.environ.get("LINKAGE_DATA") and data.resolve() == data_folder().resolve():
        return None
    if os.environ.get("LINKAGE_DATA"):
        return "LINKAGE_DATA is set in .env, which dbt does not read: run `dotenv run --no-override dbt build`"
    export = PROJECT_ROOT / "data" / "filemaker_images_metadata.csv"
    if not export.is_file():
        return None
    with export.open("rb") as file:
        is_empty = file.read(len(EXPORT_HEADER) + 1) == EXPORT_HEADER
    return (
        None
        if is_empty
        else (
            "LINKAGE_DATA is not set, although data/ has an export: `export LINKAGE_DATA=data` makes dbt read it, and "
            "`export LINKAGE_DATA=seeds/sample` the sample"
        )
    )


def find_other_warehouse(connection: duckdb.DuckDBPyConnection, data: Path) -> str | None:
    """The sentence to fail with if dbt builds in another file than the one that the scripts read, else None.

    A file that only profiles.yml can have named is built, and that is said: publishing takes it with `--warehouse`.
    """
    database, expected = database_file(connection), warehouse_of(data)
    if database is None or database.resolve() == expected.resolve():
        return None
    named = os.environ.get("LINKAGE_WAREHOUSE") or f"{os.environ.get('LINKAGE_DATA') or 'target'}/{expected.name}"
    if database.resolve() not in {(Path.cwd() / name).resolve() for name in (named, f"target/{expected.name}")}:
        print(f"profiles.yml names the warehouse {database}: publish with --warehouse", file=sys.stderr)
        return None
    if not connection.execute("select 1 from duckdb_tables() where not internal limit 1").fetchone():
        database.unlink()  # it was only just made
    return (
        f"dbt would build in {database}, and the scripts read {expected}: run dbt in the project's folder, and take "
        "`path` in profiles.yml from profiles.yml.example"
    )


def database_file(connection: duckdb.DuckDBPyConnection) -> Path | None:
    """The file of the connection's database; None if it is in memory."""
    found = connection.execute(
        "select path from duckdb_databases() where database_name = current_database() and path is not null"
    ).fetchone()
    return Path(found[0]) if found else None


def say_at_exit(text: str) -> str:
    """Print `text` when the command `dbt` ends, after all that dbt says itself; elsewhere return it, to be said now."""
    if Path(sys.argv[0]).name != "dbt":
        return text
    atexit.register(print_if_read, text)
    return ""


def print_if_read(text: str) -> None:
    """Print `text` unless nobody reads the output any more."""
    with perhaps_unread(sys.stdout):
        print(text, flush=True)


def remove_manifest() -> str:
    """Remove the manifest, so that nothing is copied from a mapping that failed its own tests; say so."""
    manifest_path().unlink(missing_ok=True)
    return f"No {manifest_path().name}: the build did not pass. Correct what failed, then run `dbt build` again."


def write_manifest(connection: duckdb.DuckDBPyConnection, relation: str) -> str:
    """Write the table `relation` (the mart copy_manifest), in its own order, to the manifest; say so."""
    path = manifest_path()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        written = connection.execute(
            f"copy (select * from {relation}) to {literal(str(temporary))} (format csv, header true)"
        ).fetchone()
        temporary.chmod(0o600)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)
    return f"{path.name}: {written[0] if written else 0:,} objects to copy."
