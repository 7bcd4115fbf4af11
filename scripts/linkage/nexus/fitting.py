"""Whether a mapping's SQL can work in this database, found without writing anything and without a row of ours."""

import re
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from linkage.nexus.connection import first_row
from linkage.nexus.mapping import READ_COLUMNS, Mapping, Texts, expression, read_texts
from linkage.nexus.staging import PARTS, STAGED, TYPES
from linkage.nexus.tables import Nexus, misfit
from linkage.settings import project_var

# A row of ours by kind, as the mapping's SQL sees it: the columns of the temporary tables, and those that choosing
# the new rows adds.
SAMPLE: dict[str, dict[str, str | int | None]] = {
    "batch": {
        "id": "545cf136-7f55-3c09-8cce-a53086e493a6",
        "batch_name": "5 Nov 2016",
        "captured_date": "2016-11-05",
        "filemaker_batch_id": None,
        "image_count": 1,
        "number": 1,
    },
    "image": {
        "id": "545cf136-7f55-3c09-8cce-a53086e493a7",
        "batch_id": "545cf136-7f55-3c09-8cce-a53086e493a6",
        "original_filename": "228.jpg",
        "file_size": 1000,
        "category": "Dorsal",
        "filemaker_id": "545cf136-7f55-3c09-8cce-a53086e493a8",
        "filemaker_type": "Dorsal",
        "filemaker_date": "2016-11-05",
        "recid": 228,
        "source_key": "filemaker-import/images-bulk-dump/228.jpg",
        "held_images": 0,
        "position": 0,
        "number": 1,
    },
}
# Whether a new row reads as what it was made of, by column of `read`.
IS_READ: dict[str, dict[str, LiteralString]] = {
    "batch": {
        "patient_id": "held_patient_id is not distinct from (linkage_our).patient_id",
        "captured_date": "held_captured_date = cast((linkage_our).captured_date as text)",
        "import_source": "held_import_source = (linkage_our).import_source",
    },
    "image": {
        "s3_key": "held_s3_key = (linkage_our).s3_key",
        "filemaker_id": "held_filemaker_id in ((linkage_our).filemaker_id, cast((linkage_our).recid as text))",
    },
}
# What a made-up row, or a transaction that only reads, cannot show: for example a domain's rule, or nextval().
UNTESTABLE = (
    psycopg.DataError,
    psycopg.IntegrityError,
    psycopg.errors.InsufficientPrivilege,
    psycopg.errors.RaiseException,
    psycopg.errors.ReadOnlySqlTransaction,
)
SAMPLE_TYPES = TYPES | dict.fromkeys(("image_count", "number", "held_images", "position"), "bigint")


def check_sql(nexus: Nexus) -> list[str]:
    """Have the server run the mapping's SQL: `read` on the tables without their rows, `insert` on a sample row.

    Returns a sentence for each privilege that publishing needs and this role does not have.

    Raises UnusableInput for the first SQL that the server does not understand or whose value does not fit its column.
    """
    tables = nexus.mapping.tables
    for part in tables:
        for key, text in read_sql(nexus.mapping, part).items():
            query = sql.SQL("select cast({} as text) from {} where false")
            try_sql(nexus, key, query.format(expression(text, nexus.values), nexus.table(part)))
    missing = [privilege for kind in PARTS for privilege in check_insert(nexus, kind)]
    for kind, part in PARTS.items():
        if tables[part].found_by:
            check_found_again(nexus, kind)
    return missing


def read_sql(mapping: Mapping, part: str) -> Texts:
    """The SQL with which a row of this part is read, by key of the mapping."""
    rows = mapping.tables[part]
    texts = {f"{part}.read.{column}": rows.read[column] for column in READ_COLUMNS.get(part, ())}
    return texts | ({f"{part}.filemaker_id": rows.filemaker_id} if rows.filemaker_id else {})


def check_insert(nexus: Nexus, kind: str) -> list[str]:
    """Fill each column of a new row of this kind; see check_sql."""
    part, refused = PARTS[kind], []
    for column, filled in nexus.filled(part):
        query = sql.SQL("select {} from {}").format(filled, sample_rows(nexus, kind))
        try:
            try_sql(nexus, f"{part}.insert.{column}", query, nexus.columns[part][column].type)
        except psycopg.errors.InsufficientPrivilege:
            refused.append(f"to read what {part}.insert.{column} reads")
    privileges = [(column, "insert") for column in nexus.mapping.tables[part].insert]
    if nexus.mapping.tables[part].image_count:
        privileges.append((nexus.mapping.tables[part].image_count or "", "update"))
    table = nexus.table(part).as_string(nexus.connection)
    for column, privilege in privileges:
        cursor = nexus.connection.execute("select has_column_privilege(%s, %s, %s)", [table, column, privilege])
        if not first_row(cursor)[0]:
            refused.append(f"to {privilege} {nexus.mapping.tables[part].table}.{column}")
    return refused


