"""dbt build --target postgres: the same marts as on DuckDB, seeds, the manifest command."""

import csv
import io
import os
import re
import shutil
import socket
from collections import Counter
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from duckdb import connect

import write_manifest
from linkage.files import csv_line
from linkage.paths import PROJECT_ROOT, SAMPLE_FOLDER
from linkage.seeds import SEED_COLUMNS
from linkage.warehouse.mark import PROVED
from linkage.warehouse.query_copy import query_copy
from sandbox.postgres_server import database_url
from sandbox.settings import DUMP
from tests.support.projects import (
    DATES,
    MALFORMED,
    NO_UNIT_TESTS,
    InProcess,
    PostgresProject,
    Project,
    forget,
    hashes,
    postgres_project,
    uuid,
    write_clinic,
    write_seed,
)


@pytest.fixture(scope="module")
def shared(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> InProcess:
    project = postgres_project(postgres, tmp_path_factory.mktemp("postgres"))
    write_clinic(project.data, DATES)
    return InProcess(project, options=())  # with all the files that dbt writes


@pytest.fixture
def dbt(shared: InProcess) -> InProcess:
    """dbt on a clinic with one linkable image per date, and an older manifest."""
    shutil.rmtree(shared.project.data)
    write_clinic(shared.project.data, DATES)
    shared.project.manifest.write_text("an older one")
    return shared


@pytest.fixture(scope="module")
def duckdb(shared: InProcess, tmp_path_factory: pytest.TempPathFactory) -> InProcess:
    """dbt on the same data folder, on DuckDB."""
    return InProcess(Project(shared.project.data, tmp_path_factory.mktemp("duckdb") / "work"))


@pytest.fixture
def write(run_here):
    """Callable: run write_manifest.py for a project, in an environment changed by the keyword arguments."""
    return lambda project, **changes: run_here(
        write_manifest.main, environment=os.environ | project.environment | changes
    )


def rows_of(project: Project, table: str) -> list[tuple]:
    """A table's rows, in the columns' alphabetical order."""
    schema = "image_linkage" if isinstance(project, PostgresProject) else "main"
    columns = project.query(
        "select column_name from information_schema.columns"
        f" where table_schema = '{schema}' and table_name = '{table}' order by column_name"
    )
    return project.mart(table, tuple(column for (column,) in columns))


def files_with(project: Project, marker: str) -> list[Path]:
    """The files that dbt left and that contain `marker`."""
    kept = [path for path in project.work.rglob("*") if path.is_file()]
    assert {"dbt.log", "run_results.json"} <= {path.name for path in kept}
    return [path for path in kept if marker.encode() in path.read_bytes()]


def records_of(manifest: Path) -> list[list[str]]:
    """The manifest's records, as a CSV reader reads them; DuckDB quotes more values than necessary."""
    with manifest.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def check_equal(dbt: InProcess, duckdb: InProcess, write) -> None:
    """Build the data folder on both and compare every table and view, and the manifest."""
    for each in (dbt, duckdb):
        forget(each.project)
        ended = each("build", *NO_UNIT_TESTS)
        assert ended.success, ended.text
    tables = [node.name for node in dbt.manifest.nodes.values() if node.resource_type in ("seed", "model")]
    assert len(tables) > 25
    for table in tables:
        found, expected = (rows_of(project, table) for project in (dbt.project, duckdb.project))
        assert Counter(found) == Counter(expected), table
    assert write(dbt.project).returncode == 0
    assert records_of(dbt.project.manifest) == records_of(duckdb.project.manifest)


def check_questions(dbt: InProcess, duckdb: InProcess) -> None:
    """Both answer each question of `analyses/` in the same way, and so does `make query`."""
    compiled = compile_questions(dbt, "postgres"), compile_questions(duckdb, "duckdb")
    with query_copy(duckdb.project.work / "warehouse.duckdb") as (copy, _), connect(copy, read_only=True) as marts:
        asked = marts.sql("from questions").fetchall()
        assert len(asked) == len(compiled[0]) == len(compiled[1]) == 20
        for ask, _ in asked:
            name = re.match(r"from (\w+)", ask)[1]
            rows = dbt.project.query(compiled[0][name])
            assert rows == duckdb.project.query(compiled[1][name]) == marts.sql(ask).fetchall(), name
            assert rows or name == "what_changed", name


def compile_questions(dbt: InProcess, target: str) -> dict[str, str]:
    """The SQL of each question of `analyses/`, by name."""
    assert dbt("compile", "--target", target, "--select", "resource_type:analysis").success
    return {node.name: node.compiled_code for node in dbt.manifest.nodes.values() if node.resource_type == "analysis"}


def test_the_sample_gives_the_same_marts_on_postgres_as_on_duckdb(dbt, duckdb, write):
    shutil.copytree(SAMPLE_FOLDER, dbt.project.data, dirs_exist_ok=True, ignore=shutil.ignore_patterns("expected"))
    check_equal(dbt, duckdb, write)
    check_questions(dbt, duckdb)


def test_any_value_comes_out_as_on_duckdb(dbt, duckdb, write):
    values = ["NULL", "null", "", "\\N", "\\.", " ", 'a "b", c\nd', "\r", "é😀", "\x01", "'", "\\", "a\r\nb"]
    export = [(n, "", "", value, value, "", "", "", "") for n, value in enumerate(values * 800)]
    # in the manifest's order and quoting
    keys = ['a,"b"', "#a", " a ", "a\nb", "B", "é", "😀", "\ufeff", "a\\b", "'", "null", "a" * 200, "b", "c" * 90]
    export += [(n, uuid(n % 7), DATES[n % 20], "", "", "", "", "", "") for n in range(20_000, 23_000)]
    lines = map(csv_line, [SEED_COLUMNS["filemaker_images_metadata"], *export])
    (dbt.project.data / "filemaker_images_metadata.csv").write_bytes("".join(lines).encode())
    write_seed(
        dbt.project.data,
        "s3_inventory",
        [
            {"bucket": keys[n % 14], "key": f"{DUMP}{n}.jpg", "size": n, "etag": keys[n % 13]}
            for n in range(20_000, 23_000)
        ],
    )
    write_seed(
        dbt.project.data,
        "nexus_patients",
        [{"patient_id": keys[n], "filemaker_id": uuid(n)} for n in range(7)],
    )
    check_equal(dbt, duckdb, write)
    assert dbt.project.query("select count(*) from image") == [(3_000,)]
    found = dbt.project.query("""
        select "Type" from filemaker_images_metadata where "Type" ilike 'null' order by "Type" collate "C"
    """)
    assert found == [("NULL",)] * 800 + [("null",)] * 800


def test_a_build_needs_no_more_than_a_database_and_leaves_no_free_text_and_no_password(dbt):
    project, marker = dbt.project, "SECRETNAME"
    values = dict.fromkeys(SEED_COLUMNS["filemaker_images_metadata"], f'{marker}\n,"')
    write_seed(project.data, "filemaker_images_metadata", [values] * 19)
    objects = [{"bucket": "b", "key": f"{DUMP}{n}.jpg", "size": marker, "etag": marker} for n in range(3)]
    write_seed(project.data, "s3_inventory", objects)
    for seed in ("nexus_patients", "nexus_image_batches", "nexus_images", "copy_results"):
        write_seed(project.data, seed, [dict.fromkeys(SEED_COLUMNS[seed], marker)])
    write_seed(project.data, "held_images", [{"recid": 1, "held_by": marker, "held_on": marker}])
    before = hashes(project.data)
    by_command = replace(project, linkage_data=os.path.relpath(project.data, PROJECT_ROOT))
    ended = by_command.dbt("--debug", "build", "--target", "postgres")
    assert ended.returncode == 0, ended.stdout
    assert hashes(project.data) == before
    for text in (marker, project.environment["PGPASSWORD"]):
        assert text not in ended.stdout
        assert files_with(project, text) == []
    assert project.query("select distinct reason from image_outcome") == [("invalid_recid",)]
    role = "select rolsuper, rolcreatedb, rolcreaterole from pg_roles where rolname = current_user"
    assert project.query(role) == [(False, False, False)]
    assert project.query("select extname from pg_extension") == [("plpgsql",)]
    assert project.query("select count(*) from pg_largeobject_metadata") == [(0,)]


def test_every_dbt_command_on_postgres_leaves_every_input_unchanged(dbt):
    before = hashes(dbt.project.data)
    for command in (["seed"], ["seed", "--full-refresh"], ["compile"], ["build", "--empty", *NO_UNIT_TESTS]):
        ended = dbt(*command)
        assert ended.success or "--empty" in command, (command, ended.text)
        assert hashes(dbt.project.data) == before, command


MALFORMED_FOR_POSTGRES = [
    *MALFORMED,
    ('patient_id,filemaker_id\nn-1,SEC"RET\n', "the quotes in line 2 do not match"),
    ("patient_id,filemaker_id\nn-1,SECRET\n\\.\nn-2,\n", "line 3 has 1 fields, not 2"),
    ("patient_id,filemaker_id\nn-0,x\nn-1,SECRET\0\n", "line 3 has a NUL byte"),
    (b"patient_id,filemaker_id\n" + b"n-1,SECRET\xed\xa0\x80\n" * 100_000, "line 2 is not UTF-8"),
]


@pytest.mark.parametrize(("text", "complaint"), MALFORMED_FOR_POSTGRES, ids=range(len(MALFORMED_FOR_POSTGRES)))
def test_a_malformed_seed_is_refused_on_postgres_with_its_line_and_without_its_values(dbt, text, complaint):
    path = dbt.project.data / "nexus_patients.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    ended = dbt("seed", "--select", "nexus_patients")
    assert not ended.success
    assert "nexus_patients.csv" in ended.text
    assert complaint in ended.text
    assert "Traceback" not in ended.text
    assert "SECRET" not in ended.text
    assert files_with(dbt.project, "SECRET") == []
    assert dbt.project.query("select count(*) from pg_largeobject_metadata") == [(0,)]


def test_the_servers_message_about_a_row_is_in_no_output_and_no_file(dbt):
    """The server refuses a row that the checks let through, such as a text that is longer than it can store."""
    assert dbt("seed").success
    write_seed(dbt.project.data, "nexus_patients", [{"patient_id": "SECRET", "filemaker_id": "SECRET"}])
    macros = dbt.manifest.macros
    macro = macros["macro.image_linkage.materialization_seed_postgres"]
    text = macro.macro_sql
    try:
        macro.macro_sql = text.replace("field_{{ loop.index0 }} text", "field_{{ loop.index0 }} integer")
        ended = dbt("--debug", "seed", "--select", "nexus_patients")
    finally:
        macro.macro_sql = text
    assert "nexus_patients.csv cannot be copied into PostgreSQL" in ended.text
    assert "SECRET" not in ended.text
    assert files_with(dbt.project, "SECRET") == []


def test_seeds_are_read_on_postgres_with_any_line_ends_column_order_and_extra_columns(dbt):
    shutil.copytree(SAMPLE_FOLDER, dbt.project.data, dirs_exist_ok=True, ignore=shutil.ignore_patterns("expected"))
    assert dbt("seed").success
    before = {seed: rows_of(dbt.project, seed) for seed in SEED_COLUMNS}
    for seed in SEED_COLUMNS:
        path = dbt.project.data / f"{seed}.csv"
        with path.open(encoding="utf-8", newline="") as file:
            rows = [[*reversed(row), 'mo"re'] for row in csv.reader(file)]
        text = io.StringIO()
        csv.writer(text, lineterminator="\r\n", quoting=csv.QUOTE_ALL).writerows(rows)
        # a byte order mark, blank lines, and no line end at the end, where that does not mean a record is cut off
        content = "\ufeff" + text.getvalue().replace('"\r\n', '"\r\n\r\n', 3)
        path.write_bytes((content if seed == "copy_results" else content.removesuffix("\r\n")).encode())
    assert dbt("seed").success
    assert {seed: rows_of(dbt.project, seed) for seed in SEED_COLUMNS} == before


def test_a_database_that_cannot_hold_every_text_is_refused(dbt, postgres):
    name = f"no_utf8_{uuid4().hex}"
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"create database {name} template template0 encoding 'SQL_ASCII' locale 'C'")
    ended = InProcess(replace(dbt.project, url=database_url(postgres, name)))("seed")
    assert not ended.success
    assert f"the database {name} cannot be used: its encoding is not UTF8" in ended.text


