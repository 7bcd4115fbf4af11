"""What dbt on DuckDB does with files; called by the macros in `macros/duckdb_files.sql` and `macros/run_hooks.sql`."""

import csv
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import duckdb

from linkage.errors import UnusableInput
from linkage.files import sync_folder
from linkage.paths import PROJECT_ROOT, manifest_path

DIALECT = (
    "header = true, all_varchar = true, auto_detect = false, delim = ',', quote = '\"', escape = '\"', nullstr = ''"
)

# The comment on what is published after a whole build that passed; making one of the tables again loses its own.
PROVED = "made by a build that passed all of its tests"
PUBLISHED = ("image_batch", "image", "copy_manifest", "batches_to_relink")


def prepare(connection: duckdb.DuckDBPyConnection, folders: list[str], whole_build: bool) -> None:
    """Keep what dbt and DuckDB write from other users, and take the manifest away before a `whole_build`.

    Files are made for their owner alone from here on. `folders` are dbt's own,
    absolute or relative to the project root; they and the database's are made
    private where they lie in the project. A folder elsewhere is its owner's
    to set: it may be one that others need, such as /tmp.
    """
    os.umask(0o077)
    private = [(PROJECT_ROOT / folder).resolve() for folder in folders]
    (database,) = connection.execute(
        "select path from duckdb_databases() where database_name = current_database()"
    ).fetchone()
    if database:
        Path(database).chmod(0o600)
        private.append(Path(database).resolve().parent)
    for folder in private:
        if PROJECT_ROOT in folder.parents and folder.is_dir():
            folder.chmod(0o700)
    if whole_build:
        take_manifest_away(connection)


def take_manifest_away(connection: duckdb.DuckDBPyConnection) -> str:
    """Remove the manifest, so that nothing is copied from a mapping that failed its own tests; say so.

    Nor is anything published from it: a mart loses the mark that `proved_schema` looks for.
    """
    manifest_path().unlink(missing_ok=True)
    query = "select schema_name from duckdb_tables() where table_name = 'copy_manifest' and not temporary"
    for (schema,) in connection.execute(query).fetchall():
        connection.execute(f'comment on table "{schema}".copy_manifest is null')
    return f"No {manifest_path().name}: the build did not pass; mend what failed and run dbt build again."


def proved_schema(connection: duckdb.DuckDBPyConnection) -> str | None:
    """The schema whose marts are those of a whole build that passed, as `write_manifest` has said; None without one."""
    query = """
        select schema_name from duckdb_tables()
        where database_name = current_database() and table_name in ? and comment = ?
        group by schema_name having count(*) = ?
    """
    schemas = connection.execute(query, [PUBLISHED, PROVED, len(PUBLISHED)]).fetchall()
    return schemas[0][0] if schemas else None


def write_manifest(connection: duckdb.DuckDBPyConnection, relation: str) -> str:
    """Write the table `relation` (the mart copy_manifest), in its own order, to the manifest; say so."""
    path = manifest_path()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        (count,) = connection.execute(
            f"copy (select * from {relation}) to {literal(str(temporary))} (format csv, header true)"
        ).fetchone()
        temporary.chmod(0o600)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)
    schema = relation.rpartition(".")[0]
    for mart in PUBLISHED:
        connection.execute(f"comment on table {schema}.{mart} is {literal(PROVED)}")
    return f"{path.name}: {count:,} objects to copy."


def load_seed(connection: duckdb.DuckDBPyConnection, path: str, relation: str, columns: list[str]) -> str | None:
    """Make the table `relation` of the CSV file at `path`: the text columns `columns`, whatever else the file has.

    Returns the sentence to fail with where the file cannot be used.
    """
    name = Path(path).name
    try:
        header = read_header(Path(path))
        missing = [column for column in columns if column not in header]
        if missing:
            raise UnusableInput(f"{name} has no column {missing[0]} in line 1; make it again with its script")
        if len(set(header)) < len(header):
            raise UnusableInput(f"{name} names a column twice in line 1; make it again with its script")
    except UnusableInput as error:
        return str(error)
    types = ", ".join(f"{literal(column)}: 'varchar'" for column in header)
    selected = ", ".join(f'"{column}"' for column in columns)
    try:
        connection.execute(
            f"create or replace table {relation} as select {selected} "
            f"from read_csv({literal(path)}, columns = {{{types}}}, {DIALECT})"
        )
    except duckdb.InvalidInputException:
        return f"{name} cannot be read: {find_malformed_line(Path(path), len(header))}"
    return None


def read_header(path: Path) -> list[str]:
    """The names in a CSV file's first line."""
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            header = next(csv.reader(file, strict=True), None)
    except csv.Error:
        header = None
    if not header:
        raise UnusableInput(f"{path.name} has no header in line 1; make it again with its script")
    return header


def find_malformed_line(path: Path, width: int) -> str:
    """Where a CSV file is malformed, and how: a sentence without any of its values.

    The slow way, with line numbers that an editor shows; only for files that
    DuckDB refused.
    """
    advice = "; correct that line, or make the file again"
    line_ends = []

    def lines(file: Iterable[str]) -> Iterator[str]:
        for text in file:
            line_ends.append(text[len(text.rstrip("\r\n")) :])
            yield text

    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        reader = csv.reader(lines(file), strict=True)
        line = 1
        try:
            for row in reader:
                if any("\udc80" <= character <= "\udcff" for value in row for character in value):
                    return f"line {line} is not UTF-8{advice}"
                if row and len(row) != width:
                    return f"line {line} has {len(row)} fields, not {width}{advice}"
                if line_ends[-1] not in ("", line_ends[0]):
                    return f"line {line} ends otherwise than line 1{advice}"
                line = reader.line_num + 1
        except csv.Error:
            return f"the quotes in line {line} do not match{advice}"
    return f"its quotes or line ends are not those of a CSV file{advice}"


def literal(text: str) -> str:
    """`text` as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"