def check_found_again(nexus: Nexus, kind: str) -> None:
    """Raise UnusableInput if `read` does not read from a new row of this kind that by which it must be found again.

    For an image that includes FileMaker's id, by which the next build recognises it.
    """
    part = PARTS[kind]
    filled = dict(nexus.filled(part))
    row = [
        sql.SQL("{} as {}").format(
            filled.get(name, sql.SQL("cast(null as {})").format(sql.SQL(column.type))), sql.Identifier(name)
        )
        for name, column in nexus.columns[part].items()
    ]
    query = sql.SQL("select {} from (select *, {} from (select {}, {} from {}) as {}) as held").format(
        sql.SQL(", ").join(map(sql.SQL, IS_READ[kind].values())),
        read_texts(nexus.mapping, part, nexus.values, prefix="held_"),
        sql.SQL(", ").join(row),
        sql.SQL("{kind} as linkage_our").format(kind=sql.Identifier(kind)),
        sample_rows(nexus, kind),
        sql.Identifier(nexus.mapping.tables[part].table.split(".")[-1]),
    )
    try:
        with nexus.connection.transaction():
            answers = first_row(nexus.connection.execute(query))
    except UNTESTABLE:
        return  # publishing looks for every row that it has inserted
    lost = [column for column, is_read in zip(IS_READ[kind], answers, strict=True) if not is_read]
    if lost:
        raise misfit(
            nexus.mapping,
            f"{part}.read does not read {' and '.join(lost)} as {part}.insert fills it, so that what was published "
            "could not be found again",
        )


def try_sql(nexus: Nexus, key: str, query: sql.Composed, column_type: str | None = None) -> None:
    """Run a query with the SQL that the mapping has under `key`, whose values go into a column of this type.

    Raises UnusableInput if it cannot work, and InsufficientPrivilege if this role may not run it.
    """
    try:
        with nexus.connection.transaction():
            nexus.connection.execute(query)
    except psycopg.errors.InsufficientPrivilege:
        raise
    except psycopg.ProgrammingError as error:
        raise misfit(nexus.mapping, f"{key}: {error.diag.message_primary}") from None
    except psycopg.DataError as error:
        # an enumeration or a domain may well lack the sample's values
        if column_type is None or is_base_type(nexus, column_type):
            fault = f"gives a value that is not a {column_type}" if column_type else "cannot be computed"
            raise misfit(nexus.mapping, f"{key} {fault} (SQLSTATE {error.sqlstate})") from None
    except UNTESTABLE:
        pass  # the server has understood the SQL


def is_base_type(nexus: Nexus, column_type: str) -> bool:
    """Whether a type of the database is neither an enumeration nor a domain."""
    query = "select typtype = 'b' from pg_type where oid = to_regtype(%s)"
    return bool(first_row(nexus.connection.execute(query, [column_type]))[0])


def sample_key(image: dict[str, Any]) -> str:
    """The key of the sample's copy, as `destination_key_template` in dbt_project.yml makes it."""
    fields = image | {"patient_id": "1", "captured_date": image["filemaker_date"], "extension": "jpg"}
    return re.sub(
        r"{([a-z_]+)}", lambda found: str(fields.get(found[1], found[0])), project_var("destination_key_template")
    )


def sample_rows(nexus: Nexus, kind: str) -> sql.Composed:
    """One row of ours, as `image`, or as `batch` with a patient of the application, if there is one, as `patient`."""
    values: dict[str, Any] = SAMPLE[kind] | nexus.mapping.settings
    if kind == "batch":
        values["batch_name"] += values["batch_name_suffix"]
    else:
        values["s3_key"] = sample_key(values)
        if nexus.keeps_record_numbers():
            values["filemaker_id"] = values["recid"]
    columns: dict[str, sql.Composable] = {
        column: sql.Literal(values.get(column)) for column in [*STAGED[kind], *SAMPLE[kind]]
    }
    if kind == "batch":
        columns["patient_id"] = sql.SQL("patient.patient_key")
    row = sql.SQL(", ").join(
        sql.SQL("cast({} as {}) as {}").format(value, sql.SQL(SAMPLE_TYPES.get(column, "text")), sql.Identifier(column))
        for column, value in columns.items()
    )
    # `offset 0`: the sample's values must not become constants, which the planner would try in every branch of a `case`
    if kind == "image":
        return sql.SQL("(select {} offset 0) as image").format(row)
    return sql.SQL(
        "(select) as one left join (select * from {} as every limit 1) as patient on true"
        " cross join lateral (select {} offset 0) as batch"
    ).format(nexus.patients(), row)
