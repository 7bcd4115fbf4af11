"""Publishing in one transaction of Nexus's database: stage, lock, classify, insert (§10 of the contract).

Rows are staged in temporary tables, and what is to be said of them is decided
there, by SQL: this process never holds more than a few of them.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import psycopg
from psycopg import sql

from linkage.nexus.mapping import Column, Mapping, expression, read_texts, table_name

LOCK = 0x545CF1367F554C09  # this project's, in any database: its namespace begins so
STAGED = {
    "batch": {
        "id": "text",
        "patient_id": "text",
        "batch_name": "text",
        "captured_date": "date",
        "filemaker_batch_id": "text",
        "import_source": "text",
    },
    "image": {
        "id": "text",
        "batch_id": "text",
        "s3_key": "text",
        "original_filename": "text",
        "file_size": "bigint",
        "category": "text",
        "filemaker_id": "text",
        "filemaker_type": "text",
        "filemaker_date": "date",
        "recid": "bigint",
        "source_key": "text",
    },
    "relink": {
        "relink_id": "text",
        "relink_patient_id": "text",
        "relink_new_patient_id": "text",
        "relink_image_ids_md5": "text",
    },
}
PARTS = {"batch": "batches", "image": "images"}
ROW_KEYS = {"batch": sql.SQL("batch.id"), "image": sql.SQL("image.id, image.recid")}
ROW_NAMES = {"batch": "image batch {}".format, "image": "image {} (record {})".format}
INTEGERS = ("smallint", "integer", "bigint")
ROW_ERRORS = (psycopg.IntegrityError, psycopg.DataError, psycopg.errors.RaiseException)


class Nexus(NamedTuple):
    """The application's database in a transaction, what our rows mean there, and the values that its SQL needs."""

    connection: psycopg.Connection
    mapping: Mapping
    columns: dict[str, dict[str, Column]]
    values: dict[str, Any]

    def table(self, part: str) -> sql.Identifier:
        """The table of this part of the mapping."""
        return table_name(getattr(self.mapping, part)["table"])

    def held(self, part: str) -> sql.Composed:
        """The rows that the application holds of this part: all of their columns, and those we read as `held_…`."""
        return sql.SQL("(select *, {} from {})").format(
            read_texts(self.mapping, part, self.values, prefix="held_"), self.table(part)
        )

    def patients(self) -> sql.Composed:
        """The application's patients, each with its id as text, `patient_key`."""
        return sql.SQL("(select {id} as id, lower(cast({id} as text)) as patient_key from {table})").format(
            id=sql.Identifier(self.mapping.patients["id"]), table=self.table("patients")
        )

    def filled(self, part: str) -> list[tuple[str, sql.Composable]]:
        """What each column of a new row is filled with: the name, and SQL in the column's own type."""
        return [
            (
                column,
                sql.SQL("cast(cast({} as text) as {})").format(
                    expression(text, self.values), sql.SQL(self.columns[part][column].type)
                ),
            )
            for column, text in getattr(self.mapping, part)["insert"].items()
        ]

    def execute(self, query: str, **parts: sql.Composable) -> psycopg.Cursor:
        """Run `query` with its `{parts}` filled in."""
        return self.connection.execute(sql.SQL(query).format(**parts))


class Finding(NamedTuple):
    """A row because of which nothing is inserted, and what is the matter with it."""

    row: str
    problem: str


class RowRefused(Exception):
    """The database refuses a row; `finding` says which, and why."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(f"{finding.row}: {finding.problem}")
        self.finding = finding


def begin(connection: psycopg.Connection, tell: Any) -> Any:
    """Wait for other runs to end, then return the moment of this one: the timestamp that all of its rows carry.

    `tell` is called with a sentence if there is somebody to wait for.
    """
    (is_free,) = connection.execute("select pg_try_advisory_xact_lock(%s)", [LOCK]).fetchone()
    if not is_free:
        tell("another run is publishing: waiting until it ends")
        connection.execute("select pg_advisory_xact_lock(%s)", [LOCK])
    # Errors name their statement's rows, not the commit.
    connection.execute("set constraints all immediate")
    return connection.execute("select clock_timestamp()").fetchone()[0]


def keeps_record_numbers(nexus: Nexus) -> bool:
    """Whether the column for FileMaker's image id holds integers, so that it is given the record number."""
    column = next((name for name, text in nexus.mapping.images["insert"].items() if text == "image.filemaker_id"), None)
    return column is not None and nexus.columns["images"][column].type in INTEGERS


