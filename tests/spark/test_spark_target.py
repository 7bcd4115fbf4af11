"""dbt build --target spark: the same marts as on DuckDB, the manifest, and what is refused.

Every test uses the one session of this process, in the order of the file. `make test` runs it in a process of its own.
"""

import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from duckdb import connect
from duckdb import sql as duckdb_sql

import build_review_site
import write_manifest
from linkage.paths import PROJECT_ROOT, SAMPLE_FOLDER
from linkage.seeds import SEED_COLUMNS, make_missing_seeds
from linkage.warehouse.query_copy import query_copy
from sandbox.clinic import BYTES_OF_BROKEN, StoredObject, make_clinic
from sandbox.spark import what_is_missing
from tests.support.clinics import write_seeds
from tests.support.projects import NO_UNIT_TESTS, InProcess, Project, hashes
from tests.support.random_folders import large_folder
from tests.support.spark import SparkProject, dbt_on_spark
from tests.warehouse.test_random_folders import change_folder

if missing := what_is_missing():
    pytest.skip(f"Spark is not tried: {missing}", allow_module_level=True)  # one line, and exit code 5

MARTS = sorted(path.stem for path in (PROJECT_ROOT / "models" / "marts").rglob("*.sql"))
SEED, ROWS = 40, 3_000  # of a random folder
# The models whose SQL has what Spark writes differently, or a text literal or pattern at its trap; `dbt build --target
# spark` runs the unit tests of all models, which takes a minute more.
DIALECT = (
    "staging",
    "int_image_candidates",
    "image_batch",
    "batches_to_relink",
    "new_type",
    "weekend",
    "identity_document",
)
NO_TESTS = (*NO_UNIT_TESTS, "--exclude-resource-type", "test")


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    """dbt on Spark."""
    folder = tmp_path_factory.mktemp("spark")
    (folder / "data").mkdir()
    with dbt_on_spark(SparkProject(folder / "data", folder / "work")) as dbt:
        yield dbt


@pytest.fixture(scope="module")
def duckdb(spark: InProcess, tmp_path_factory: pytest.TempPathFactory) -> InProcess:
    """dbt on DuckDB, on the same data folder."""
    return InProcess(Project(spark.project.data, tmp_path_factory.mktemp("duckdb") / "work"))


@pytest.fixture
def write(run_here, spark):
    """Callable: run write_manifest.py for the build on Spark."""
    project = spark.project
    environment = os.environ | project.environment
    return lambda *options: run_here(write_manifest.main, "--spark", project.tables, *options, environment=environment)


def columns_of(project: Project, table: str) -> list[str]:
    return sorted(name for name, *_ in project.query(f"describe {table}"))


def check_equal(spark: InProcess, duckdb: InProcess, *tables: str) -> None:
    """Compare tables, all columns and rows."""
    for table in tables:
        columns = columns_of(duckdb.project, table)
        assert columns_of(spark.project, table) == columns, table
        found, expected = (Counter(dbt.project.mart(table, tuple(columns))) for dbt in (spark, duckdb))
        assert (found - expected, expected - found) == (Counter(), Counter()), table


def empty(folder: Path) -> Path:
    shutil.rmtree(folder)
    make_missing_seeds(folder)
    return folder


def made_up(stored: StoredObject) -> tuple[int, str]:
    """Size and ETag of an object of the synthetic clinic without its picture."""
    etag = hashlib.md5((stored.same_as or stored).key.encode(), usedforsecurity=False).hexdigest()
    return 0 if stored.empty else BYTES_OF_BROKEN if stored.broken else 30_000 + int(etag[:4], 16), etag


def check_manifest(spark: InProcess, duckdb: InProcess, write) -> None:
    ended = write("--load")
    assert ended.returncode == 0, ended.stderr
    assert spark.project.manifest.read_bytes() == duckdb.project.manifest.read_bytes()


