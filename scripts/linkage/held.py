"""The records that a person holds back, as held_images.csv has them now."""

import csv
import sys
from pathlib import Path

import duckdb

from linkage.errors import UnusableInput
from linkage.macros import macro_sql
from linkage.paths import data_folder
from linkage.seeds import SEED_COLUMNS, load_seed

SEED = "held_images"
NAMED = 10  # lines that a sentence names


def read_held_images() -> frozenset[int]:
    """The record numbers in held_images.csv of the data folder; where there is no such file, that is said on stderr.

    Copying and publishing read it when they start, because a record may have been held back since the build.

    Raises UnusableInput if the file, or one of its lines, cannot be read: a list that protects must be read whole.
    """
    path = data_folder() / f"{SEED}.csv"
    if not path.exists():
        print(f"{path} does not exist: no record is held back", file=sys.stderr)
        return frozenset()
    with duckdb.connect() as connection:
        problem = load_seed(connection, path, SEED, list(SEED_COLUMNS[SEED]), record_number=True)
        if problem:
            raise UnusableInput(problem)
        recid = macro_sql("to_recid", macro_sql("trimmed", "recid"))
        # a spreadsheet leaves lines behind in which nothing is filled in
        records = connection.execute(
            f"select record_number, nullif({recid}, 0) from {SEED} where coalesce(recid, held_by, held_on) is not null"
        ).fetchall()
    unreadable = [number for number, recid in records if recid is None]
    if unreadable:
        raise UnusableInput(describe_unreadable(path, unreadable))
    return frozenset(recid for _, recid in records)


def describe_unreadable(path: Path, records: list[int]) -> str:
    """The sentence about the records of held_images.csv, counted from 1, whose record number does not read."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file)
        lines = [reader.line_num for record in reader if record]
    named = ", ".join(str(lines[number]) for number in records[:NAMED])
    more = f" and {len(records) - NAMED:,} more" if len(records) > NAMED else ""
    have = "line {} has" if len(records) == 1 else "lines {} have"
    return (
        f"{path.name} cannot be read: {have.format(named + more)} no record number in the column recid; "
        "write one on each line, such as 228"
    )
