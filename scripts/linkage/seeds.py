"""The seven CSV files of the data folder: their columns, the files that are missing, and how DuckDB reads them."""

import csv
import mmap
import os
import re
import sys
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
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
    return data_file(f"{seed}.csv") if chosen is None else outside_sample(chosen)


def data_file(name: str) -> Path:
    """The file of this name in the data folder, which is made as `seed_path` makes it, and with the same errors."""
    folder = data_folder()
    path = outside_sample(folder / name)
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
    hide_from_git(folder)
    for seed, columns in SEED_COLUMNS.items():
        create_file(folder / f"{seed}.csv", csv_line(columns))


def hide_from_git(folder: Path) -> None:
    """Make git ignore everything in a folder of the project, by a file of its own; one that exists stays."""
    if folder.resolve().is_relative_to(PROJECT_ROOT) and folder.resolve() != PROJECT_ROOT:
        create_file(folder / ".gitignore", "*\n")


NEW_LINE = b"\n"
CHUNK = 1024 * 1024  # bytes
CUT_OFF = "the last line is cut off and is left out; the next copy run sets it aside"
# The one seed that no script makes.
KEPT_BY_HAND = "held_images.csv"
SAVE_AGAIN = "save it as CSV in UTF-8, with commas and the header " + ",".join(SEED_COLUMNS["held_images"])
# How DuckDB reads a seed: every column text, nothing guessed. It would take a folder named `date=2026-11-26` for the
# value of the column `date` in every row.
DIALECT = (
    "header = true, all_varchar = true, auto_detect = false, delim = ',', quote = '\"', escape = '\"', nullstr = '', "
    "hive_partitioning = false"
)


def load_seed(
    connection: "duckdb.DuckDBPyConnection",
    path: str | Path,
    relation: str,
    columns: list[str],
    *,
    record_number: bool = False,
    appended: bool = False,
) -> str | None:
    """Load the CSV file at `path` into a new table `relation` that has the text columns `columns`, in this order.

    Other columns of the file are left out, those without a name included. With
    `record_number` the table also has a column of this name: 1 for the first record
    after the header. With `appended`, a step may be appending to the file just now:
    a last record that is cut off is left out, and that is said on stderr.

    Returns the sentence to fail with if the file cannot be used, else None.
    """
    path = Path(path)
    try:
        load = load_appended if appended else load_records
        load(connection, path, relation, columns, record_number=record_number)
    except UnusableInput as error:
        return str(error)
    except OSError as error:
        return f"{path.name} cannot be opened ({error.strerror}): check that the data folder has it and you may read it"
    return None


def load_records(
    connection: "duckdb.DuckDBPyConnection",
    path: Path,
    relation: str,
    columns: list[str],
    *,
    record_number: bool,
) -> None:
    """Load the file at `path` as `load_seed` does; raises UnusableInput if it cannot be used."""
    import duckdb

    name = path.name
    header = read_header(path)
    problem = find_nul(path)
    if problem:
        raise UnusableInput(f"{name} cannot be read: {problem}; {correct(name)}")
    missing = [column for column in columns if column not in header]
    if missing:
        raise UnusableInput(f"{name} has no column {missing[0]} in line 1; {again(name)}")
    named = [column for column in header if column]
    if len(set(named)) < len(named):
        raise UnusableInput(f"{name} names a column twice in line 1; {again(name)}")
    # a spreadsheet leaves columns behind that have no name
    types = ", ".join(f"{literal(column or f' {number}')}: 'varchar'" for number, column in enumerate(header))
    arguments = f"{literal(escaped(path))}, columns = {{{types}}}, {DIALECT}"
    selected = [f'"{column}"' for column in columns] + ["row_number() over () as record_number"] * record_number
    query = f"create or replace table {relation} as select {', '.join(selected)} from read_csv({arguments}"
    try:
        connection.execute(f"{query})")
    except duckdb.InvalidInputException:
        problem = find_malformed_line(path, arguments, len(header))
        raise UnusableInput(f"{name} cannot be read: {problem}; {correct(name)}") from None


