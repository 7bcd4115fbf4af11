"""Inserting the new rows, and finding the one that the database refuses."""

import psycopg
from psycopg import sql

from linkage.nexus.connection import first_row
from linkage.nexus.findings import ROW_KEYS, Finding, finding
from linkage.nexus.mapping import expression
from linkage.nexus.staging import PARTS, new_rows
from linkage.nexus.tables import Nexus

ROW_ERRORS = (psycopg.IntegrityError, psycopg.DataError, psycopg.errors.RaiseException)


class RowRefused(Exception):
    """The database refuses a row; `finding` says which, and why."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(f"{finding.row}: {finding.problem}")
        self.finding = finding


def insert_new_rows(nexus: Nexus, counts: dict[str, int]) -> int:
    """Insert the new batches, then the new images; the number of batches that were given another image count.

    Raises RowRefused with the first row that the database does not take.
    """
    for kind in PARTS:
        if counts[kind]:
            insert_range(nexus, kind, 1, counts[kind])
    column = nexus.mapping.batches.image_count
    if not column:
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
        column=sql.Identifier(column),
        images=nexus.held("images"),
        id=expression(nexus.mapping.batches.read["id"], nexus.values),
    ).rowcount


def insert_range(nexus: Nexus, kind: str, first: int, last: int) -> None:
    """Insert the new rows with the numbers from `first` to `last`; if one is refused, halve the range to find it.

    Raises RowRefused with the first row that is refused.
    """
    columns, values = zip(*nexus.filled(PARTS[kind]), strict=True)
    try:
        with nexus.connection.transaction():
            inserted = nexus.execute(
                "insert into {table} ({columns}) select {values} from {rows}"
                " where {kind}.number between {first} and {last}",
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
            raise RowRefused(refused(nexus, kind, first, error)) from None
        middle = (first + last) // 2
        insert_range(nexus, kind, first, middle)
        insert_range(nexus, kind, middle + 1, last)


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
