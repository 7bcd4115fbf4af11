"""Inserting the new rows, and finding the one that the database refuses."""

import psycopg
from psycopg import sql

from linkage.nexus.connection import first_row
from linkage.nexus.findings import ROW_KEYS, Finding, finding
from linkage.nexus.given_ids import take_given_ids
from linkage.nexus.mapping import expression
from linkage.nexus.staging import PARTS, new_rows
from linkage.nexus.tables import Nexus

ROW_ERRORS = (psycopg.IntegrityError, psycopg.DataError, psycopg.errors.RaiseException)


def insert_new_rows(nexus: Nexus, counts: dict[str, int]) -> list[Finding]:
    """Insert the new batches, then the new images; returns the first row that the database refuses, if any.

    `counts` are the numbers of new rows by kind. After a refusal the transaction must be rolled back. Afterwards the
    new rows have the ids that Nexus holds them under; rows that cannot be found there again are returned, too.
    """
    for kind in PARTS:
        if counts[kind] and (refusal := insert_range(nexus, kind, 1, counts[kind])):
            return [refusal]
        if findings := take_given_ids(nexus, kind):
            return findings
    return []


def insert_range(nexus: Nexus, kind: str, first: int, last: int) -> Finding | None:
    """Insert the new rows with the numbers from `first` to `last`; if one is refused, halve the range to find it."""
    columns, values = zip(*nexus.filled(PARTS[kind]), strict=True)
    try:
        with nexus.connection.transaction():
            inserted = nexus.execute(
                "insert into {table} ({columns}) select {values} from {rows}"
                " where {kind}.number between {first} and {last} order by {kind}.number",
                table=nexus.table(PARTS[kind]),
                columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
                values=sql.SQL(", ").join(values),
                rows=new_rows(nexus, kind),
                kind=sql.Identifier(kind),
                first=sql.Literal(first),
                last=sql.Literal(last),
            )
            # fewer, if a patient has just been deleted, or a trigger leaves rows out
            if inserted.rowcount <= last - first:
                raise psycopg.IntegrityError
    except ROW_ERRORS as error:
        if first == last:
            return refused(nexus, kind, first, error)
        middle = (first + last) // 2
        return insert_range(nexus, kind, first, middle) or insert_range(nexus, kind, middle + 1, last)
    return None


def refused(nexus: Nexus, kind: str, number: int, error: psycopg.Error) -> Finding:
    """The new row with this number, and which rule of the database refuses it; none of its values."""
    key = first_row(
        nexus.execute(
            "select {key} from {rows} as {kind} where {kind}.number = {number}",
            key=ROW_KEYS[kind],
            rows=sql.Identifier(f"linkage_new_{kind}"),
            kind=sql.Identifier(kind),
            number=sql.Literal(number),
        )
    )
    return finding(kind, key, f"the database refuses it ({broken_rule(error)})")


def broken_rule(error: psycopg.Error) -> str:
    """The constraint or column that a refused row violates, or the kind of error."""
    return error.diag.constraint_name or error.diag.column_name or type(error).__name__


def update_image_counts(nexus: Nexus) -> int:
    """Correct the image count of the batches with new images, if there is one; returns how many were wrong."""
    batches = nexus.mapping.tables["batches"]
    if not batches.image_count:
        return 0
    return nexus.execute(
        """
        update {table} set {column} = counted_images
        from (
            select held_batch_id as counted_id, count(*) as counted_images
            from {images} as images
            where held_batch_id in (select batch_id from linkage_new_image)
            group by held_batch_id
        ) as counted
        where
            counted_id = lower(cast({id} as text))
            and {column} is distinct from counted_images
        """,
        table=nexus.table("batches"),
        column=sql.Identifier(batches.image_count),
        images=nexus.held("images"),
        id=expression(batches.read["id"], nexus.values),
    ).rowcount