def test_only_a_whole_build_that_passed_gives_a_manifest(dbt, write):
    manifest = dbt.project.manifest
    assert dbt("build", *NO_UNIT_TESTS).success
    written = write(dbt.project)
    assert (written.returncode, written.stdout) == (0, "manifest.csv: 20 objects to copy.\n")
    assert manifest.stat().st_mode & 0o777 == 0o600
    first = manifest.read_bytes()
    assert first.count(b"\n") == 21

    def refused() -> bool:
        manifest.write_text("an older one")
        ended = write(dbt.project)
        assert ended.returncode in (0, 2)
        assert manifest.exists() == (ended.returncode == 0)
        if ended.returncode:
            assert re.fullmatch("error: no manifest.csv: the last `dbt build [^\n]*\n", ended.stderr), ended.stderr
        return ended.returncode == 2

    def pass_again() -> None:
        assert dbt("run-operation", "mark_build", "--args", f"{{mark: {PROVED}}}").success

    # parts of a build change nothing, except one that makes the table again
    assert dbt("test", "--select", "conservation").success
    assert not refused()
    assert manifest.read_bytes() == first
    assert dbt("run", "--select", "copy_manifest").success
    assert refused()
    # a whole build that ends before any table is made
    pass_again()
    assert not refused()
    assert not dbt("build", *NO_UNIT_TESTS, variables={"today": "1 June"}).success
    assert refused()
    # a test that fails, alone or in a whole build
    pass_again()
    swapped = {"filemaker_date_order": "dmy"}
    assert dbt("run", "--select", "stg_filemaker_images", "date_order_evidence", variables=swapped).success
    ended = dbt("test", "--select", "date_order_is_not_contradicted", variables=swapped)
    assert not ended.success
    assert "set filemaker_date_order to mdy" in ended.text
    assert refused()
    assert not dbt("build", *NO_UNIT_TESTS, variables=swapped).success
    assert refused()


def test_a_database_that_rejects_the_manifest_command_is_reported_in_one_sentence(dbt, write):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        for changes, complaint in (
            ({"PGPORT": str(unused.getsockname()[1])}, "PostgreSQL does not answer"),
            ({"PGPASSWORD": "not-the-password"}, "PostgreSQL does not accept this user with this password"),
            ({"PGDATABASE": "nowhere"}, "PostgreSQL has no such database or user"),
            ({"PGPORT": "port"}, "PostgreSQL"),
            ({"LINKAGE_SCHEMA": "nowhere"}, "no manifest.csv: the last `dbt build --target postgres`"),
        ):
            ended = write(dbt.project, **changes)
            assert ended.returncode == 2
            assert ended.stderr.startswith(f"error: {complaint}")
            assert ended.stderr.count("\n") == 1
            for password in ("not-the-password", dbt.project.environment["PGPASSWORD"]):
                assert password not in ended.stderr + ended.stdout
