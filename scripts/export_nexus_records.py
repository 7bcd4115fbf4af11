"""Read from Nexus which patients, image batches and images it holds: the three nexus_*.csv seeds (§10).

The database is that of NEXUS_DATABASE_URL. Of a patient only two identifiers
leave it: the patient's own id, and FileMaker's, which the database itself finds
in the patient's notes.
"""

import argparse
from collections.abc import Iterable, Iterator
from typing import TextIO

import psycopg
from psycopg import sql

from linkage.errors import UnusableInput, run_script
from linkage.files import csv_line, write_together
from linkage.nexus.connection import nexus_connection
from linkage.nexus.mapping import Mapping, look_up_values, read_columns, read_mapping, read_texts, table_name
from linkage.seeds import SEED_COLUMNS, seed_path

SEEDS = ("nexus_patients", "nexus_image_batches", "nexus_images")
FETCHED = 10_000  # rows at a time
UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
# {"filemaker_id": "…"} or FileMaker ID: …, in any case and spacing, with any text around
KEY = r'"filemaker_id"\s*:\s*"\s*'
# also at the start of a line in a JSON string: there the word begins behind a written-out \n
LABEL = r"(?:\m|\\[nrt])FileMaker ID\s*:[\s\u00a0]*"
IN_NOTES = rf"(?:{KEY}|{LABEL})({UUID})(?![0-9a-f-])"
IN_JSON = rf"^\s*({UUID})\s*$"
TEXT_BEFORE_KEY = rf"^(.*?){KEY}{UUID}"
NO_CLOSING_BRACE = r'"(?:[^"\\]|\\.)*"|[^}]'  # strings go as a whole: braces in them close nothing


def main() -> None:
    """Write the three seeds from one snapshot of the database, all of them or none."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mapping", default="plan", help="plan (default), generic, or a file like theirs")
    parser.add_argument("--json-column", metavar="COLUMN", help="a JSON column of patients, with the key filemaker_id")
    options = parser.parse_args()

    mapping = read_mapping(options.mapping)
    with nexus_connection(snapshot=True) as connection:
        values = look_up_values(connection, mapping)
        patients = select_patients(connection, mapping, options.json_column)
        batches, images = (select_all(connection, mapping, part, values) for part in ("batches", "images"))
        folder = seed_path(SEEDS[0]).parent
        paths = [folder / f"{seed}.csv" for seed in SEEDS]
        unclear: list[tuple[str, str]] = []
        tables = (
            decided(fetch(connection, patients), unclear),
            fetch(connection, batches),
            fetch(connection, images),
        )
        with write_together(paths) as files:
            counts = [write_seed(*each) for each in zip(SEEDS, tables, files, strict=True)]
            connection.commit()  # nothing that can still fail comes after the files have taken their names
    for patient_id, problem in unclear:
        print(f"patient {patient_id}: {problem}; none is written")
    for count, path in zip(counts, paths, strict=True):
        print(f"{count:>10,} rows -> {path}")


def select_patients(connection: psycopg.Connection, mapping: Mapping, json_column: str | None) -> sql.Composed:
    """The query for every patient: id, the FileMaker ids found, and whether the notes have one in an inner object.

    All that is read of the notes and of the JSON column happens in the database.
    """
    patients = mapping.patients
    table, json_column = patients["table"], json_column or patients.get("json")
    columns = read_columns(connection, mapping, "patients")
    for column in filter(None, (patients["id"], patients.get("notes"), json_column)):
        if column not in columns:
            raise UnusableInput(f"{table} has no column {column}; correct the mapping {mapping.name}, or --json-column")
    if json_column and columns[json_column].type not in ("json", "jsonb"):
        raise UnusableInput(f"{table}.{json_column} is no JSON column; name one with --json-column")

    notes = sql.SQL("cast({} as text)").format(column_or_null(patients.get("notes")))
    json_id = sql.SQL("cast({} as jsonb) ->> 'filemaker_id'").format(column_or_null(json_column))
    return sql.SQL(
        """
        select
            lower(cast({id} as text)) as patient_id,
            array(
                select distinct lower(match[1])
                from (
                    select regexp_matches({notes}, {in_notes}, 'gi') as match
                    union all
                    select regexp_match({json_id}, {in_json}, 'i')
                ) as matches
                where match is not null
            ) as filemaker_ids,
            coalesce(
                length(regexp_replace(before_key[1], '[^{{]', '', 'g'))
                - length(regexp_replace(before_key[1], {no_closing_brace}, '', 'g')) > 1,
                false
            ) as is_in_inner_object
        from {table}
        cross join lateral (select regexp_match({notes}, {before_key}, 'i') as before_key) as json
        order by patient_id
        """
    ).format(
        id=sql.Identifier(patients["id"]),
        notes=notes,
        json_id=json_id,
        in_notes=sql.Literal(IN_NOTES),
        in_json=sql.Literal(IN_JSON),
        before_key=sql.Literal(TEXT_BEFORE_KEY),
        no_closing_brace=sql.Literal(NO_CLOSING_BRACE),
        table=table_name(table),
    )


def column_or_null(column: str | None) -> sql.Composable:
    """The column, or NULL where there is none to read."""
    return sql.Identifier(column) if column else sql.SQL("null")


def select_all(connection: psycopg.Connection, mapping: Mapping, part: str, values: dict[str, object]) -> sql.Composed:
    """The query for every row of the batches or the images, in the columns of their seed."""
    read_columns(connection, mapping, part)
    return sql.SQL("select {} from {} order by 1").format(
        read_texts(mapping, part, values), table_name(getattr(mapping, part)["table"])
    )


def fetch(connection: psycopg.Connection, query: sql.Composed) -> Iterator[tuple]:
    """The rows of `query`, of which only some are in memory at a time."""
    with connection.cursor(name="nexus_records") as cursor:
        cursor.itersize = FETCHED
        yield from cursor.execute(query)


def decided(patients: Iterable[tuple], unclear: list[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Every patient, with a FileMaker id where just one was found; those whose id is unclear are added to `unclear`."""
    for patient_id, filemaker_ids, is_in_inner_object in patients:
        problem = ""
        if len(filemaker_ids) > 1:
            problem = f"{len(filemaker_ids)} different FileMaker ids"
        elif filemaker_ids and is_in_inner_object:
            problem = "the FileMaker id stands in an inner part of the notes' JSON and may be somebody else's"
        if problem:
            unclear.append((patient_id, problem))
        yield patient_id, filemaker_ids[0] if filemaker_ids and not problem else ""


def write_seed(seed: str, rows: Iterable[tuple], file: TextIO) -> int:
    """Write a seed's header and `rows`; how many there were."""
    file.write(csv_line(SEED_COLUMNS[seed]))
    count = 0
    for row in rows:
        file.write(csv_line(row))
        count += 1
    return count


if __name__ == "__main__":
    run_script(main)
