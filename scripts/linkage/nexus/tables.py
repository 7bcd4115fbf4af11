"""The application's tables: whether a mapping fits them, and how it reads and fills them."""

from typing import Any, LiteralString, NamedTuple

import psycopg
from psycopg import sql

from linkage.errors import UnusableInput
from linkage.nexus.mapping import Mapping, expression, read_texts, table_name

INTEGERS = ("smallint", "integer", "bigint")
GIVEN = "if the database gives the ids, leave them out of {part}.insert and add {part}.found_by"


class Column(NamedTuple):
    """A column of the application: its type without length, its length in characters, and whether it needs a value."""

    type: str
    length: int | None
    is_required: bool


class Nexus(NamedTuple):
    """The application's database in a transaction, the mapping, and the values that the mapping's SQL needs."""

    connection: psycopg.Connection
    mapping: Mapping
    columns: dict[str, dict[str, Column]]
    values: dict[str, Any]

    def table(self, part: str) -> sql.Identifier:
        """The table for this part of the mapping."""
        return table_name(self.mapping.tables[part].table)

    def held(self, part: str) -> sql.Composed:
        """The application's rows of this part: all of their columns, and those of READ_COLUMNS as `held_…`."""
        return sql.SQL("(select *, {} from {})").format(
            read_texts(self.mapping, part, self.values, prefix="held_"), self.table(part)
        )

    def patients(self) -> sql.Composed:
        """The application's patients, each with its id as text, `patient_key`."""
        return sql.SQL("(select {id} as id, lower(cast({id} as text)) as patient_key from {table})").format(
            id=sql.Identifier(self.mapping.tables["patients"].id), table=self.table("patients")
        )

    def filled(self, part: str) -> list[tuple[str, sql.Composed]]:
        """For each column of a new row: its name, and SQL for its value in the column's own type."""
        filled = []
        for column, text in self.mapping.tables[part].insert.items():
            value, column_type = expression(text, self.values), self.columns[part][column].type
            if text == "image.batch_id" and column_type in INTEGERS:
                # a batch that does not have its number yet has our UUID: it is NULL here
                value = sql.SQL("substring({} from '^[0-9]+$')").format(value)
            filled.append((column, sql.SQL("cast(cast({} as text) as {})").format(value, sql.SQL(column_type))))
        return filled

    def execute(self, query: LiteralString, **parts: sql.Composable) -> psycopg.Cursor:
        """Run `query` with its `{parts}` filled in."""
        return self.connection.execute(sql.SQL(query).format(**parts))

    def keeps_record_numbers(self) -> bool:
        """Whether the column for FileMaker's image id holds integers, so that it is given the record number."""
        insert = self.mapping.tables["images"].insert
        column = next((name for name, text in insert.items() if text == "image.filemaker_id"), None)
        return column is not None and self.columns["images"][column].type in INTEGERS


def open_nexus(connection: psycopg.Connection, mapping: Mapping, **values: Any) -> Nexus:
    """The application's tables by this mapping; `values` are more variables that its SQL may use.

    Raises UnusableInput if the mapping does not fit the database.
    """
    columns = {part: read_columns(connection, mapping, part) for part in mapping.tables}
    nexus = Nexus(connection, mapping, columns, values)
    check_columns(nexus)
    return nexus._replace(values={**look_up_values(connection, mapping), **values})


def look_up_values(connection: psycopg.Connection, mapping: Mapping) -> dict[str, Any]:
    """The values of the variables in the mapping's SQL: its settings, and its `values` in this database.

    Raises UnusableInput for a value that the database does not have.
    """
    values: dict[str, Any] = dict(mapping.settings)
    for name, query in mapping.values.items():
        row = connection.execute(expression(query, values)).fetchone()
        if row is None or row[0] is None:
            raise UnusableInput(
                f"the mapping {mapping.name} does not fit this database: its value {name} is not found; "
                "run the application's migrations, or choose another mapping"
            )
        values[name] = row[0]
    return values


def check_columns(nexus: Nexus) -> None:
    """Raise UnusableInput if the mapping names columns that a table lacks, or leaves out columns that need a value.

    Also if it fills no column with our id, although the database does not give
    the ids, or one that holds neither UUIDs nor text, or if `not_compared` names
    a column that is not filled.
    """
    problems = []
    if nexus.mapping.tables["patients"].id not in nexus.columns["patients"]:
        problems.append("{0.table} has no column {0.id}".format(nexus.mapping.tables["patients"]))
    for part in ("batches", "images"):
        rows, found = nexus.mapping.tables[part], nexus.columns[part]
        missing = [name for name, column in found.items() if column.is_required and name not in rows.insert]
        named = [*rows.insert, *filter(None, (rows.relink, rows.image_count))]
        extra = [name for name in dict.fromkeys(named) if name not in found]
        unknown = [name for name in rows.not_compared if name not in rows.insert]
        if missing:
            problems.append(f"{rows.table} needs a value for {', '.join(missing)}")
        if extra:
            problems.append(f"{rows.table} has no column {', '.join(extra)}")
        if unknown:
            problems.append(f"{part}.not_compared names {', '.join(unknown)}, which {part}.insert does not fill")
        key = next((name for name, filled in rows.insert.items() if filled in ("batch.id", "image.id")), None)
        if key is None and not rows.found_by:
            problems.append(f"no column of {rows.table} is filled with our id; {GIVEN.format(part=part)}")
        elif key is not None and rows.found_by:
            problems.append(f"{part}.found_by is for ids that the database gives, but {part}.insert fills {key}")
        elif key in found and found[key].type not in ("uuid", "text", "character varying", "bpchar"):
            problems.append(
                f"{rows.table}.{key} is {found[key].type}, but our ids are UUIDs; {GIVEN.format(part=part)}"
            )
    if problems:
        raise misfit(nexus.mapping, "; ".join(problems))


def misfit(mapping: Mapping, problem: str) -> UnusableInput:
    """The error that a mapping does not fit the database: the parts and columns, and what is wrong with them."""
    return UnusableInput(
        f"the mapping {mapping.name} does not fit this database: {problem}; "
        "correct a copy of its file and name it with --mapping"
    )


def read_columns(connection: psycopg.Connection, mapping: Mapping, part: str) -> dict[str, Column]:
    """The columns of the table for this part of the mapping, by name.

    Raises UnusableInput if there is no such table, or if row-level security hides rows of it from this role.
    """
    table = mapping.tables[part].table
    rows = connection.execute(
        """
        select
            attname,
            format_type(atttypid, -1),
            case when atttypid in ('varchar'::regtype, 'bpchar'::regtype) and atttypmod > 4 then atttypmod - 4 end,
            attnotnull and not atthasdef and attidentity = '',
            row_security_active(attrelid)
        from pg_attribute
        where attrelid = to_regclass(%s) and attnum > 0 and not attisdropped
        order by attnum
        """,
        [table_name(table).as_string(connection)],
    ).fetchall()
    if not rows:
        raise UnusableInput(
            f"this database has no table {table}; set NEXUS_DATABASE_URL to Nexus's database, "
            f"or correct a copy of the mapping {mapping.name} and name it with --mapping"
        )
    # The server would say so, too (row_security is off), but in its own language.
    if any(hides_rows for *_, hides_rows in rows):
        raise UnusableInput(
            f"Nexus hides rows of the table {table} from this role by row-level security, and a hidden row would seem "
            "to be missing; give the role BYPASSRLS"
        )
    return {name: Column(*rest) for name, *rest, _ in rows}