def test_the_sample_gives_the_marts_and_the_manifest_of_duckdb(spark, duckdb, write, run_here):
    data = empty(spark.project.data)
    shutil.copytree(SAMPLE_FOLDER, data, dirs_exist_ok=True, ignore=shutil.ignore_patterns("expected"))
    before = hashes(data)
    spark.project.stage()
    ended = spark("build", *NO_UNIT_TESTS)
    assert ended.success, ended.text
    ended = spark("test", "--select", *(f"{model},test_type:unit" for model in DIALECT))
    assert ended.success, ended.text
    assert hashes(data) == before
    assert duckdb("build", *NO_UNIT_TESTS).success
    check_equal(spark, duckdb, *MARTS, *SEED_COLUMNS)
    check_manifest(spark, duckdb, write)

    # what reads the warehouse reads what was loaded
    for project in (spark.project, duckdb.project):
        environment = os.environ | project.environment
        ended = run_here(build_review_site.main, "--no-pictures", "-o", project.work / "site", environment=environment)
        assert ended.returncode == 0, ended.stderr
    pages = [
        {str(path.relative_to(dbt.project.work)) for path in (dbt.project.work / "site").rglob("*")}
        for dbt in (spark, duckdb)
    ]
    assert pages[0] == pages[1]
    with query_copy(spark.project.work / "warehouse.duckdb") as (marts, passed):
        assert passed
        assert connect(str(marts), read_only=True).sql("from questions").fetchall()


def test_no_dbt_command_and_no_run_that_makes_a_part_proves_a_build_or_changes_an_input(spark, write):
    before = hashes(spark.project.data), hashes(spark.project.work / "staged")
    for command in (["seed"], ["compile"], ["test", "--select", "conservation"]):
        assert spark(*command).success, command
    assert write().returncode == 2  # the seeds were made again
    assert (hashes(spark.project.data), hashes(spark.project.work / "staged")) == before


def test_what_was_not_staged_for_this_build_is_refused(spark):
    staged = spark.project.work / "staged"
    shutil.copytree(staged, kept := spark.project.work / "kept")

    def refused() -> str:
        ended = spark("seed")
        shutil.rmtree(staged)
        shutil.copytree(kept, staged)
        assert not ended.success
        assert "Traceback" not in ended.text
        return ended.text

    cut = staged / "nexus_images.parquet"
    cut.write_bytes(cut.read_bytes()[:-9])
    assert "nexus_images" in refused()
    (staged / "nexus_images.parquet").unlink()
    assert "nexus_images" in refused()
    shutil.copy(staged / "nexus_patients.parquet", staged / "nexus_images.parquet")
    assert "nexus_images" in refused()
    duckdb_sql(f"copy (from '{kept / 'nexus_images.parquet'}' limit 3) to '{staged / 'nexus_images.parquet'}'")
    assert "nexus_images.parquet has 3 rows, not the 7 that were staged: run stage_seeds.py again" in refused()
    (staged / "staged.parquet").unlink()
    assert "run `python scripts/stage_seeds.py FOLDER`" in refused()
    duckdb_sql(
        f"copy (select * replace ('/other' as data_folder) from '{kept / 'staged.parquet'}')"
        f" to '{staged / 'staged.parquet'}'"
    )
    assert "LINKAGE_STAGED has the seeds of another data folder" in refused()


def test_the_synthetic_clinic_gives_the_marts_and_the_manifest_of_duckdb(spark, duckdb, write):
    write_seeds(make_clinic(), empty(spark.project.data), made_up)
    spark.project.stage()
    for dbt in (spark, duckdb):
        ended = dbt("build", *NO_UNIT_TESTS)
        assert ended.success, ended.text
    check_equal(spark, duckdb, *MARTS)
    check_manifest(spark, duckdb, write)


def test_a_random_folder_gives_the_marts_of_duckdb_and_the_changes_of_its_second_month(spark, duckdb):
    data = empty(spark.project.data)
    settings = large_folder(SEED, ROWS, data)
    for month in (1, 2):
        if month == 2:
            change_folder(data, settings, SEED)
        spark.project.stage()
        for dbt in (spark, duckdb):
            ended = dbt("build", *NO_TESTS, variables=settings)
            assert ended.success, ended.text
            ended = dbt("run-operation", "remember_build", variables=settings)
            assert ended.success, ended.text
        check_equal(spark, duckdb, *MARTS, "last_build_outcome")
    assert len(spark.project.query("select distinct change from changes_since_last_build")) > 8
    changes = [Counter(dbt.project.query("select * exclude built_at from build_changes")) for dbt in (spark, duckdb)]
    assert changes[0] == changes[1]
