"""Inserting the new rows, and finding the one that the database refuses."""

from collections.abc import Callable

import psycopg
from psycopg import sql

from linkage.nexus.connection import first_row, savepoint
from linkage.nexus.findings import ROW_KEYS, Finding, finding
from linkage.nexus.given_ids import take_given_ids
from linkage.nexus.mapping import expression
from linkage.nexus.postgres_errors import broken_rule, concerns_row
from linkage.nexus.staging import PARTS, new_rows
from linkage.nexus.tables import Nexus

Statement = Callable[[int, int], sql.Composed]  # changes each of the rows whose numbers are in a range


def insert_new_rows(nexus: Nexus, counts: dict[str, int]) -> list[Finding]:
    """Insert the new batches, then the new images; returns the first row that the database refuses, if any.

    `counts` are the numbers of new rows by kind. After a refusal the transaction must be rolled back. Afterwards the
    new rows have the ids that Nexus holds them under; rows that cannot be found there again are returned, too.

    Raises psycopg.Error for what is due to no row, such as a missing privilege.
    """
    for kind in PARTS:
        refusal = change_rows(nexus, insert_statement(nexus, kind), counts[kind])
        if refusal:
            number, rule = refusal
            return [refused(kind, row_key(nexus, ROW_KEYS[kind], f"linkage_new_{kind}", kind, number), rule)]
        if findings := take_given_ids(nexus, kind):
            return findings
    return []


def insert_statement(nexus: Nexus, kind: str) -> Statement:
    """The statement that inserts the new rows of this kind whose numbers are in a range."""
    columns, values = zip(*nexus.filled(PARTS[kind]), strict=True)
    return lambda first, last: sql.SQL(
        "insert into {table} ({columns}) select {values} from {rows}"
        " where {kind}.number between {first} and {last} order by {kind}.number"
    ).format(
        table=nexus.table(PARTS[kind]),
        columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
        values=sql.SQL(", ").join(values),
        rows=new_rows(nexus, kind),
        kind=sql.Identifier(kind),
        first=sql.Literal(first),
        last=sql.Literal(last),
    )


def change_rows(nexus: Nexus, statement: Statement, count: int) -> tuple[int, str] | None:
    """Change the rows that are numbered from 1 to `count`.

    Returns the number of the first row that the database refuses, and the rule that it violates; None if there is none.

    Raises psycopg.Error for what is due to no row, such as a missing privilege.
    """
    if not count:
        return None
    nexus.execute("explain {statement}", statement=statement(1, count))
    return change_range(nexus.connection, statement, 1, count)


def change_range(connection: psycopg.Connection, statement: Statement, first: int, last: int) -> tuple[int, str] | None:
    """Like `change_rows`, for a range; a row that is refused is found by halves, whatever the error says."""
    try:
        with savepoint(connection):
            # fewer, if another session has just deleted or changed one, or a trigger leaves it out
            if connection.execute(statement(first, last)).rowcount <= last - first:
                raise psycopg.errors.IntegrityConstraintViolation
    except psycopg.Error as error:
        if not concerns_row(error):
            raise
        if first == last:
            return first, broken_rule(error)
        middle = (first + last) // 2
        return change_range(connection, statement, first, middle) or change_range(
            connection, statement, middle + 1, last
        )
    return None


def row_key(nexus: Nexus, key: sql.SQL, table: str, alias: str, number: int) -> tuple[str | int, ...]:
    """The key of the row with this number in a table of ours, as the SQL `key` selects it; none of its values."""
    return first_row(
        nexus.execute(
            "select {key} from {table} as {alias} where {alias}.number = {number}",
            key=key,
            table=sql.Identifier(table),
            alias=sql.Identifier(alias),
            number=sql.Literal(number),
        )
    )


def refused(kind: str, key: tuple[str | int, ...], rule: str) -> Finding:
    """The finding for a row that the database refuses because of this rule."""
    return finding(kind, key, f"the database refuses it ({rule})")


def update_image_counts(nexus: Nexus) -> tuple[int, list[Finding]]:
    """Correct the image count of the batches with new images, if there is one.

    Returns how many were wrong, and the first batch that the database refuses to change, if any.

    Raises psycopg.Error for what is due to no batch, such as a missing privilege.
    """
    batches = nexus.mapping.tables["batches"]
    if not batches.image_count:
        return 0, []
    column = sql.Identifier(batches.image_count)
    nexus.execute(
        """
        create temporary table linkage_count on commit drop as
        with counted as (
            select held_batch_id as counted_id, count(*) as counted_images
            from {images} as images
            where held_batch_id in (select batch_id from linkage_new_image)
            group by held_batch_id
        )
        select counted.*, row_number() over (order by counted_id) as number
        from counted
        inner join {batches} as batches on batches.held_id = counted_id
        where batches.{column} is distinct from counted_images
        """,
        images=nexus.held("images"),
        batches=nexus.held("batches"),
        column=column,
    )
    (wrong,) = first_row(nexus.execute("select count(*) from linkage_count"))
    refusal = change_rows(
        nexus,
        lambda first, last: sql.SQL(
            """
            update {table} set {column} = counted_images
            from linkage_count
            where counted_id = lower(cast({id} as text)) and linkage_count.number between {first} and {last}
            """
        ).format(
            table=nexus.table("batches"),
            column=column,
            id=expression(batches.read["id"], nexus.values),
            first=sql.Literal(first),
            last=sql.Literal(last),
        ),
        wrong,
    )
    if not refusal:
        return wrong, []
    number, rule = refusal
    return 0, [refused("batch", row_key(nexus, sql.SQL("counted_id"), "linkage_count", "counted", number), rule)]
