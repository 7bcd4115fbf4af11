"""What dbt on DuckDB does with files; called by the macros in `macros/duckdb_files.sql` and `macros/run_hooks.sql`."""

import os
from pathlib import Path

import duckdb

from linkage.files import sync_folder
from linkage.paths import PROJECT_ROOT, manifest_path
from linkage.seeds import literal


def prepare(connection: duckdb.DuckDBPyConnection, folders: list[str], whole_build: bool) -> None:
    """Make what dbt and DuckDB write private, and remove the manifest before a `whole_build`.

    From here on, new files can be read by their owner only. `folders` are dbt's own,
    absolute or relative to the project root; they and the database's folder are made
    private if they are in the project. A folder elsewhere is left as it is: others
    may need it, as they need /tmp.
    """
    os.umask(0o077)
    private = [(PROJECT_ROOT / folder).resolve() for folder in folders]
    database = connection.execute(
        "select path from duckdb_databases() where database_name = current_database() and path is not null"
    ).fetchone()
    if database:
        Path(database[0]).chmod(0o600)
        private.append(Path(database[0]).resolve().parent)
    for folder in private:
        if PROJECT_ROOT in folder.parents and folder.is_dir():
            folder.chmod(0o700)
    if whole_build:
        remove_manifest()


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
