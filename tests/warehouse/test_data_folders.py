"""Which files a build reads, which warehouse it makes, and when it refuses to begin."""

import os
import shutil
import subprocess
from pathlib import Path

import duckdb
import pytest

from linkage.paths import PROJECT_ROOT, warehouse_of
from linkage.seeds import SEED_COLUMNS, load_seed
from linkage.warehouse.files import find_other_warehouse
from tests.support.projects import (
    DATES,
    DBT,
    NO_UNIT_TESTS,
    InProcess,
    PostgresProject,
    Project,
    given,
    postgres_project,
    write_clinic,
)

CASES = PROJECT_ROOT / "tests" / "cases"


def lay_case(folder: Path, *cases: str) -> Path:
    """A data folder made of the case `base` with others laid over it."""
    for case in ("base", *cases):
        shutil.copytree(CASES / case, folder, dirs_exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> InProcess:
    folder = tmp_path_factory.mktemp("folders")
    return InProcess(Project(lay_case(folder / "data"), folder / "work"))


@pytest.fixture(scope="module")
def shared_postgres(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> InProcess:
    folder = tmp_path_factory.mktemp("folders")
    lay_case(folder / "data")
    return InProcess(postgres_project(postgres, folder))


@pytest.fixture(params=["duckdb", "postgres"])
def dbt(request: pytest.FixtureRequest) -> InProcess:
    """dbt on either engine, with an older manifest."""
    found = request.getfixturevalue("shared" if request.param == "duckdb" else "shared_postgres")
    shutil.rmtree(found.project.data)
    found.project.manifest.write_text("an older one")
    return found


def linked(dbt: InProcess) -> int:
    return dbt.project.query("select count(*) from image")[0][0]


def test_what_a_spreadsheet_leaves_behind_and_files_that_are_not_seeds_change_nothing(dbt):
    data = lay_case(dbt.project.data, "held-one-empty-column", "export-lies-in-data-folder")
    (data / "notes.csv").write_bytes("M\xe5rten\r".encode("cp1252"))  # nobody's seed, as any other file there
    (data / "copy_results.csv.bak").write_text("not, a\nseed")
    ended = dbt("build", *NO_UNIT_TESTS)
    assert ended.success, ended.text
    assert linked(dbt) == 18
    held = dbt.project.query("select recid from skipped_images where reason = 'held_back' order by 1")
    assert held == [("10",), ("11",)]


@pytest.mark.parametrize(
    ("held", "complaint"),
    [
        ((CASES / "held-windows-1252" / "held_images.csv").read_bytes(), "line 2 is not UTF-8"),
        (b"recid;held_by;held_on\n10;A;\n", "has no column recid in line 1"),
        (None, "cannot be opened"),
    ],
)
def test_a_list_that_protects_but_cannot_be_read_fails_the_build_and_leaves_no_manifest(dbt, held, complaint):
    path = lay_case(dbt.project.data) / "held_images.csv"
    if held is None:
        path.unlink()
    else:
        path.write_bytes(held)
    ended = dbt("build", *NO_UNIT_TESTS)
    assert not ended.success
    assert f"held_images.csv {complaint}" in ended.text or f"held_images.csv cannot be read: {complaint}" in ended.text
    assert "Traceback" not in ended.text
    assert dbt.project.manifest.exists() == isinstance(
        dbt.project, PostgresProject
    )  # there write_manifest.py removes it


@pytest.mark.parametrize(("name", "others"), [("clinic [2]", "2"), ("clinic {1}*?", "{1}ab")])
def test_the_name_of_a_data_folder_is_never_a_pattern(dbt, name, others, tmp_path):
    lay_case(dbt.project.data)
    lay_case(tmp_path / name)
    for other in others.split():
        lay_case(tmp_path / f"clinic {other}", "folder-with-brackets/other-clinic")
    dbt.project.linkage_data = str(tmp_path / name)
    try:
        ended = dbt("seed")
    finally:
        dbt.project.linkage_data = None
    assert ended.success, ended.text
    assert dbt.project.query("select count(*) from filemaker_images_metadata") == [(20,)]


def test_the_name_of_a_data_folder_is_never_a_value(tmp_path):
    """DuckDB would read `recid=5` as a partition: every row would have this record number."""
    path = lay_case(tmp_path / "recid=5" / "date=2026-11-26") / "filemaker_images_metadata.csv"
    with duckdb.connect() as connection:
        assert load_seed(connection, path, "rows", list(SEED_COLUMNS["filemaker_images_metadata"])) is None
        found = connection.execute('select count(distinct recid), count(distinct "date") > 1 from rows').fetchone()
    assert found == (20, True)


@pytest.mark.parametrize(
    "torn",
    [
        'r,2026-01-01T00:00:00Z,i,b,"k\nin two li',
        "r,2026-01-01T00:00:00Z,i,b,k,e,b,k2,e,1,copied,1,",  # whole but for its line end
    ],
)
def test_the_last_line_of_the_results_is_left_out_while_it_is_not_whole(dbt, torn, capsys):
    path = lay_case(dbt.project.data) / "copy_results.csv"
    with path.open("a") as file:
        file.write("r,2026-01-01T00:00:00Z,i,b,k,e,b,k1,e,1,copied,1,\n" + torn)
    ended = dbt("seed", "--select", "copy_results")
    assert ended.success, ended.text
    assert dbt.project.query("select count(*) from copy_results") == [(1,)]
    assert "copy_results.csv: the last line is cut off" in ended.text + capsys.readouterr().err


class WhileACopyRunWrites:
    """A connection, before whose first query another process appends to a file."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, path: Path, appended: str) -> None:
        self.connection, self.path, self.appended = connection, path, appended

    def execute(self, query: str) -> duckdb.DuckDBPyConnection:
        with self.path.open("a") as file:
            file.write(self.appended)
        self.appended = ""
        return self.connection.execute(query)


@pytest.mark.parametrize("appended", ["r,t,i,b,k,e,b,k2,e,1,copied,1,", "r,t,i,b", "r,t,i,b,k,e,b,k2,e,1,copied,1,\n"])
def test_results_are_read_as_they_were_when_reading_began(tmp_path, appended):
    path = tmp_path / "copy_results.csv"
    columns = SEED_COLUMNS["copy_results"]
    path.write_text(",".join(columns) + "\nr,t,i,b,k,e,b,k1,e,1,copied,1,\n")
    with duckdb.connect() as connection:
        growing = WhileACopyRunWrites(connection, path, appended)
        assert load_seed(growing, path, "results", list(columns), record_number=True, appended=True) is None
        assert connection.execute("select destination_key from results").fetchall() == [("k1",)]


def test_a_malformed_line_of_the_results_is_not_taken_for_one_that_is_cut_off(dbt):
    path = lay_case(dbt.project.data) / "copy_results.csv"
    line = "r,2026-01-01T00:00:00Z,i,b,k,e,b,k1,e,1,copied,1,\n"
    with path.open("a") as file:
        file.write(line + 'r,"' + line * 3)
    ended = dbt("seed", "--select", "copy_results")
    assert not ended.success
    assert "the quotes in line 3 do not match" in ended.text


@pytest.fixture
def copy_of_project(tmp_path: Path) -> Path:
    """A project of its own, because these tests are about what is in its folder."""
    copy = tmp_path / "project"
    ignored = shutil.ignore_patterns(
        ".git", ".venv", "data", "target", "logs", "__pycache__", "manifest.csv", ".*_cache"
    )
    shutil.copytree(PROJECT_ROOT, copy, ignore=ignored)
    shutil.copy(copy / "profiles.yml.example", copy / "profiles.yml")
    return copy


# What tests of where a build begins and ends need to make.
ONE_MART = ("--select", "build_settings", "filemaker_images_metadata", "--indirect-selection", "empty")


def build(
    project: Path, *options: str, folder: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """`dbt build` of the project, in its own folder or in another one."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("LINKAGE_", "DBT_")) and name != "PYTHON_DOTENV_DISABLED"
    }
    command = [DBT, "--no-use-colors", "build", *NO_UNIT_TESTS, *options, *given({})]
    if folder:
        command += ["--project-dir", project, "--profiles-dir", project]
    return subprocess.run(
        command,
        cwd=folder or project,
        env=inherited | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def test_the_sample_is_never_built_in_place_of_a_clinic(copy_of_project):
    project = copy_of_project
    (project / "manifest.csv").write_text("an older one")
    write_clinic(project / "data", DATES)
    refused = build(project, LINKAGE_DATA="")
    assert refused.returncode
    assert "LINKAGE_DATA is not set, although data/ has an export" in refused.stdout

    clinic = build(project, *ONE_MART, LINKAGE_DATA="data", LINKAGE_WAREHOUSE="target/image_linkage.duckdb")
    assert clinic.returncode == 0, clinic.stdout
    before = (project / "target" / "image_linkage.duckdb").read_bytes()
    refused = build(project, LINKAGE_DATA="seeds/sample")
    assert refused.returncode
    assert "the sample would replace marts that were not made from it" in refused.stdout

    (project / ".env").write_text("LINKAGE_DATA=data\n")
    refused = build(project)
    assert refused.returncode
    assert "LINKAGE_DATA is set in .env, which dbt does not read" in refused.stdout
    assert (project / "target" / "image_linkage.duckdb").read_bytes() == before


def test_a_build_called_elsewhere_builds_the_projects_own_warehouse_or_none(copy_of_project, tmp_path):
    project, elsewhere = copy_of_project, tmp_path / "elsewhere"
    write_clinic(project / "clinic [2]", DATES)
    write_clinic(project / "clinic 2", DATES[:3])
    write_clinic(elsewhere / "clinic [2]", DATES[:3])
    ended = build(project, *ONE_MART, folder=elsewhere, LINKAGE_DATA="clinic [2]")
    assert ended.returncode
    assert f"dbt would build in {elsewhere / 'clinic [2]'}" in ended.stdout
    assert not list(elsewhere.rglob("*.duckdb"))
    whole = build(project, *ONE_MART, folder=elsewhere, LINKAGE_DATA=str(project / "clinic [2]"))
    assert whole.returncode == 0, whole.stdout
    with duckdb.connect(str(project / "clinic [2]" / "image_linkage.duckdb"), read_only=True) as connection:
        assert connection.execute("select count(*) from filemaker_images_metadata").fetchone() == (20,)
    # and git sees none of it
    subprocess.run(["git", "init", "-q"], cwd=project, check=True)
    status = ["git", "status", "--porcelain", "--untracked-files=all", "clinic [2]"]
    assert subprocess.run(status, cwd=project, check=True, stdout=subprocess.PIPE, text=True).stdout == ""


def test_scripts_and_dbt_mean_the_same_warehouse(monkeypatch):
    monkeypatch.delenv("LINKAGE_WAREHOUSE", raising=False)
    assert warehouse_of(Path("/srv/clinic")) == Path("/srv/clinic/image_linkage.duckdb")
    assert warehouse_of(PROJECT_ROOT / "seeds" / "sample") == PROJECT_ROOT / "target" / "image_linkage.duckdb"
    monkeypatch.setenv("LINKAGE_WAREHOUSE", "")
    assert warehouse_of(Path("/srv/clinic")) == Path("/srv/clinic/image_linkage.duckdb")
    monkeypatch.setenv("LINKAGE_WAREHOUSE", "other.duckdb")
    assert warehouse_of(Path("/srv/clinic")) == PROJECT_ROOT / "other.duckdb"


def test_a_warehouse_that_only_the_profile_names_is_built_and_said(tmp_path, capsys):
    with duckdb.connect(str(tmp_path / "own.duckdb")) as connection:
        assert find_other_warehouse(connection, tmp_path) is None
    assert "own.duckdb: publish with --warehouse" in capsys.readouterr().err


def test_a_folder_in_ones_home_is_refused_where_no_shell_wrote_it_out(dbt):
    lay_case(dbt.project.data)
    dbt.project.linkage_data = "~/clinic"
    try:
        ended = dbt("seed")
    finally:
        dbt.project.linkage_data = None
    assert not ended.success
    assert "LINKAGE_DATA begins with ~" in ended.text
