"""write_manifest.py --spark on folders as Spark leaves them, written here by DuckDB; tests/spark has Spark's own."""

import os
import re
import shutil
from pathlib import Path

import duckdb
import pytest
import yaml

import write_manifest
from linkage.paths import PROJECT_ROOT
from linkage.seeds import SEED_COLUMNS
from linkage.warehouse import files
from linkage.warehouse.marts import open_warehouse
from linkage.warehouse.query_copy import query_copy
from tests.support.projects import DATES, InProcess, Project, uuid, write_clinic, write_seed
from tests.support.spark_layout import write_as_spark


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A clinic built on DuckDB, whose manifest also has objects of a patient who is not in Nexus; and as Spark's."""
    folder = tmp_path_factory.mktemp("spark")
    project = Project(folder / "data", folder / "work")
    write_clinic(project.data, DATES * 30)
    rows = [
        {"recid": n, "id_Contact": uuid(n * 7 % 5), "date": DATES[n % 20], "Type": "Ü", "id": uuid(1000 + n)}
        for n in range(1, 601)
    ]
    write_seed(project.data, "filemaker_images_metadata", rows)
    patients = [{"patient_id": f"N-{9 - n}", "filemaker_id": uuid(n)} for n in range(4)]
    write_seed(project.data, "nexus_patients", patients)
    no_tests = ("--exclude-resource-type", "unit_test", "--exclude-resource-type", "test")
    ended = InProcess(project)("build", *no_tests, variables={"unlinked_policy": "copy"})
    assert ended.success, ended.text
    with pytest.MonkeyPatch.context() as patch, duckdb.connect(str(project.work / "warehouse.duckdb")) as warehouse:
        patch.setenv("LINKAGE_DATA", str(project.data))
        patch.setenv("MANIFEST_PATH", str(project.manifest))
        write_as_spark(warehouse, folder / "image_linkage.db")
        files.write_manifest(warehouse, "copy_manifest")
    return project


@pytest.fixture
def project(shared: Project, tmp_path: Path) -> Project:
    """A copy of the clinic, with an older manifest."""
    shutil.copytree(shared.data, tmp_path / "data")
    shutil.copytree(shared.data.parent / "image_linkage.db", tmp_path / "image_linkage.db")
    value = f"case name when 'data_folder' then '{tmp_path / 'data'}' else value end"
    replace(tmp_path / "image_linkage.db" / "build_settings", f"select name, {value} as value from rows")
    project = Project(tmp_path / "data", tmp_path / "work")
    project.manifest.write_text("an older one")
    return project


@pytest.fixture
def write(run_here, project):
    """Callable: run write_manifest.py --spark on the clinic's tables."""
    return lambda *options, **changes: run_here(
        write_manifest.main,
        "--spark",
        project.work.parent / "image_linkage.db",
        *options,
        environment=os.environ | project.environment | changes,
    )


def replace(table: Path, query: str, *, every: bool = False) -> None:
    """Write a table's first file, or `every` one, again with what a query makes of it, as `rows`."""
    for path in sorted(table.glob("*.parquet"))[: None if every else 1]:
        with duckdb.connect() as connection:
            connection.execute(f"create table rows as from read_parquet('{path}')")
            connection.execute(f"copy ({query}) to '{path}' (format parquet)")


def test_the_manifest_is_byte_for_byte_that_of_a_build_on_duckdb(write, project, shared):
    ended = write()
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "manifest.csv: 600 objects to copy.\n", "")
    assert project.manifest.read_bytes() == shared.manifest.read_bytes()
    assert b"unlinked/" in project.manifest.read_bytes()
    assert project.manifest.stat().st_mode & 0o777 == 0o600
    assert not (project.work / "warehouse.duckdb").exists()


def test_it_is_written_again_after_copies_were_recorded(write, project):
    with (project.data / "copy_results.csv").open("a", encoding="utf-8") as file:
        file.write("r-1,2026-01-05T00:00:00Z" + "," * 11 + "\n")
    assert write().returncode == 0


def take_away(name: str):
    return lambda folder: shutil.rmtree(folder / name)


def remove(pattern: str):
    return lambda folder: min(folder.glob(pattern)).unlink()


def changed(table: str, query: str, **options):
    return lambda folder: replace(folder / table, query, **options)


def cut(folder: Path) -> None:
    path = min(folder.glob("copy_manifest/*.parquet"))
    path.write_bytes(path.read_bytes()[:-9])


def add_earlier_file(folder: Path) -> None:
    path = min(folder.glob("copy_manifest/*.parquet"))
    shutil.copy(path, path.with_name("part-00000-5b1f-c000.snappy.parquet"))


def of_another_build(folder: Path) -> None:
    """As a copy that ended early leaves it: this table is new already, and all others are those of a build before."""
    for path in folder.glob("copy_manifest/*.parquet"):
        path.rename(path.with_name(path.name[:11] + "5b1f-c000.snappy.parquet"))


REFUSED = [
    (take_away("build_proof"), "has no build_proof: name the folder of the schema"),
    (take_away("image_batch"), "image_batch has no file _SUCCESS, so it is not whole"),
    (remove("image/_SUCCESS"), "image has no file _SUCCESS, so it is not whole"),
    (remove("build_proof/_SUCCESS"), "build_proof has no file _SUCCESS, so it is not whole"),
    (remove("copy_manifest/*.parquet"), "copy_manifest has 400 rows, and the build made 600"),
    (remove("image/*.parquet"), "image has 320 rows, and the build made 480"),
    (add_earlier_file, "copy_manifest has 800 rows, and the build made 600"),
    (cut, "DuckDB cannot read the tables in "),
    (changed("copy_manifest", "from rows order by image_id"), "the rows of copy_manifest are not in order"),
    (changed("build_proof", "from rows limit 0", every=True), "the last build on Spark did not pass as a whole"),
    (changed("build_proof", "from rows where name <> 'image_outcome'", every=True), "does not list image_outcome"),
    (of_another_build, "copy_manifest has files of another build"),
]


