"""The seven CSV files of the data folder: their columns, the files that are missing, and how DuckDB reads them."""

import csv
import mmap
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from linkage.errors import UnusableInput
from linkage.files import create_file, csv_line
from linkage.paths import PROJECT_ROOT, data_folder, outside_sample

if TYPE_CHECKING:
    import duckdb

# Every seed's columns, in order.
SEED_COLUMNS = {
    "filemaker_images_metadata": (
        "recid", "id_Contact", "date", "Type", "Note", "id", "fileName", "Name_of_file", "NexusExportDate",
    ),
    "s3_inventory": ("bucket", "key", "size", "etag", "last_modified", "storage_class"),
    "nexus_patients": ("patient_id", "filemaker_id"),
    "nexus_image_batches": ("id", "patient_id", "batch_name", "captured_date", "import_source"),
    "nexus_images": ("id", "batch_id", "filemaker_id", "s3_key"),
    "held_images": ("recid", "held_by", "held_on"),
    "copy_results": (
        "run_id", "recorded_at", "image_id", "source_bucket", "source_key", "source_etag", "destination_bucket",
        "destination_key", "destination_etag", "size", "outcome", "attempts", "error",
    ),
}  # fmt: skip


def seed_path(seed: str, chosen: Path | None = None) -> Path:
    """The file a script writes for `seed`: the `chosen` one, or the seed in the data folder.

    The data folder (`data_folder`) is made, with mode 0700, and its missing seeds are made
    as header-only files. Where `LINKAGE_DATA` is not set, the line that makes
    dbt read the folder is printed.

    Raises UnusableInput for a file in the sample, which no script writes to,
    and for a folder that cannot be made.
    """
    if chosen is not None:
        return outside_sample(chosen)
    folder = data_folder()
    path = outside_sample(folder / f"{seed}.csv")
    make_missing_seeds(folder)
    if not os.environ.get("LINKAGE_DATA"):
        print("To make dbt read this folder:  export LINKAGE_DATA=data")
    return path


def make_missing_seeds(folder: Path) -> None:
    """Make `folder` (0700) and each of the seven seeds that it lacks, header only."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise UnusableInput(f"cannot create the data folder {folder}: {error.strerror}; set LINKAGE_DATA") from None
    for seed, columns in SEED_COLUMNS.items():
        create_file(folder / f"{seed}.csv", csv_line(columns))


# How DuckDB reads a seed: every column text, nothing guessed.
DIALECT = (
    "header = true, all_varchar = true, auto_detect = false, delim = ',', quote = '\"', escape = '\"', nullstr = ''"
)


def load_seed(
    connection: "duckdb.DuckDBPyConnection",
    path: str | Path,
    relation: str,
    columns: list[str],
    record_number: bool = False,
) -> str | None:
    """Load the CSV file at `path` into a new table `relation` that has the text columns `columns`, in this order.

    Other columns of the file are left out. With `record_number` the table also has
    a column of this name: 1 for the first record after the header.

    Returns the sentence to fail with if the file cannot be used, else None.
    """
    import duckdb

    path = Path(path)
    try:
        header = read_header(path)
        missing = [column for column in columns if column not in header]
        if missing:
            return f"{path.name} has no column {missing[0]} in line 1; make it again with its script"
        if len(set(header)) < len(header):
            return f"{path.name} names a column twice in line 1; make it again with its script"
    except UnusableInput as error:
        return str(error)
    types = ", ".join(f"{literal(column)}: 'varchar'" for column in header)
    arguments = f"{literal(str(path))}, columns = {{{types}}}, {DIALECT}"
    selected = [f'"{column}"' for column in columns] + ["row_number() over () as record_number"] * record_number
    query = f"create or replace table {relation} as select {', '.join(selected)} from read_csv({arguments}"
    try:
        connection.execute(f"{query})")
    except duckdb.InvalidInputException:
        return f"{path.name} cannot be read: {find_malformed_line(path, arguments, len(header))}"
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


def find_malformed_line(path: Path, arguments: str, width: int) -> str:
    """Where a CSV file that DuckDB refuses is malformed, and how: a sentence without any of its values.

    `arguments` are those that `read_csv` refused, `width` the header's number of fields. DuckDB counts
    records; the sentence has the line that an editor shows. DuckDB's own table of what it rejects
    holds values, so it is made in a database in memory that is gone afterwards.
    """
    import duckdb

    found = None
    with duckdb.connect() as connection, suppress(duckdb.InvalidInputException):
        connection.execute(f"create table rows as from read_csv({arguments}, store_rejects = true, rejects_limit = 1)")
        found = connection.execute(
            "select error_type, line_byte_position, regexp_extract(error_message, 'Found: ([0-9]+)', 1)"
            " from reject_errors"
        ).fetchone()
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as contents:
        kind, position, fields = found or ("LINE END", find_other_line_end(contents), None)
        line = 1 + contents[:position].count(b"\n")
    problem = {
        "MISSING COLUMNS": f"line {line} has {fields} fields, not {width}",
        "TOO MANY COLUMNS": f"line {line} has more than {width} fields",
        "UNQUOTED VALUE": f"the quotes in line {line} do not match",
        "INVALID ENCODING": f"line {line} is not UTF-8",
        "LINE END": f"line {line} ends differently from line 1",
    }.get(kind, f"line {line} is not a record of a CSV file")
    return f"{problem}; correct that line, or make the file again"


def find_other_line_end(contents: mmap.mmap) -> int:
    """The position of the first line end outside quotation marks that differs from the first line's; 0 without one.

    These are what DuckDB does not find a line for.
    """
    ends = (found for found in re.finditer(rb'"[^"]*"|\r\n|\r|\n', contents) if found[0][:1] != b'"')
    first = next(ends, None)
    return next((end.start() for end in ends if first and end[0] != first[0]), 0)


def literal(text: str) -> str:
    """`text` as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def newest_copy_results(relation: str) -> str:
    """SQL for the rows of the DuckDB or PostgreSQL relation `relation` that are the newest about their destination.

    `relation` has the columns of copy_results.csv and `record_number`, which decides which is newest. The rule is
    dbt's macro of the same name, so that copying, auditing, publishing and the reports cannot disagree about it.
    """
    import jinja2

    macro = (PROJECT_ROOT / "macros" / "newest_copy_results.sql").read_text(encoding="utf-8")
    template = jinja2.Environment(autoescape=False).from_string(macro + "{{ newest_copy_results(relation) }}")
    return template.render(relation=relation).strip()
