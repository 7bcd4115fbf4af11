"""A copy of the marts for people to query, so that a query never keeps dbt out of the warehouse.

The copy also has the questions of `analyses/`: each is a view, or a macro if it has parameters (dbt vars).
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import duckdb

from linkage.errors import UnusableInput
from linkage.macros import query_sql
from linkage.paths import PROJECT_ROOT
from linkage.seeds import literal
from linkage.warehouse.mark import MARKED_MART, proved_schema
from linkage.warehouse.marts import LIMITS, attach_warehouse, check_header

# DuckDB's shell on PyPI (duckdb-cli) is older than our DuckDB, whose files it cannot read; files of this format it can.
STORAGE_VERSION = "v1.5.0"
MARTS = {path.stem for path in (PROJECT_ROOT / "models" / "marts").rglob("*.sql")} | {"build_changes"}


class Question(NamedTuple):
    """A query of `analyses/`: what it asks, its SQL, its parameters with their defaults, and the tables it reads."""

    name: str
    asks: str
    sql: str
    parameters: dict[str, str]
    tables: set[str]


def read_questions() -> list[Question]:
    """The questions of `analyses/`, in the order of their names, in DuckDB's SQL."""
    return [read_question(path) for path in sorted((PROJECT_ROOT / "analyses").glob("*.sql"))]


def read_question(path: Path) -> Question:
    """One of them: `path` is its file, which begins with the question as a comment."""
    text = path.read_text(encoding="utf-8")
    tables: set[str] = set()
    parameters: dict[str, str] = {}

    def ref(name: str) -> str:
        tables.add(name)
        return name

    def var(name: str, default: str) -> str:
        parameters[name] = default
        return name

    # a parameter is a name, where dbt would put the text of a var
    sql = query_sql(text, ref=ref, var=var, text_literal=str)
    comment = re.match(r"(-- .*\n)+", text)
    assert comment, path
    asks = comment[0].replace("-- ", "").replace("\n", " ").strip()
    return Question(path.stem, asks, sql, parameters, tables)


@contextmanager
def query_copy(warehouse: Path) -> Iterator[tuple[Path, bool]]:
    """A copy of the marts, which only the owner can read and nobody write, and whether the last build passed.

    It is in a folder of its own beside the warehouse, where the records may be kept,
    and is removed at the end.

    Raises UnusableInput if the warehouse is missing, in use or not readable, has no
    marts, or if there is no room for a copy.
    """
    check_header(warehouse)
    try:
        folder = TemporaryDirectory(dir=warehouse.parent, prefix=".query-")
    except OSError as error:
        raise UnusableInput(
            f"no copy of the marts can be made in {warehouse.parent} ({error.strerror}): make sure that you may write "
            "there, and that the disk has room"
        ) from None
    with folder as name:
        path = Path(name) / "marts.duckdb"
        passed = copy_marts(warehouse, path, spilled=Path(name) / "spilled")
        path.chmod(0o400)
        yield path, passed


def copy_marts(warehouse: Path, path: Path, *, spilled: Path) -> bool:
    """Copy the marts, and what the questions read, to the new DuckDB file `path`; whether the last build passed."""
    questions = read_questions()
    wanted = MARTS.union(*(question.tables for question in questions))
    try:
        with duckdb.connect(config={**LIMITS, "temp_directory": str(spilled)}) as connection:
            attach_warehouse(connection, warehouse)
            schema = marts_schema(connection, warehouse)
            found = connection.execute(
                "select table_name from information_schema.tables where table_catalog = 'marts' and table_schema = ?",
                [schema],
            ).fetchall()
            connection.execute(f"attach {literal(str(path))} as copied (storage_version {literal(STORAGE_VERSION)})")
            connection.execute(f'use marts."{schema}"')
            for (name,) in sorted(found):
                if name in wanted:
                    connection.execute(f"create table copied.{name} as from {name}")
            passed = proved_schema(connection) is not None
            connection.execute("use copied")
            write_questions(connection, questions)
    except duckdb.Error as error:
        raise UnusableInput(
            f"DuckDB cannot copy the marts of {warehouse} ({type(error).__name__}): make sure that the disk has room, "
            "and run `dbt build` again"
        ) from None
    return passed


def marts_schema(connection: duckdb.DuckDBPyConnection, warehouse: Path) -> str:
    """The schema of the marts in the attached warehouse: that of the build that passed, or else the first."""
    query = """
        select schema_name from duckdb_tables() where database_name = 'marts' and table_name = ?
        order by comment is null, schema_name
    """
    found = connection.execute(query, [MARKED_MART]).fetchone()
    if not found:
        raise UnusableInput(f"the warehouse {warehouse} has no marts: run `dbt build`")
    return str(found[0])


def write_questions(connection: duckdb.DuckDBPyConnection, questions: list[Question]) -> None:
    """Make a view or macro of each question whose tables are all there, and the table `questions` that lists them."""
    connection.execute("create table questions (ask varchar, question varchar)")
    tables = {name for (name,) in connection.execute("select table_name from duckdb_tables()").fetchall()}
    for name, asks, sql, parameters, needed in questions:
        if not needed <= tables:  # of a build that ended early
            continue
        if parameters:
            given = ", ".join(f"{parameter} := {literal(value)}" for parameter, value in parameters.items())
            connection.execute(f"create macro {name}({given}) as table {sql}")
        else:
            connection.execute(f"create view {name} as {sql}")
        ask = f"from {name}" + (f"({', '.join(map(literal, parameters.values()))})" if parameters else "")
        connection.execute("insert into questions values (?, ?)", [ask, asks])
