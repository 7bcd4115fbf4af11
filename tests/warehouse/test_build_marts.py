"""scripts/build_marts.py: what a person sees of a build."""

import os
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from linkage.paths import PROJECT_ROOT
from tests.support.projects import DATES, NO_UNIT_TESTS, Project, given, write_clinic


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "data", tmp_path / "work")


def build(project: Project, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "scripts/build_marts.py", *NO_UNIT_TESTS, *given(project.variables)],
        check=False,
        cwd=PROJECT_ROOT,
        env=os.environ | project.environment | environment,
        capture_output=True,
        text=True,
    )


def test_a_build_shows_what_failed_and_what_warns_and_nothing_that_went_well(project: Project):
    write_clinic(project.data, DATES)
    listing = project.data / "s3_inventory.csv"
    listing.write_text(listing.read_text() + "clinic,filemaker-import/images-bulk-dump/1.jpg,10,e1,,\n")
    project.variables = {"filemaker_date_order": "dmy"}
    done = build(project)
    assert (done.returncode, done.stderr) == (1, "")
    assert "Warning: The listing names an object of record 1 more than once: list the dump again." in done.stdout
    assert "Failed: The dates contradict" in done.stdout
    assert done.stdout.endswith(
        "No manifest.csv: the build did not pass. Correct what failed, then run `dbt build` again.\n"
    )
    for noise in ("Traceback", "START", "PASS", "\033["):
        assert noise not in done.stdout
    assert len(done.stdout.splitlines()) < 30


def test_a_warehouse_that_is_not_a_duckdb_file_is_named_and_left_as_it_is(project: Project):
    write_clinic(project.data, DATES)
    warehouse = project.work / "warehouse.duckdb"
    warehouse.write_text("something else")
    done = build(project)
    assert_refused(done, f"the warehouse {warehouse} cannot be opened (IOException)")
    assert warehouse.read_text() == "something else"


def test_a_warehouse_that_another_program_has_open_is_named(project: Project):
    write_clinic(project.data, DATES)
    warehouse = project.work / "warehouse.duckdb"
    with duckdb.connect(str(warehouse)):
        assert_refused(build(project), f"another program has the warehouse {warehouse} open: close it, then run again")


def test_a_folder_for_the_warehouse_that_does_not_exist_is_named(project: Project):
    write_clinic(project.data, DATES)
    folder = project.work / "nowhere"
    done = build(project, LINKAGE_WAREHOUSE=str(folder / "warehouse.duckdb"))
    assert_refused(done, f"the folder {folder}, where the warehouse is to be, does not exist")


def assert_refused(done: subprocess.CompletedProcess, saying: str) -> None:
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {saying}")
    assert done.stderr.count("\n") == 1


def test_a_path_that_dbt_takes_for_a_url_is_refused_in_one_sentence(project: Project):
    write_clinic(project.data, DATES)
    path = project.data / "of whom?.duckdb"
    done = build(project, LINKAGE_WAREHOUSE=str(path))
    assert done.returncode == 2
    assert done.stderr == f"error: dbt cannot build in {path}: set LINKAGE_WAREHOUSE to a path without ? and #\n"
