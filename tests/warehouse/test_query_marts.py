"""scripts/query_marts.py: DuckDB's shell on a copy of the marts."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from linkage.paths import PROJECT_ROOT
from linkage.warehouse.query_copy import query_copy
from tests.support.warehouses import image, write_warehouse

SCRIPT = [sys.executable, PROJECT_ROOT / "scripts" / "query_marts.py"]


@pytest.fixture
def warehouse(tmp_path: Path) -> Path:
    """A warehouse as a build that passed leaves it, with two images."""
    write_warehouse(tmp_path, [image(1), image(2)])
    return tmp_path / "warehouse.duckdb"


@pytest.fixture
def environment(warehouse: Path) -> dict[str, str]:
    """The environment of a process that queries it; nobody's ~/.duckdbrc."""
    return os.environ | {"LINKAGE_WAREHOUSE": str(warehouse), "HOME": str(warehouse.parent), "TERM": "dumb"}


@pytest.fixture
def query(environment: dict[str, str]):
    """Callable: run the script with these arguments; its standard input is a pipe."""

    def run(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess:
        command = [*SCRIPT, *arguments]
        return subprocess.run(
            command, env=environment, input=stdin, capture_output=True, text=True, check=False, timeout=60
        )

    return run


def copies(warehouse: Path) -> list[Path]:
    """The copies that are there now."""
    return list(warehouse.parent.glob(".query-*"))


def test_it_answers_sql_and_what_it_reads_whole_and_ends_with_the_exit_code_of_the_shell(query, warehouse):
    ended = query("select count(*) as images from image")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert re.search(r"│ +2 │", ended.stdout)
    ended = query(stdin=".mode csv\nselect recid from image order by recid;\nselect range from range(500);\n")
    assert ended.stdout.split() == ["recid", "1", "2", "range", *map(str, range(500))]
    assert query("select range from range(500)").stdout.count("\n") > 500
    assert query("select nothing").returncode == 1
    assert copies(warehouse) == []


def test_make_hands_sql_over_as_it_is(environment):
    command = [
        "make",
        f"BIN={Path(sys.executable).parent}",
        "-o",
        "setup",
        "query",
        """SQL=select 'it''s "a" `b`' as said""",
    ]
    ended = subprocess.run(command, cwd=PROJECT_ROOT, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended
    assert """it's "a" `b`""" in ended.stdout


def test_the_questions_whose_marts_are_there_can_be_asked_by_name(warehouse):
    with duckdb.connect(str(warehouse)) as connection:
        connection.execute("""
            create table image_outcome as
            select 1 as recid_number, 'b' as batch_id, 'p' as patient_id, 'Dorsal' as category, 'linked' as outcome,
                cast(null as varchar) as reason, date '2016-10-18' as filemaker_date
        """)
    with query_copy(warehouse) as (copy, passed), duckdb.connect(copy, read_only=True) as marts:
        assert passed
        asked = marts.sql("select ask from questions order by all").fetchall()
        assert asked == [
            (f"from {name}",)
            for name in sorted(["batches_per_year", "images_per_category", "largest_batches", "types_used_once"])
        ]
        assert marts.sql("from batches_per_year").fetchall() == [(2016, 1, 1, 1, 0)]
        tables = {name for (name,) in marts.sql("select table_name from duckdb_tables()").fetchall()}
        # and neither seeds nor staging
        assert tables == {
            "batches_to_relink",
            "build_settings",
            "copy_manifest",
            "image",
            "image_batch",
            "image_outcome",
            "questions",
        }


def test_while_a_copy_is_queried_a_build_can_write_and_nothing_can_be_written_to_the_copy(query, warehouse):
    with query_copy(warehouse) as (copy, _):
        with duckdb.connect(str(warehouse)) as connection:
            connection.execute("delete from image")
        assert copy.stat().st_mode & 0o777 == 0o400
        assert copy.parent.stat().st_mode & 0o777 == 0o700
        with duckdb.connect(copy, read_only=True) as marts:
            assert marts.sql("select count(*) from image").fetchall() == [(2,)]
    assert copies(warehouse) == []
    ended = query("delete from image_batch")
    assert ended.returncode == 1
    assert "read-only" in ended.stderr


def test_a_warehouse_that_cannot_be_queried_is_named_in_one_sentence(query, warehouse):
    def refused(complaint: str) -> None:
        ended = query("select 1")
        assert ended.returncode == 2
        assert ended.stdout == ""
        assert re.fullmatch(f"error: [^\n]*{complaint}[^\n]*\n", ended.stderr), ended.stderr
        assert copies(warehouse) == []

    with duckdb.connect(str(warehouse)):
        refused("is open in another program: wait until dbt ends")
    with duckdb.connect(str(warehouse)) as connection:
        connection.execute("drop table build_settings")
    refused("has no marts: run `dbt build`")
    warehouse.write_text("no database")
    refused("is not a DuckDB database")
    warehouse.unlink()
    refused("is missing: run `dbt build`")


def test_marts_of_a_build_that_did_not_pass_can_be_queried_and_that_is_said(query, warehouse):
    with duckdb.connect(str(warehouse)) as connection:
        connection.execute("comment on table build_settings is null")
    ended = query(".mode csv", stdin="")
    assert ended.returncode == 0
    assert ended.stderr == "The last build did not pass all of its tests: do not rely on these marts.\n"


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_a_query_that_is_ended_leaves_no_copy(environment, warehouse, number):
    with subprocess.Popen(SCRIPT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdin.write(b".mode csv\nselect 6 * 7 as answer;\n")
        process.stdin.flush()
        assert process.stdout.read(6) == b"answer"
        assert len(copies(warehouse)) == 1
        process.send_signal(number)
        assert process.wait(timeout=60) == 128 + number
    assert copies(warehouse) == []


def test_in_a_terminal_it_says_how_to_ask_and_ctrl_c_ends_a_query_but_not_the_shell(environment, warehouse):
    process, terminal = pty.fork()
    if process == 0:
        os.execve(sys.executable, [str(part) for part in SCRIPT], environment)
    said = ""

    def hear(expected: str, again: bytes = b"") -> None:
        """Wait until the terminal shows a text, while typing `again` once a second."""
        nonlocal said
        while expected not in said:
            if select.select([terminal], [], [], 1)[0]:
                said += os.read(terminal, 10_000).decode()
            else:
                os.write(terminal, again)
        said = said.partition(expected)[2]

    hear("from questions;")
    hear("\x1b[c")  # what kind of terminal is this?
    os.write(terminal, b"\x1b[?62;c")
    hear(" D ")
    os.write(terminal, b".mode csv\nselect 6 * 7;\n")
    hear("\n42")
    hear(" D ")
    os.write(terminal, b"select sum(a.range * b.range) from range(10000000) a, range(10000000) b;\n")
    hear(" D ", again=b"\x03")
    os.write(terminal, b"select 7 * 8;\n")
    hear("\n56")
    os.write(terminal, b".quit\n")
    _, status = os.waitpid(process, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 0
    assert copies(warehouse) == []
    history = warehouse.with_name(".query_history")
    assert "select 6 * 7" in history.read_text()
    assert history.stat().st_mode & 0o777 == 0o600
