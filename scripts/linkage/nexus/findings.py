"""The staged rows that prevent publishing."""

from typing import NamedTuple

from psycopg import sql

from linkage.nexus.mapping import expression
from linkage.nexus.staging import PARTS, new_rows
from linkage.nexus.tables import Nexus

ROW_KEYS = {"batch": sql.SQL("batch.id"), "image": sql.SQL("image.id, image.recid")}
ROW_NAMES = {"batch": "image batch {}", "image": "image {} (record {})"}
EXPORT_AGAIN = "export Nexus's records and run `dbt build` again"


class Finding(NamedTuple):
    """A row that prevents publishing, and what is wrong with it."""

    row: str
    problem: str


def finding(kind: str, key: tuple[str | int, ...] | list[str | int], problem: str) -> Finding:
    """The finding for the row of this kind with this key, which has the columns of ROW_KEYS."""
    return Finding(ROW_NAMES[kind].format(*key), problem)


def find_other_batches(nexus: Nexus) -> list[Finding]:
    """The staged batches that Nexus holds with other contents, or whose patient it does not have."""
    rows = nexus.execute(
        """
        with batches as (
            select batch.id, concat_ws(
                ' and ',
                case
                    when patient.id is null then 'its patient ' || batch.patient_id || ' is no longer in Nexus'
                end,
                case
                    when held.held_id is null then null
                    when held.held_patient_id is distinct from batch.patient_id
                        then 'Nexus holds it with another patient'
                    when left(held.held_captured_date, 10) is distinct from cast(batch.captured_date as text)
                        then 'Nexus holds it with another captured date'
                    when held.held_import_source is distinct from batch.import_source
                        then 'Nexus holds it with another source'
                end
            ) as problem
            from linkage_staged_batch as batch
            left join {patients} as patient on patient.patient_key = batch.patient_id
            left join {held} as held on held.held_id = batch.id
        )
        select id, problem from batches where problem <> ''
        """,
        patients=nexus.patients(),
        held=nexus.held("batches"),
    )
    return [finding("batch", key, problem) for *key, problem in rows]


def find_other_images(nexus: Nexus) -> list[Finding]:
    """The staged images that Nexus holds with other contents, or under another id."""
    compared = [
        sql.SQL("case when cast(held.{} as text) is distinct from cast({} as text) then {} end").format(
            sql.Identifier(column), filled, sql.Literal(column)
        )
        for column, filled in nexus.filled("images")
        if column not in nexus.mapping.tables["images"].not_compared
    ]
    differing = nexus.execute(
        """
        with images as (
            select image.id, image.recid, concat_ws(', ', {compared}) as differences
            from linkage_staged_image as image
            inner join {held} as held on held.held_id = image.id
        )
        select id, recid, differences from images where differences <> ''
        """,
        compared=sql.SQL(", ").join(compared),
        held=nexus.held("images"),
    ).fetchall()
    under_another_id = nexus.execute(
        """
        with held as (select held_id, held_filemaker_id, held_s3_key from {held} as application),
        unknown as (
            select image.*
            from linkage_staged_image as image
            left join held on held.held_id = image.id
            where held.held_id is null
        )
        select unknown.id, unknown.recid, held.held_id
        from unknown inner join held on held.held_filemaker_id = unknown.filemaker_id
        union
        select unknown.id, unknown.recid, held.held_id
        from unknown inner join held on held.held_s3_key = unknown.s3_key
        union
        select unknown.id, unknown.recid, held.held_id
        from unknown inner join held on held.held_s3_key = unknown.source_key
        """,
        held=nexus.held("images"),
    ).fetchall()
    return [
        *(
            finding("image", key, f"Nexus holds it with another {differences}; {EXPORT_AGAIN}")
            for *key, differences in differing
        ),
        *(
            finding("image", key, f"Nexus already holds it as image {held_id}; {EXPORT_AGAIN}")
            for *key, held_id in under_another_id
        ),
    ]


def find_long_values(nexus: Nexus) -> list[Finding]:
    """The values of new rows that are longer than their column."""
    findings = []
    for kind, part in PARTS.items():
        for column, text in nexus.mapping.tables[part].insert.items():
            limit = nexus.columns[part][column].length
            if limit is None:
                continue
            rows = nexus.execute(
                "select {key}, length(cast({value} as text)) from {rows} where length(cast({value} as text)) > {limit}",
                key=ROW_KEYS[kind],
                value=expression(text, nexus.values),
                rows=new_rows(nexus, kind),
                limit=sql.Literal(limit),
            )
            findings += [
                finding(kind, key, f"its {column} has {length} characters, and Nexus allows {limit}")
                for *key, length in rows
            ]
    return findings