@pytest.mark.parametrize(("change", "complaint"), REFUSED, ids=range(len(REFUSED)))
def test_tables_that_are_not_those_of_a_build_that_passed_give_no_manifest(write, project, change, complaint):
    change(project.work.parent / "image_linkage.db")
    for options in ([], ["--load"]):
        project.manifest.write_text("an older one")
        ended = write(*options)
        assert (ended.returncode, ended.stdout) == (2, "")
        assert re.fullmatch(f"error: no manifest.csv: [^\n]*{re.escape(complaint)}[^\n]*\n", ended.stderr)
        assert not project.manifest.exists()
        assert not (project.work / "warehouse.duckdb").exists()


@pytest.mark.parametrize("seed", [seed for seed in SEED_COLUMNS if seed != "copy_results"])
def test_a_seed_that_changed_after_staging_gives_no_manifest(write, project, seed):
    with (project.data / f"{seed}.csv").open("a", encoding="utf-8") as file:
        file.write("7" + "," * (len(SEED_COLUMNS[seed]) - 1) + "\n")
    ended = write()
    assert ended.returncode == 2
    assert ended.stderr.startswith(
        f"error: no manifest.csv: {seed}.csv is not the file that was staged for the build: "
    )
    assert not project.manifest.exists()


def test_a_build_of_another_data_folder_gives_no_manifest(write, project):
    other = project.data.with_name("other")
    shutil.copytree(project.data, other)
    ended = write(LINKAGE_DATA=str(other))
    assert ended.returncode == 2
    assert f"was made from {project.data}, and the data folder in use is {other}: " in ended.stderr
    assert not project.manifest.exists()


def test_loaded_marts_are_read_as_those_of_a_build_on_duckdb(write, project, shared):
    ended = write("--load")
    assert ended.returncode == 0, ended.stderr
    warehouse = project.work / "warehouse.duckdb"
    assert re.match(r"warehouse.duckdb: \d+ tables, as of the build on Spark.\n", ended.stdout)
    assert warehouse.stat().st_mode & 0o777 == 0o600
    for table in ("image", "image_batch", "copy_manifest", "review_findings", "nexus_patients"):
        assert project.query(f"from {table}") == shared.query(f"from {table}")
    with open_warehouse(warehouse) as (_, settings):
        assert settings["data_folder"] == str(project.data)
    with query_copy(warehouse) as (_, passed):
        assert passed
    assert {path.name for path in project.work.iterdir()} == {"warehouse.duckdb", "manifest.csv", "profiles"}


def test_loading_replaces_the_warehouse_and_keeps_what_builds_on_duckdb_remember(write, project, shared):
    warehouse = project.work / "warehouse.duckdb"
    with duckdb.connect(str(warehouse)) as connection:
        connection.execute("create table image as select 1 as recid")
        connection.execute("create table build_changes as select 'kept' as recid")
        connection.execute("create schema other; create table other.last_build_outcome as select 'kept, too' as record")
    assert write("--load").returncode == 0
    assert project.query("select count(*) from image") == [(480,)]
    assert project.query("from build_changes") == [("kept",)]
    assert project.query("from other.last_build_outcome") == [("kept, too",)]


def test_a_warehouse_that_must_not_be_replaced_stays_as_it_is(write, project):
    warehouse = project.work / "warehouse.duckdb"
    with duckdb.connect(str(warehouse)) as connection:
        connection.execute("create table build_settings as select 'data_folder' as name, '/other' as value")
    before = warehouse.read_bytes()
    ended = write("--load")
    assert ended.returncode == 2
    assert f"the warehouse {warehouse} has the marts of another data folder: " in ended.stderr
    assert warehouse.read_bytes() == before
    warehouse.write_text("no database")
    ended = write("--load")
    assert ended.returncode == 2
    assert f"the warehouse {warehouse} is not a DuckDB database: " in ended.stderr
    assert warehouse.read_text() == "no database"
    assert not project.manifest.exists()
    assert list(project.work.glob(".load-*")) == []


def test_every_model_that_a_script_reads_and_is_no_mart_is_a_table_on_spark_and_in_the_proof():
    """build_proof has the marts and what the exposures name (macros/spark_tables.sql)."""
    sources = [path.read_text(encoding="utf-8") for path in (PROJECT_ROOT / "scripts").rglob("*.py")]
    models = set(re.findall(r"\b(?:stg|int)_[a-z0-9_]+", "".join(sources)))
    exposures = (PROJECT_ROOT / "models" / "exposures.yml").read_text(encoding="utf-8")
    assert models
    assert models <= set(re.findall(r"ref\('(\w+)'\)", exposures))
    project = yaml.safe_load((PROJECT_ROOT / "dbt_project.yml").read_text(encoding="utf-8"))
    staging = project["models"]["image_linkage"]["staging"]
    assert all(staging[model]["+materialized"].startswith(("table", "{{ 'table' if")) for model in models)


def test_loading_is_for_spark_only(run_here, project):
    ended = run_here(write_manifest.main, "--load", environment=os.environ | project.environment)
    assert ended.returncode == 2
    assert "--load needs --spark" in ended.stderr
    assert project.manifest.exists()
