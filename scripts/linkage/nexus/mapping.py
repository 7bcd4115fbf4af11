"""How our marts and an application's tables belong together: the files in `scripts/mappings/`."""

import re
from collections.abc import Mapping as Dictionary
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from psycopg import sql

from linkage.errors import UnusableInput
from linkage.paths import PROJECT_ROOT
from linkage.settings import project_var

FOLDER = PROJECT_ROOT / "scripts" / "mappings"
SCHEMA = "schema.yml"
VARIABLE = re.compile(r"(?<![:\w]):([a-z_]+)")
READ_COLUMNS = {
    "batches": ("id", "patient_id", "batch_name", "captured_date", "import_source"),
    "images": ("id", "batch_id", "filemaker_id", "s3_key"),
}
IDS = ("id", "patient_id", "batch_id", "filemaker_id")


@dataclass(frozen=True)
class Mapping:
    """One mapping file (see `scripts/mappings/plan.yml`); `settings` are the variables that its SQL may use."""

    name: str
    values: dict[str, str]
    patients: dict[str, Any]
    batches: dict[str, Any]
    images: dict[str, Any]
    settings: dict[str, Any]


class Column(NamedTuple):
    """A column of the application: its type without length, its length in characters, and what it demands."""

    type: str
    length: int | None
    is_required: bool


def read_mapping(name: str) -> Mapping:
    """The mapping of this name in `scripts/mappings/`, or in the file of this name.

    Raises UnusableInput where there is none, or it lacks or names something else than a mapping has.
    """
    path = Path(name) if name.endswith((".yml", ".yaml")) else FOLDER / f"{name}.yml"
    try:
        content = path.read_bytes()
    except OSError as error:
        known = ", ".join(sorted(file.stem for file in FOLDER.glob("*.yml") if file.name != SCHEMA))
        raise UnusableInput(
            f"cannot read the mapping {name}: {error.strerror}; name one of {known}, or a .yml file"
        ) from None
    try:
        parts = yaml.safe_load(content)
    except yaml.YAMLError as error:
        line = getattr(error, "problem_mark", None)
        where = f", line {line.line + 1}" if line else ""
        raise UnusableInput(f"the mapping {name} is no YAML{where}; compare it with {FOLDER / 'plan.yml'}") from None
    check_shape(name, parts)
    settings = {setting: project_var(setting) for setting in ("batch_name_suffix", "import_source")}
    return Mapping(name, parts.get("values", {}), parts["patients"], parts["batches"], parts["images"], settings)


def check_shape(name: str, parts: Any) -> None:
    """Raise UnusableInput where a mapping file has not what `scripts/mappings/schema.yml` asks for."""
    schema = yaml.safe_load((FOLDER / SCHEMA).read_bytes())
    problem = best_match(Draft202012Validator(schema).iter_errors(parts))
    if problem is not None:
        where = ".".join(map(str, problem.absolute_path)) or "its top level"
        raise UnusableInput(
            f"the mapping {name} cannot be used: in {where}, {' '.join(problem.message.split())}; "
            "compare it with scripts/mappings/plan.yml"
        )


def table_name(table: str) -> sql.Identifier:
    """The table as SQL names it; a schema may stand before it, with a dot."""
    return sql.Identifier(*table.split("."))


def expression(text: str, values: Dictionary[str, Any]) -> sql.Composable:
    """The SQL of a mapping with its variables filled in.

    Raises UnusableInput for a variable that `values` does not have.
    """
    parts: list[sql.Composable] = []
    end = 0
    for match in VARIABLE.finditer(str(text)):
        if match[1] not in values:
            raise UnusableInput(f"the mapping names :{match[1]}, which is neither one of its values nor a setting")
        parts += [sql.SQL(str(text)[end : match.start()]), sql.Literal(values[match[1]])]
        end = match.end()
    return sql.Composed([*parts, sql.SQL(str(text)[end:])])


def read_texts(mapping: Mapping, part: str, values: Dictionary[str, Any], prefix: str = "") -> sql.Composed:
    """The select list of what we need to know of a row of `part`: the columns of `READ_COLUMNS`, all of them text.

    Ids are in lower case; the names have the `prefix` before them.
    """
    read = getattr(mapping, part)["read"]
    texts = []
    for column in READ_COLUMNS[part]:
        text = sql.SQL("cast({} as text)").format(expression(read[column], values))
        if column in IDS:
            text = sql.SQL("lower({})").format(text)
        texts.append(sql.SQL("{} as {}").format(text, sql.Identifier(prefix + column)))
    return sql.SQL(", ").join(texts)


def look_up_values(connection: psycopg.Connection, mapping: Mapping) -> dict[str, Any]:
    """The mapping's settings, and what its `values` are in this database.

    Raises UnusableInput for a value that is not there.
    """
    values = dict(mapping.settings)
    for name, query in mapping.values.items():
        row = connection.execute(sql.Composed([expression(query, values)])).fetchone()
        if row is None or row[0] is None:
            raise UnusableInput(
                f"the mapping {mapping.name} does not fit this database: its value {name} is not there; "
                "run the application's migrations, or choose another mapping"
            )
        values[name] = row[0]
    return values


def check_fit(connection: psycopg.Connection, mapping: Mapping) -> dict[str, dict[str, Column]]:
    """The columns of the tables that rows are inserted into, by part and name, where the mapping fits them.

    Raises UnusableInput where it names columns that a table lacks, leaves out
    columns that need a value, or where ids are neither UUID nor text.
    """
    columns = {part: read_columns(connection, mapping, part) for part in ("patients", "batches", "images")}
    problems = []
    for part in ("batches", "images"):
        rules, found = getattr(mapping, part), columns[part]
        table, insert = rules["table"], rules["insert"]
        missing = [name for name, column in found.items() if column.is_required and name not in insert]
        updated = [rules[key] for key in ("relink", "image_count") if key in rules]
        extra = [name for name in dict.fromkeys([*insert, *updated]) if name not in found]
        if missing:
            problems.append(f"{table} needs a value for {', '.join(missing)}")
        if extra:
            problems.append(f"{table} has no column {', '.join(extra)}")
        key = next((name for name, filled in insert.items() if filled in ("batch.id", "image.id")), None)
        if key is None:
            problems.append(f"the ids of {table} are not filled with ours")
        elif key in found and found[key].type not in ("uuid", "text", "character varying", "bpchar"):
            problems.append(f"{table}.{key} is {found[key].type}, and our ids are UUIDs")
    if problems:
        raise UnusableInput(
            f"the mapping {mapping.name} does not fit this database: {'; '.join(problems)}; "
            "correct a copy of its file and name it with --mapping"
        )
    return columns


def read_columns(connection: psycopg.Connection, mapping: Mapping, part: str) -> dict[str, Column]:
    """The columns of the table of this part of the mapping, by name.

    Raises UnusableInput where there is no such table.
    """
    table = getattr(mapping, part)["table"]
    rows = connection.execute(
        """
        select
            attname,
            format_type(atttypid, -1),
            case when atttypid in ('varchar'::regtype, 'bpchar'::regtype) and atttypmod > 4 then atttypmod - 4 end,
            attnotnull and not atthasdef and attidentity = ''
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
    return {name: Column(*rest) for name, *rest in rows}
