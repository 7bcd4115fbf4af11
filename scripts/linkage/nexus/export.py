"""Reading the records that Nexus holds, for the three nexus_*.csv seeds.

Only two identifiers of a patient leave the database: the patient's own id and
FileMaker's, which the database itself finds in the patient's notes.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import psycopg
from psycopg import sql

from linkage.errors import UnusableInput
from linkage.nexus.mapping import Mapping, read_texts, table_name
from linkage.nexus.tables import look_up_values, read_columns

FETCHED = 10_000  # rows at a time
UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
# {"filemaker_id": "…"} or FileMaker ID: …, in any case and spacing, with any text around
KEY = r'"filemaker_id"\s*:\s*"\s*'
# also at the start of a line in a JSON string, where the word follows an escaped \n
LABEL = r"(?:\m|\\[nrt])FileMaker ID\s*:[\s\u00a0]*"
IN_NOTES = rf"(?:{KEY}|{LABEL})({UUID})(?![0-9a-f-])"
IN_JSON = rf"^\s*({UUID})\s*$"
TEXT_BEFORE_KEY = rf"^(.*?){KEY}{UUID}"
NO_CLOSING_BRACE = r'"(?:[^"\\]|\\.)*"|[^}]'  # a string is skipped as a whole: braces in it close nothing


def read_records(
    connection: psycopg.Connection, mapping: Mapping, json_column: str | None, unclear: list[tuple[str, str]]
) -> list[Iterator[tuple[Any, ...]]]:
    """The rows of the seeds of patients, batches and images, read one after the other as they are consumed.

    `json_column` is a column of patients that is read in addition to the mapping's own. A
    patient whose FileMaker id is not clear is added to `unclear`: Nexus's id, and why.

    Raises UnusableInput, before any row, if the mapping does not fit the database.
    """
    values = look_up_values(connection, mapping)
    patients = select_patients(connection, mapping, json_column)
    batches, images = (select_rows(connection, mapping, part, values) for part in ("batches", "images"))
    return [decide(fetch(connection, patients), unclear), fetch(connection, batches), fetch(connection, images)]


def select_patients(connection: psycopg.Connection, mapping: Mapping, json_column: str | None) -> sql.Composed:
    """The query for every patient: id, the FileMaker ids found, and whether the notes have one in a nested object."""
    patients = mapping.tables["patients"]
    json_column = json_column or patients.json
    columns = read_columns(connection, mapping, "patients")
    for column in filter(None, (patients.id, patients.notes, json_column)):
        if column not in columns:
            raise UnusableInput(
                f"{patients.table} has no column {column}; correct the mapping {mapping.name}, or --json-column"
            )
    if json_column and columns[json_column].type not in ("json", "jsonb"):
        raise UnusableInput(f"{patients.table}.{json_column} is not a JSON column; name one with --json-column")

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
            ) as is_in_nested_object
        from {table}
        cross join lateral (select regexp_match({notes}, {before_key}, 'i') as before_key) as json
        order by patient_id
        """
    ).format(
        id=sql.Identifier(patients.id),
        notes=sql.SQL("cast({} as text)").format(column_or_null(patients.notes)),
        json_id=sql.SQL("cast({} as jsonb) ->> 'filemaker_id'").format(column_or_null(json_column)),
        in_notes=sql.Literal(IN_NOTES),
        in_json=sql.Literal(IN_JSON),
        before_key=sql.Literal(TEXT_BEFORE_KEY),
        no_closing_brace=sql.Literal(NO_CLOSING_BRACE),
        table=table_name(patients.table),
    )


def column_or_null(column: str | None) -> sql.Composable:
    """The column, or NULL if there is none."""
    return sql.Identifier(column) if column else sql.SQL("null")


def select_rows(connection: psycopg.Connection, mapping: Mapping, part: str, values: dict[str, Any]) -> sql.Composed:
    """The query for every row of the batches or the images, in the columns of their seed."""
    read_columns(connection, mapping, part)
    return sql.SQL("select {} from {} order by 1").format(
        read_texts(mapping, part, values), table_name(mapping.tables[part].table)
    )


def fetch(connection: psycopg.Connection, query: sql.Composed) -> Iterator[tuple[Any, ...]]:
    """The rows of `query`, at most FETCHED of them in memory at a time."""
    with connection.cursor(name="nexus_records") as cursor:
        cursor.itersize = FETCHED
        yield from cursor.execute(query)


def decide(patients: Iterable[tuple[Any, ...]], unclear: list[tuple[str, str]]) -> Iterator[tuple[Any, ...]]:
    """Every patient, with a FileMaker id if exactly one was found; patients whose id is unclear go to `unclear`."""
    for patient_id, filemaker_ids, is_in_nested_object in patients:
        problem = ""
        if len(filemaker_ids) > 1:
            problem = f"{len(filemaker_ids)} different FileMaker ids"
        elif filemaker_ids and is_in_nested_object:
            problem = "the FileMaker id is in a nested object of the notes' JSON and may be another person's"
        if problem:
            unclear.append((patient_id, problem))
        yield patient_id, filemaker_ids[0] if filemaker_ids and not problem else ""