def stage(connection: psycopg.Connection, kind: str, rows: Iterable[tuple]) -> int:
    """Put `rows` into a temporary table, in the columns of STAGED[kind]; how many there were."""
    columns = sql.SQL(", ").join(map(sql.Identifier, STAGED[kind]))
    table = sql.Identifier(f"linkage_staged_{kind}")
    types = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(data_type)) for name, data_type in STAGED[kind].items()
    )
    connection.execute(sql.SQL("create temporary table {} ({}) on commit drop").format(table, types))
    count = 0
    with (
        connection.cursor() as cursor,
        cursor.copy(sql.SQL("copy {} ({}) from stdin").format(table, columns)) as copy,
    ):
        for row in rows:
            copy.write_row(row)
            count += 1
    connection.execute(sql.SQL("analyze {}").format(table))
    return count


def find_other_batches(nexus: Nexus) -> list[Finding]:
    """The staged batches that Nexus holds otherwise, or whose patient it does not have."""
    rows = nexus.execute(
        """
        with batches as (
            select batch.id, concat_ws(
                ' and ',
                case when patient.id is null then 'its patient ' || batch.patient_id || ' is not in Nexus any more' end,
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
    return [Finding(ROW_NAMES["batch"](batch_id), problem) for batch_id, problem in rows]


def find_other_images(nexus: Nexus) -> list[Finding]:
    """The staged images that Nexus holds with other content, or under another id."""
    compared = [
        sql.SQL("case when cast(held.{} as text) is distinct from cast({} as text) then {} end").format(
            sql.Identifier(column), filled, sql.Literal(column)
        )
        for column, filled in nexus.filled("images")
        if column not in nexus.mapping.images.get("not_compared", [])
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
    known_otherwise = nexus.execute(
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
    again = "export Nexus's records and build again"
    return [
        *(
            Finding(ROW_NAMES["image"](*row), f"Nexus holds it with another {differences}; {again}")
            for *row, differences in differing
        ),
        *(
            Finding(ROW_NAMES["image"](*row), f"Nexus holds it already, as image {held_id}; {again}")
            for *row, held_id in known_otherwise
        ),
    ]


def choose_new_rows(nexus: Nexus) -> dict[str, int]:
    """Number the rows that Nexus does not hold, in linkage_new_batch and linkage_new_image; how many there are."""
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
    return {kind: count_rows(nexus.connection, f"linkage_new_{kind}") for kind in PARTS}


def count_rows(connection: psycopg.Connection, table: str) -> int:
    """How many rows a temporary table has."""
    return connection.execute(sql.SQL("select count(*) from {}").format(sql.Identifier(table))).fetchone()[0]


def find_long_values(nexus: Nexus) -> list[Finding]:
    """The values of new rows that are longer than their column."""
    findings = []
    for kind, part in PARTS.items():
        for column, text in getattr(nexus.mapping, part)["insert"].items():
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
                Finding(ROW_NAMES[kind](*key), f"its {column} has {length} characters, and Nexus takes {limit}")
                for *key, length in rows
            ]
    return findings


def new_rows(nexus: Nexus, kind: str) -> sql.Composable:
    """The new rows as the mapping's SQL sees them: `image`, or `batch` with its `patient`."""
    if kind == "image":
        return sql.SQL("linkage_new_image as image")
    return sql.SQL(
        "linkage_new_batch as batch inner join {} as patient on patient.patient_key = batch.patient_id"
    ).format(nexus.patients())


def insert_new_rows(nexus: Nexus, counts: dict[str, int]) -> int:
    """Insert the new batches, then the new images; how many batches were given another image count.

    Raises RowRefused with the first row that the database does not take.
    """
    for kind in PARTS:
        if counts[kind]:
            insert_range(nexus, kind, 1, counts[kind])
    column = nexus.mapping.batches.get("image_count")
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
        id=expression(nexus.mapping.batches["read"]["id"], nexus.values),
    ).rowcount


