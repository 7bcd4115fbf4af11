"""Our rows in temporary tables of Nexus's database, where SQL decides what becomes of them.

So this process never holds more than a few rows at a time.
"""

from collections.abc import Iterable
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from linkage.errors import UnusableInput
from linkage.nexus.connection import first_row
from linkage.nexus.tables import Nexus

# By kind of row: the columns of its temporary table. The prefix keeps those of `relink` apart from
# the application's columns, which a mapping names without their table.
STAGED = {
    "batch": ("id", "patient_id", "batch_name", "captured_date", "filemaker_batch_id", "import_source"),
    "image": (
        "id", "batch_id", "s3_key", "original_filename", "file_size", "category", "filemaker_id", "filemaker_type",
        "filemaker_date", "recid", "source_key",
    ),
    "relink": ("relink_id", "relink_patient_id", "relink_new_patient_id", "relink_image_ids_md5"),
}  # fmt: skip
TYPES = {"captured_date": "date", "filemaker_date": "date", "file_size": "bigint", "recid": "bigint"}  # others: text
# How a row of ours, `our`, is found in Nexus, `held`, where the database gives the ids (`found_by` of the mapping).
IS_SAME: dict[str, LiteralString] = {
    "batch": "held.held_patient_id = our.patient_id and held.held_import_source = our.import_source"
    " and left(held.held_captured_date, 10) = cast(our.captured_date as text)",
    "image": "held.held_s3_key = our.s3_key",
}
PARTS = {"batch": "batches", "image": "images"}  # of the mapping, by kind of row


def mart_columns(nexus: Nexus, kind: str) -> list[str]:
    """The columns of our marts with which the staged table of this kind is filled, in order."""
    columns = [column.removeprefix("relink_") for column in STAGED[kind]]
    if nexus.keeps_record_numbers():
        return ["recid" if column == "filemaker_id" else column for column in columns]
    return columns


def stage(nexus: Nexus, kind: str, rows: Iterable[tuple[Any, ...]]) -> int:
    """Put `rows`, in the order of `mart_columns`, into the temporary table of this kind; the number of rows."""
    table = sql.Identifier(f"linkage_staged_{kind}")
    columns = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(column), sql.SQL(TYPES.get(column, "text"))) for column in STAGED[kind]
    )
    nexus.execute("create temporary table {table} ({columns}) on commit drop", table=table, columns=columns)
    count = 0
    with (
        nexus.connection.cursor() as cursor,
        cursor.copy(sql.SQL("copy {} from stdin").format(table)) as copy,
    ):
        for row in rows:
            try:
                copy.write_row(row)
            except psycopg.DataError:
                raise UnusableInput(name_unusable(kind, row)) from None
            count += 1
    nexus.execute("analyze {table}", table=table)
    return count


def name_unusable(kind: str, row: tuple[Any, ...]) -> str:
    """The sentence about a row with a character that no text of PostgreSQL's can have."""
    columns = [column for column, value in zip(STAGED[kind], row, strict=True) if "\0" in str(value)]
    number = f" (record {row[STAGED[kind].index('recid')]})" if "recid" in STAGED[kind] else ""
    return (
        f"{kind} {row[0]}{number}: its {', '.join(columns)} has a NUL character, which PostgreSQL cannot store; "
        "correct it where it comes from and run `dbt build` again"
    )


def find_held_ids(nexus: Nexus) -> None:
    """Give staged rows that Nexus holds under an id of its own that id, and the staged images that of their batch.

    Of several batches it is the one that the build, too, would choose. A row whose id Nexus holds keeps it.
    """
    for kind, part in PARTS.items():
        if not nexus.mapping.tables[part].found_by:
            continue
        parts = {"staged": sql.Identifier(f"linkage_staged_{kind}"), "found": sql.Identifier(f"linkage_found_{kind}")}
        nexus.execute(
            """
            create temporary table {found} on commit drop as
            select our.id as our_id, min(held.held_id collate "C") collate "default" as id
            from {staged} as our
            inner join {held} as held on {is_same}
            where not exists (select from {held} as known where known.held_id = our.id)
            group by our.id
            """,
            held=nexus.held(part),
            is_same=sql.SQL(IS_SAME[kind]),
            **parts,
        )
        nexus.execute("update {staged} as our set id = found.id from {found} as found where our_id = our.id", **parts)
        if kind == "batch":
            nexus.execute(
                "update linkage_staged_image as our set batch_id = found.id from {found} as found"
                " where our_id = our.batch_id",
                **parts,
            )


def choose_new_rows(nexus: Nexus) -> dict[str, int]:
    """Put the rows that Nexus does not hold, numbered from 1, into linkage_new_batch and linkage_new_image.

    Returns their numbers by kind. Where the database gives the ids, rows that
    were published before are recognised first.
    """
    find_held_ids(nexus)
    nexus.execute(
        """
        create temporary table linkage_new_image on commit drop as
        with images_in_batches as (
            select held_batch_id, count(*) as image_count from {held} as application group by held_batch_id
        )
        select
            image.*,
            coalesce(images_in_batches.image_count, 0) as held_images,
            row_number() over (partition by image.batch_id order by image.recid) - 1 as position,
            row_number() over (order by image.batch_id, image.recid) as number
        from linkage_staged_image as image
        left join {held} as held on held.held_id = image.id
        left join images_in_batches on images_in_batches.held_batch_id = image.batch_id
        where held.held_id is null
        """,
        held=nexus.held("images"),
    )
    nexus.execute(
        """
        create temporary table linkage_new_batch on commit drop as
        with images_in_batches as (
            select batch_id, count(*) as image_count from linkage_new_image group by batch_id
        )
        select
            batch.*,
            images_in_batches.image_count,
            row_number() over (order by batch.id) as number
        from linkage_staged_batch as batch
        inner join images_in_batches on images_in_batches.batch_id = batch.id
        left join {held} as held on held.held_id = batch.id
        where held.held_id is null
        """,
        held=nexus.held("batches"),
    )
    nexus.execute("analyze linkage_new_image, linkage_new_batch")
    counts = nexus.execute("select (select count(*) from linkage_new_batch), (select count(*) from linkage_new_image)")
    return dict(zip(PARTS, first_row(counts), strict=True))


def new_rows(nexus: Nexus, kind: str) -> sql.Composable:
    """The new rows as the mapping's SQL names them: `image`, or `batch` with its `patient`."""
    if kind == "image":
        return sql.SQL("linkage_new_image as image")
    return sql.SQL(
        "linkage_new_batch as batch inner join {} as patient on patient.patient_key = batch.patient_id"
    ).format(nexus.patients())