def escaped(path: Path) -> str:
    """The path as DuckDB reads it as a name, and not as a pattern for names."""
    return re.sub(r"([*?\[])", r"[\1]", str(path))


def again(name: str) -> str:
    """What to do about a seed whose header cannot be used."""
    return SAVE_AGAIN if name == KEPT_BY_HAND else "make it again with its script"


def correct(name: str) -> str:
    """What to do about a seed with a line that cannot be read."""
    return SAVE_AGAIN if name == KEPT_BY_HAND else "correct that line, or make the file again"


def load_appended(
    connection: "duckdb.DuckDBPyConnection",
    path: Path,
    relation: str,
    columns: list[str],
    *,
    record_number: bool,
) -> None:
    """Load the whole records of a file to which a step may be appending; say on stderr if the last one is cut off.

    A record is whole if it ends with a line end outside quotation marks; a file of one line is read as it is.
    """
    size = path.stat().st_size
    end = find_end(path, size, len(columns))
    if not end or end == size:
        try:
            load_records(connection, path, relation, columns, record_number=record_number)
        except UnusableInput:
            if path.stat().st_size == size:
                raise
        if path.stat().st_size == size:
            return
        end = end or find_end(path, path.stat().st_size, len(columns))
    else:
        print(f"{path.name}: {CUT_OFF}", file=sys.stderr)
    with TemporaryDirectory(prefix="image-linkage-") as folder, path.open("rb") as file:
        whole = Path(folder) / path.name
        with whole.open("wb") as copy:
            while end and (chunk := file.read(min(CHUNK, end))):
                copy.write(chunk)
                end -= len(chunk)
        load_records(connection, whole, relation, columns, record_number=record_number)


def find_end(path: Path, size: int, width: int) -> int:
    """Where the last whole record in the first `size` bytes of a file ends; `width` is the number of fields."""
    if not size:
        return 0
    with path.open("rb") as file, mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) as contents:
        return end_of_records(contents, width)


def end_of_records(contents: mmap.mmap, width: int) -> int:
    """Where the last whole record ends, in bytes; the end of the file if what follows is malformed, and not cut off."""
    is_inside = sum(contents[at : at + CHUNK].count(b'"') for at in range(0, len(contents), CHUNK)) % 2
    end = len(contents)
    while end:
        start = contents.rfind(NEW_LINE, 0, end) + 1
        if not is_inside and start == end:
            return end
        line = contents[start:end]
        is_inside ^= line.count(b'"') % 2
        if not is_inside:
            return start
        if line.count(b",") >= width - 1:  # a whole line behind quotation marks that do not match
            return len(contents)
        end = start - 1
    return 0


def read_header(path: Path) -> list[str]:
    """The names in a CSV file's first line; raises UnusableInput if it has none."""
    name = path.name
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            header = next(csv.reader(file, strict=True), None)
    except csv.Error:
        header = None
    if not header:
        raise UnusableInput(f"{name} has no header in line 1; {again(name)}")
    if any("\udc80" <= character <= "\udcff" for character in "".join(header)):
        raise UnusableInput(f"{name} cannot be read: line 1 is not UTF-8; {correct(name)}")
    return header


def find_nul(path: Path) -> str:
    """The sentence about the first NUL byte of a file that is not empty; empty if it has none."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as contents:
        position = contents.find(b"\0")
        return f"line {1 + contents[:position].count(NEW_LINE)} has a NUL byte" if position >= 0 else ""


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
    return {
        "MISSING COLUMNS": f"line {line} has {fields} fields, not {width}",
        "TOO MANY COLUMNS": f"line {line} has more than {width} fields",
        "UNQUOTED VALUE": f"the quotes in line {line} do not match",
        "INVALID ENCODING": f"line {line} is not UTF-8",
        "LINE END": f"line {line} ends differently from line 1",
    }.get(kind, f"line {line} is not a record of a CSV file")


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