def insert_range(nexus: Nexus, kind: str, first: int, last: int) -> None:
    """Insert the new rows with the numbers from `first` to `last`; where one is refused, look for it by halves.

    Raises RowRefused with the first that is.
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
                kind=sql.SQL(kind),
                first=sql.Literal(first),
                last=sql.Literal(last),
            )
            # fewer, where a patient has just been deleted, or a trigger leaves rows out
            if inserted.rowcount <= last - first:
                raise psycopg.IntegrityError
    except ROW_ERRORS as error:
        if first == last:
            raise RowRefused(refused(nexus, kind, first, error)) from None
        middle = (first + last) // 2
        insert_range(nexus, kind, first, middle)
        insert_range(nexus, kind, middle + 1, last)


def refused(nexus: Nexus, kind: str, number: int, error: psycopg.Error) -> Finding:
    """The row of this number, and which rule of the database refuses it; none of its values."""
    key = nexus.execute(
        "select {key} from {rows} as {kind} where {kind}.number = {number}",
        key=ROW_KEYS[kind],
        rows=sql.Identifier(f"linkage_new_{kind}"),
        kind=sql.SQL(kind),
        number=sql.Literal(number),
    ).fetchone()
    return Finding(ROW_NAMES[kind](*key), f"the database refuses it ({broken_rule(error)})")


def broken_rule(error: psycopg.Error) -> str:
    """The constraint, the column or the kind of error because of which the database refuses a row."""
    return error.diag.constraint_name or error.diag.column_name or type(error).__name__


def relink(nexus: Nexus) -> tuple[int, list[Finding]]:
    """Give the staged batches their new patients, where all is still as it was exported; how many, and the others.

    A batch that has its new patient already is neither.
    """
    findings = [
        Finding(ROW_NAMES["batch"](batch_id), f"it cannot be relinked: {problem}")
        for batch_id, problem in nexus.execute(
            """
            with images_in_batches as (
                select held_batch_id, md5(string_agg(held_id, ',' order by held_id collate "C")) as image_ids_md5
                from {images} as images
                where held_batch_id in (select relink_id from linkage_staged_relink)
                group by held_batch_id
            )
            select relink_id, case
                when batches.held_id is null then 'Nexus does not have it any more'
                when new_patient.id is null
                    then 'its patient ' || relink_new_patient_id || ' is not in Nexus any more'
                when batches.held_patient_id = relink_new_patient_id then null
                when batches.held_patient_id is distinct from relink_patient_id or patient.id is not null
                    then 'its patient is another than was exported, or is there again; a person has to look at it'
                when images_in_batches.image_ids_md5 is distinct from relink_image_ids_md5
                    then 'its images are others than were exported; export Nexus''s records and build again'
            end as problem
            from linkage_staged_relink
            left join {batches} as batches on batches.held_id = relink_id
            left join {patients} as patient on patient.patient_key = relink_patient_id
            left join {patients} as new_patient on new_patient.patient_key = relink_new_patient_id
            left join images_in_batches on images_in_batches.held_batch_id = relink_id
            """,
            images=nexus.held("images"),
            batches=nexus.held("batches"),
            patients=nexus.patients(),
        )
        if problem
    ]
    if findings:
        return 0, findings
    try:
        with nexus.connection.transaction():
            return give_patients(nexus, sql.SQL("relink_id")), []
    except ROW_ERRORS:
        return 0, find_refused_relinks(nexus)


def find_refused_relinks(nexus: Nexus) -> list[Finding]:
    """The staged batches to which the database does not let their new patients be given, tried one after the other."""
    findings = []
    for (batch_id,) in nexus.execute("select relink_id from linkage_staged_relink").fetchall():
        try:
            with nexus.connection.transaction():
                give_patients(nexus, sql.Literal(batch_id))
        except ROW_ERRORS as error:
            problem = f"it cannot be relinked: the database refuses it ({broken_rule(error)})"
            findings.append(Finding(ROW_NAMES["batch"](batch_id), problem))
    return findings


def give_patients(nexus: Nexus, batch_id: sql.Composable) -> int:
    """Give the staged batches with this id their new patients; how many."""
    column = nexus.mapping.batches["relink"]
    read = nexus.mapping.batches["read"]
    return nexus.execute(
        """
        update {table} set {column} = cast(relink_new_patient_id as {type})
        from linkage_staged_relink
        where
            relink_id = {batch_id}
            and lower(cast({id} as text)) = relink_id
            and lower(cast({patient_id} as text)) = relink_patient_id
        """,
        batch_id=batch_id,
        table=nexus.table("batches"),
        column=sql.Identifier(column),
        type=sql.SQL(nexus.columns["batches"][column].type),
        id=expression(read["id"], nexus.values),
        patient_id=expression(read["patient_id"], nexus.values),
    ).rowcount
