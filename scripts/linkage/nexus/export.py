"""Reading the records that Nexus holds, for the three nexus_*.csv seeds.

Only two identifiers of a patient leave the database: the patient's own id and
FileMaker's, which the database itself finds where the mapping says.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import psycopg
from psycopg import sql

from linkage.errors import UnusableInput
from linkage.nexus.fitting import read_sql
from linkage.nexus.mapping import READ_COLUMNS, expression, read_texts
from linkage.nexus.tables import Nexus, misfit

FETCHED = 10_000  # rows at a time
UUID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
# {"filemaker_id": "…"} or FileMaker ID: …, in any case and spacing, with any text around
KEY = r'"filemaker_id"\s*:\s*"[\s\u00a0]*'
# also at the start of a line in a JSON string, where the word follows an escaped \n
LABEL = r"(?:\m|\\[nrt])FileMaker ID\s*:"
IN_NOTES = rf"(?:{KEY}|{LABEL}[\s\u00a0]*)({UUID})(?![0-9a-f-])"
ALONE = rf"^[\s\u00a0]*({UUID})[\s\u00a0]*$"
FILLED = r"[^\s\u00a0]"
# a key or label, also of JSON within a string, followed by something else; on the same line, for a label
UNREADABLE = (
    rf'"filemaker_id\\*"\s*:\s*(?!"[\s\u00a0]*{UUID}(?![0-9a-f-])|\\*"[\s\u00a0]*\\*"|null\M)\S'
    rf'|{LABEL}[ \t\u00a0]*(?!{UUID}(?![0-9a-f-]))([^\s\u00a0"\\,;.\]\)\}}]|"\w)'
)
TEXT_BEFORE_KEY = rf"^(.*?){KEY}{UUID}"
NO_CLOSING_BRACE = r'"(?:[^"\\]|\\.)*"|[^}]'  # a string is skipped as a whole: braces in it close nothing


@dataclass
class Found:
    """What reading the rows has found so far, in numbers of patients and batches.

    `unclear` has, for each patient whose FileMaker id is not clear, Nexus's id and why; `unreadable`
    Nexus's ids of the patients with something that should be a FileMaker id and is not a UUID.
    """

    patients: int = 0
    with_id: int = 0
    unclear: list[tuple[str, str]] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    unreadable_dates: int = 0


def read_records(nexus: Nexus, json_column: str | None, found: Found) -> list[Iterator[tuple[Any, ...]]]:
    """The rows of the seeds of patients, batches and images, read one after the other as they are consumed.

    `json_column` is a column of patients that is read in addition to the mapping's own. What is found while
    the rows are consumed is added to `found`.

    Raises UnusableInput, before any row, if the mapping does not fit the database, and at a row that its SQL
    cannot read.
    """
    patients = select_patients(nexus, json_column)
    batches, images = (select_rows(nexus, part) for part in ("batches", "images"))
    return [
        decide(read_part(nexus, "patients", patients), found),
        count_dates(read_part(nexus, "batches", batches), found),
        read_part(nexus, "images", images),
    ]


def select_patients(nexus: Nexus, json_column: str | None) -> sql.Composed:
    """The query for every patient.

    Columns: id, FileMaker ids, whether they are only in a nested object of the notes, whether one is unreadable.
    """
    mapping, patients, columns = nexus.mapping, nexus.mapping.tables["patients"], nexus.columns["patients"]
    json_column = json_column or patients.json
    for column in filter(None, (patients.notes, json_column)):
        if column not in columns:
            raise UnusableInput(
                f"{patients.table} has no column {column}; correct the mapping {mapping.name}, or --json-column"
            )
    if json_column and columns[json_column].type not in ("json", "jsonb"):
        raise UnusableInput(f"{patients.table}.{json_column} is not a JSON column; name one with --json-column")
    if not (patients.notes or json_column or patients.filemaker_id):
        raise misfit(mapping, "it does not say where FileMaker's id of a patient is: notes, json or filemaker_id")

    return sql.SQL(
        """
        with patients as (
            select
                lower(cast({id} as text)) as patient_id,
                {notes} as notes,
                array_remove(array[{json_id}, {given_id}], null) as ids
            from {table}
        )
        select
            patient_id,
            array(
                select distinct lower(match[1])
                from (
                    select regexp_matches(notes, {in_notes}, 'gi') as match
                    union all
                    select regexp_match(id, {alone}, 'i') from unnest(ids) as id
                ) as matches
                where match is not null
            ) as filemaker_ids,
            not exists (select from unnest(ids) as id where id ~* {alone})
            and coalesce(
                length(regexp_replace(before_key[1], '[^{{]', '', 'g'))
                - length(regexp_replace(before_key[1], {no_closing_brace}, '', 'g')) > 1,
                false
            ) as is_in_nested_object,
            coalesce(notes ~* {unreadable}, false)
            or exists (select from unnest(ids) as id where id ~ {filled} and id !~* {alone}) as is_unreadable
        from patients
        cross join lateral (select regexp_match(notes, {before_key}, 'i') as before_key) as json
        order by patient_id
        """
    ).format(
        id=sql.Identifier(patients.id),
        notes=sql.SQL("cast({} as text)").format(column_or_null(patients.notes)),
        json_id=sql.SQL("cast({} as jsonb) ->> 'filemaker_id'").format(column_or_null(json_column)),
        given_id=sql.SQL("cast({} as text)").format(expression(patients.filemaker_id or "null", nexus.values)),
        in_notes=sql.Literal(IN_NOTES),
        alone=sql.Literal(ALONE),
        filled=sql.Literal(FILLED),
        unreadable=sql.Literal(UNREADABLE),
        before_key=sql.Literal(TEXT_BEFORE_KEY),
        no_closing_brace=sql.Literal(NO_CLOSING_BRACE),
        table=nexus.table("patients"),
    )


def column_or_null(column: str | None) -> sql.Composable:
    """The column, or NULL if there is none."""
    return sql.Identifier(column) if column else sql.SQL("null")


def select_rows(nexus: Nexus, part: str) -> sql.Composed:
    """The query for every row of the batches or the images, in the columns of their seed."""
    return sql.SQL("select {} from {} order by 1").format(
        read_texts(nexus.mapping, part, nexus.values), nexus.table(part)
    )


def fetch(connection: psycopg.Connection, query: sql.Composed) -> Iterator[tuple[Any, ...]]:
    """The rows of `query`, at most FETCHED of them in memory at a time."""
    with connection.cursor(name="nexus_records") as cursor:
        cursor.itersize = FETCHED
        yield from cursor.execute(query)


def read_part(nexus: Nexus, part: str, query: sql.Composed) -> Iterator[tuple[Any, ...]]:
    """The rows of `query`, which reads this part.

    Raises UnusableInput, with the mapping's key, for a row that its SQL cannot read.
    """
    try:
        yield from fetch(nexus.connection, query)
    except psycopg.DataError as error:
        nexus.connection.rollback()
        raise misfit(
            nexus.mapping,
            f"the SQL of {find_unreadable(nexus, part)} cannot read a row of {nexus.mapping.tables[part].table} "
            f"(SQLSTATE {error.sqlstate})",
        ) from None


def find_unreadable(nexus: Nexus, part: str) -> str:
    """The key of the mapping whose SQL fails on a row of this part, or the part itself if none fails by itself."""
    for key, text in read_sql(nexus.mapping, part).items():
        try:
            nexus.execute(
                "select count(cast({sql} as text)) from {table}",
                sql=expression(text, nexus.values),
                table=nexus.table(part),
            )
        except psycopg.DataError:
            return key
    return part


def decide(patients: Iterable[tuple[Any, ...]], found: Found) -> Iterator[tuple[Any, ...]]:
    """Every patient, with a FileMaker id if exactly one was found."""
    for patient_id, filemaker_ids, is_in_nested_object, is_unreadable in patients:
        problem = ""
        if len(filemaker_ids) > 1:
            problem = f"{len(filemaker_ids)} different FileMaker ids"
        elif filemaker_ids and is_in_nested_object:
            problem = "the FileMaker id is in a nested object of the notes' JSON and may be another person's"
        filemaker_id = filemaker_ids[0] if filemaker_ids and not problem else ""
        found.patients += 1
        found.with_id += bool(filemaker_id)
        if problem:
            found.unclear.append((patient_id, problem))
        if is_unreadable:
            found.unreadable.append(patient_id)
        yield patient_id, filemaker_id


def count_dates(batches: Iterable[tuple[Any, ...]], found: Found) -> Iterator[tuple[Any, ...]]:
    """The same rows; counts the batches whose captured date the build will not be able to read."""
    place = READ_COLUMNS["batches"].index("captured_date")
    for batch in batches:
        found.unreadable_dates += batch[place] is not None and not is_date(batch[place])
        yield batch


def is_date(text: str) -> bool:
    """Whether the build reads this as a date: year, month, day."""
    parts = re.fullmatch(r"\s*([0-9]{4})[-/.]([0-9]{1,2})[-/.]([0-9]{1,2})\s*", text)
    try:
        return parts is not None and bool(date(*map(int, parts.groups())))
    except ValueError:
        return False
