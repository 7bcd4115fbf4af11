"""Mapping files: how our marts correspond to an application's tables (`scripts/mappings/`)."""

import os
import re
from collections.abc import Mapping as Dictionary
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from psycopg import sql

from linkage.errors import UnusableInput
from linkage.paths import PROJECT_ROOT
from linkage.seeds import SEED_COLUMNS

FOLDER = PROJECT_ROOT / "scripts" / "mappings"
SCHEMA = "schema.yml"
SETTINGS = ("batch_name_suffix", "import_source")  # the settings of dbt that a mapping's SQL may use
VARIABLE = re.compile(r"""'[^']*'|"[^"]*"|(?<![:\w]):([a-z_]+)""")  # or a quoted text, which has none
READ_COLUMNS = {"batches": SEED_COLUMNS["nexus_image_batches"], "images": SEED_COLUMNS["nexus_images"]}
IDS = ("id", "patient_id", "batch_id", "filemaker_id")
Texts = dict[str, str | int]  # SQL by name; YAML reads a number as one


@dataclass(frozen=True)
class Table:
    """One of the application's tables, with the keys that `scripts/mappings/plan.yml` explains."""

    table: str
    # of the patients
    id: str = ""
    notes: str | None = None
    json: str | None = None
    filemaker_id: str | None = None
    # of the batches and the images
    read: Texts = field(default_factory=dict)
    insert: Texts = field(default_factory=dict)
    found_by: list[str] = field(default_factory=list)
    relink: str = ""
    image_count: str | None = None
    not_compared: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Mapping:
    """A mapping file: its values, its tables by part (patients, batches, images), the settings that its SQL may use."""

    name: str
    values: Texts
    tables: dict[str, Table]
    settings: dict[str, str]


def default_mapping() -> str:
    """`NEXUS_MAPPING`, or else `plan`; a file of this name is absolute, or relative to the project root."""
    name = os.environ.get("NEXUS_MAPPING") or "plan"
    return str(PROJECT_ROOT / name) if is_file_name(name) else name


def is_file_name(name: str) -> bool:
    """Whether a mapping of this name is a file, not one of `scripts/mappings/`."""
    return name.endswith((".yml", ".yaml"))


def read_mapping(name: str, settings: Dictionary[str, str]) -> Mapping:
    """The mapping of this name in `scripts/mappings/`, or in the file of this name.

    `settings` are those that the marts were or will be built with; a mapping gets the ones named in SETTINGS.

    Raises UnusableInput if the file cannot be read, lacks a required key, or has an unknown key or one key twice.
    """
    path = Path(name) if is_file_name(name) else FOLDER / f"{name}.yml"
    try:
        content = path.read_bytes()
    except OSError as error:
        known = ", ".join(sorted(file.stem for file in FOLDER.glob("*.yml") if file.name != SCHEMA))
        raise UnusableInput(
            f"cannot read the mapping {name}: {error.strerror}; name one of {known}, or a .yml file"
        ) from None
    try:
        parts = yaml.load(content, UniqueKeys)
    except yaml.YAMLError as error:
        line = getattr(error, "problem_mark", None)
        where = f", line {line.line + 1}" if line else ""
        what = error.problem if isinstance(error, RepeatedKey) else "is not YAML"
        raise UnusableInput(f"the mapping {name} {what}{where}; compare it with scripts/mappings/plan.yml") from None
    check_shape(name, parts)
    return Mapping(
        name,
        parts.pop("values", {}),
        {part: Table(**keys) for part, keys in parts.items()},
        {setting: settings[setting] for setting in SETTINGS if setting in settings},
    )


class RepeatedKey(yaml.MarkedYAMLError):
    """A mapping file has a key twice; YAML itself would keep the second without a word."""


class UniqueKeys(yaml.SafeLoader):
    """A YAML loader that raises RepeatedKey."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The node's keys and values."""
        seen = set()
        for key, _ in node.value:
            if (name := str(key.value)) in seen:
                raise RepeatedKey(problem=f"has the key {name} twice", problem_mark=key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep)


def check_shape(name: str, parts: Any) -> None:
    """Raise UnusableInput if the contents of a mapping file do not fit `scripts/mappings/schema.yml`."""
    schema = yaml.safe_load((FOLDER / SCHEMA).read_bytes())
    problem = best_match(Draft202012Validator(schema).iter_errors(parts))
    if problem is not None:
        where = ".".join(map(str, problem.absolute_path)) or "its top level"
        raise UnusableInput(
            f"the mapping {name} cannot be used: in {where}, {' '.join(problem.message.split())}; "
            "compare it with scripts/mappings/plan.yml"
        )


def table_name(table: str) -> sql.Identifier:
    """A mapping's table, quoted; a schema may precede it, with a dot."""
    return sql.Identifier(*table.split("."))


def expression(text: str | int, values: Dictionary[str, Any]) -> sql.Composed:
    """The SQL of a mapping with its variables filled in.

    Raises UnusableInput for a variable that is not in `values`.
    """
    text = str(text)
    parts: list[sql.Composable] = []
    end = 0
    for match in VARIABLE.finditer(text):
        if match[1] is None:
            continue
        if match[1] not in values:
            raise UnusableInput(f"the mapping uses :{match[1]}, which is neither one of its values nor a setting")
        value = values[match[1]]
        filled = value if isinstance(value, sql.Composable) else sql.Literal(value)
        parts += [sql.SQL(text[end : match.start()]), filled]
        end = match.end()
    return sql.Composed([*parts, sql.SQL(text[end:])])


def read_texts(mapping: Mapping, part: str, values: Dictionary[str, Any], prefix: str = "") -> sql.Composed:
    """The select list for the columns in READ_COLUMNS, all of them text, with `prefix` before their names.

    Ids are in lower case.
    """
    read = mapping.tables[part].read
    texts = []
    for column in READ_COLUMNS[part]:
        text = sql.SQL("cast({} as text)").format(expression(read[column], values))
        if column in IDS:
            text = sql.SQL("lower({})").format(text)
        texts.append(sql.SQL("{} as {}").format(text, sql.Identifier(prefix + column)))
    return sql.SQL(", ").join(texts)
