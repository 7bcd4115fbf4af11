"""dbt build on DuckDB: seeds, evidence, the manifest, settings, files."""

import csv
import os
import re
import shutil
from datetime import date
from pathlib import Path

import duckdb
import pytest
import yaml

from benchmarks import by_hand
from linkage.paths import PROJECT_ROOT, SAMPLE_FOLDER
from linkage.seeds import SEED_COLUMNS
from linkage.warehouse.mark import PROVED, proved_schema
from linkage.warehouse.marts import read_settings
from linkage.warehouse.query_copy import read_questions
from sandbox.settings import DEFAULT_VARS, DUMP
from tests.support.projects import (
    DATES,
    MALFORMED,
    NO_UNIT_TESTS,
    InProcess,
    Project,
    hashes,
    uuid,
    write_clinic,
    write_seed,
)
from tests.warehouse import write_sample_answers

MANIFEST_COLUMNS = (
    "image_id", "source_bucket", "source_key", "source_etag", "source_size", "destination_bucket", "destination_key",
)  # fmt: skip


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> InProcess:
    """dbt in this process, for tests of what a build decides."""
    folder = tmp_path_factory.mktemp("shared")
    write_clinic(folder / "data", DATES)
    return InProcess(Project(folder / "data", folder / "work"))


@pytest.fixture
def dbt(shared: InProcess) -> InProcess:
    """dbt on a clinic with one linkable image per date, and an older manifest."""
    shutil.rmtree(shared.project.data)
    write_clinic(shared.project.data, DATES)
    shared.project.manifest.write_text("an older one")
    return shared


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """The same clinic, for dbt as a command."""
    write_clinic(tmp_path / "data", DATES)
    return Project(tmp_path / "data", tmp_path / "work")


def texts_with(project: Project, marker: str) -> list[Path]:
    """The files that dbt left and that contain `marker`, except the database, which holds the records."""
    kept = [path for path in project.work.rglob("*") if path.is_file() and not path.name.startswith("warehouse.duckdb")]
    assert len(kept) > 20
    return [path for path in kept if marker.encode() in path.read_bytes()]


def read_manifest(project: Project) -> list[tuple]:
    with project.manifest.open(encoding="utf-8", newline="") as file:
        return [tuple(row) for row in csv.reader(file)]


def copy_of_project(folder: Path) -> Path:
    """The project's own files, elsewhere."""
    ignored = shutil.ignore_patterns(".git", ".venv", "data", "target", "logs")
    return Path(shutil.copytree(PROJECT_ROOT, folder / "project", ignore=ignored))


def test_the_mark_of_a_build_that_passed_is_lost_when_a_table_that_it_vouches_for_is_made_again(dbt):
    def marked() -> str | None:
        with duckdb.connect(str(dbt.project.work / "warehouse.duckdb"), read_only=True) as connection:
            return proved_schema(connection)

    assert dbt("build", *NO_UNIT_TESTS).success
    for harmless in (["run", "--select", "copy_status"], ["test", "--select", "conservation"], ["compile"]):
        assert dbt(*harmless).success
        assert marked() == "main", harmless
    # of an earlier build, by a profile with another schema
    with duckdb.connect(str(dbt.project.work / "warehouse.duckdb")) as connection:
        connection.execute("create schema another; create table another.build_settings as from build_settings")
        connection.execute(f"comment on table another.build_settings is '{PROVED}'")
    for remade in ("image", "int_image_candidates", "batches_to_relink", "build_settings", "nexus_patients"):
        assert dbt("seed" if remade == "nexus_patients" else "run", "--select", remade).success
        assert marked() is None, remade
        assert dbt("run-operation", "mark_build", "--args", f"{{mark: {PROVED}}}").success
        assert marked() == "main"
    assert not dbt("build", *NO_UNIT_TESTS, variables={"today": "1 June"}).success
    assert marked() is None
    with duckdb.connect(str(dbt.project.work / "warehouse.duckdb")) as connection:
        connection.execute("drop schema another cascade")


def test_the_settings_of_a_build_are_a_mart(dbt):
    with (PROJECT_ROOT / "dbt_project.yml").open(encoding="utf-8") as file:
        names = set(yaml.safe_load(file)["vars"])
    given = {"batch_name_suffix": " it's", "image_extensions": ["JPG", "tif"], "today": ""}
    assert dbt("build", *NO_UNIT_TESTS, variables=given).success
    with duckdb.connect(str(dbt.project.work / "warehouse.duckdb"), read_only=True) as connection:
        settings = read_settings(connection, "main")
    assert set(settings) == names | {"data_folder"}
    assert settings["batch_name_suffix"] == " it's"
    assert settings["image_extensions"] == "jpg tif"
    assert abs((date.fromisoformat(settings["today"]) - date.today()).days) <= 1
    assert settings["source_prefix"] == DUMP


def test_an_image_whose_batch_is_missing_or_miscounted_does_not_add_up(dbt):
    assert dbt("build", *NO_UNIT_TESTS).success
    for change, complaint in (
        ("update image_batch set image_count = image_count + 1", "every batch counts its own images: 0 expected, "),
        ("delete from image_batch", "every image has its batch: 0 expected, 20 found"),
    ):
        with duckdb.connect(str(dbt.project.work / "warehouse.duckdb")) as connection:
            connection.execute(change)
        ended = dbt("test", "--select", "conservation")
        assert not ended.success
        assert complaint in ended.text


def test_only_a_whole_build_writes_a_manifest(dbt):
    assert dbt("build", *NO_UNIT_TESTS).success
    first = dbt.project.manifest.read_bytes()
    header, *rows = read_manifest(dbt.project)
    assert tuple(header) == MANIFEST_COLUMNS
    assert rows == [tuple(str(value) for value in row) for row in dbt.project.mart("copy_manifest", MANIFEST_COLUMNS)]
    assert [row[2].removeprefix(DUMP) for row in rows] == [f"{n}.jpg" for n in range(1, 21)]
    for part in (["build", "--select", "reasons"], ["run"], ["test", "--select", "conservation"]):
        dbt.project.manifest.write_text("an older one")
        assert dbt(*part).success, part
        assert dbt.project.manifest.read_text() == "an older one", part
    assert dbt("build", *NO_UNIT_TESTS).success
    assert dbt.project.manifest.read_bytes() == first
    dbt("build", "--empty", *NO_UNIT_TESTS)
    assert not dbt.project.manifest.exists()


def test_a_build_that_fails_removes_an_older_manifest_and_says_why(dbt):
    days_first = [f"{day}/{month}/{year}" for month, day, year in (date.split("/") for date in DATES)]
    write_clinic(dbt.project.data, days_first)
    ended = dbt("build", *NO_UNIT_TESTS)
    assert not ended.success
    assert "The dates contradict filemaker_date_order mdy (20 of them do not fit; as dmy 0 do not)" in ended.text
    assert "set filemaker_date_order to dmy" in ended.text
    assert not dbt.project.manifest.exists()
    # a failing test alone removes it, too
    dbt.project.manifest.write_text("an older one")
    assert not dbt("test", "--select", "date_order_is_not_contradicted").success
    assert not dbt.project.manifest.exists()
    # and with the order set, the same files pass
    ended = dbt("build", *NO_UNIT_TESTS, variables={"filemaker_date_order": "dmy"})
    assert ended.success, ended.text
    assert len(read_manifest(dbt.project)) == 21


def test_unit_tests_pass_with_any_settings(dbt):
    settings = {
        "filemaker_date_order": "dmy",
        "source_prefix": "dump/",
        "destination_bucket": "other",
        "destination_key_template": "{filemaker_id}/{captured_date}/{recid}",
        "batch_name_suffix": "'s",
        "import_source": "import",
        "image_extensions": "tif",
        "today": "2001-01-01",
        "unlinked_policy": "copy",
    }
    write_clinic(dbt.project.data, ["13/1/2000"], prefix="dump/")
    ended = dbt("build", variables=settings)
    assert ended.success, ended.text
    assert dbt.project.query("select outcome, reason from image_outcome") == [("skipped", "unsupported_file_type")]


def test_record_numbers_of_a_cloned_file_fail_the_build(dbt):
    pngs = (3, 5, 8, 13, 19)
    rows = [
        {"recid": n, "id_Contact": uuid(1), "date": date, "fileName": f"{n}.{'png' if n in pngs else 'jpg'}"}
        for n, date in enumerate(DATES, 1)
    ]
    write_seed(dbt.project.data, "filemaker_images_metadata", rows)

    def build(agreeing: tuple[int, ...]):
        objects = [
            {"bucket": "clinic", "key": f"{DUMP}{n}.{'PNG' if n in agreeing else 'jpg'}", "size": 10, "etag": "e"}
            for n in range(1, 21)
        ]
        write_seed(dbt.project.data, "s3_inventory", objects)
        return dbt("build", *NO_UNIT_TESTS)

    ended = build(agreeing=(3, 5))
    assert not ended.success
    assert "The record numbers do not fit the objects (of 5 file names" in ended.text
    assert "2 agree with their object)" in ended.text
    assert not dbt.project.manifest.exists()
    # one more that agrees is over half, and passes
    ended = build(agreeing=(3, 5, 8))
    assert ended.success, ended.text


def test_dates_that_fit_two_orders_give_a_warning(dbt):
    write_clinic(dbt.project.data, ["1/2/2016", "2/3/2016", "3/4/2016"])
    ended = dbt("build", *NO_UNIT_TESTS)
    assert ended.success, ended.text
    assert "The dates do not show whether they are in the order mdy or dmy" in ended.text
    assert len(read_manifest(dbt.project)) == 4


def test_a_batch_of_another_patient_than_its_images_is_named_and_one_whose_patient_is_gone_is_listed_to_relink(dbt):
    write_seed(
        dbt.project.data,
        "nexus_patients",
        [{"patient_id": "n-1", "filemaker_id": uuid(1)}, {"patient_id": "n-2", "filemaker_id": uuid(2)}],
    )
    write_seed(
        dbt.project.data,
        "nexus_image_batches",
        [{"id": f"b-{n}", "patient_id": patient} for n, patient in enumerate(("n-1", "n-2", "n-3"), 1)],
    )
    write_seed(
        dbt.project.data,
        "nexus_images",
        [{"id": f"i-{n}", "batch_id": f"b-{n}", "filemaker_id": uuid(1000 + n)} for n in (1, 2, 3)],
    )
    ended = dbt("build", *NO_UNIT_TESTS)
    assert ended.success, ended.text
    assert "Nexus holds batch b-2 for patient n-2, but an image in it belongs to patient n-1" in ended.text
    assert ended.text.count("Nexus holds batch") == 1
    assert dbt.project.query("select id, new_patient_id from batches_to_relink") == [("b-3", "n-1")]


def test_a_template_that_would_lose_images_fails_the_build(dbt):
    ended = dbt("build", *NO_UNIT_TESTS, variables={"destination_key_template": "patients/{patient_id}.{extension}"})
    assert not ended.success
    assert "20 images would be copied to one destination" in ended.text
    assert not dbt.project.manifest.exists()
    ended = dbt("build", *NO_UNIT_TESTS, variables={"destination_key_template": DUMP + "copies/{recid}.{extension}"})
    assert not ended.success
    assert "would be written into the dump" in ended.text
    assert not dbt.project.manifest.exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("filemaker_date_order", "ydm"),
        ("unlinked_policy", "move"),
        ("today", "1 June"),
        ("today", "2016-02-30"),
        ("destination_key_template", "{patient}/{recid}"),
        ("destination_key_template", ""),
        ("image_extensions", ""),
    ],
)
def test_a_setting_that_cannot_be_used_is_named_in_one_sentence(dbt, name, value):
    ended = dbt("build", variables={name: value})
    assert not ended.success
    assert f"the var {name} cannot be used: it " in ended.text
    assert "Traceback" not in ended.text
    assert not dbt.project.manifest.exists()


UNUSABLE = {
    "filemaker_date_order": ["MDY", None],
    "source_prefix": ["/dump/", "dump", "s3://clinic/dump/", None, "dump\n/"],
    "destination_bucket": ["s3://clinic", "clinic/dump", None],
    "destination_key_template": [
        "/{patient_id}/{recid}", "{patient_id}//{recid}", "{patient_id}/../{recid}", "./{recid}", "{recid}/",
        "{patient_id}\\{recid}", ["{recid}"],
    ],
    "batch_name_suffix": [None, "a\tb"],
    "import_source": ["", " filemaker_import", None],
    "image_extensions": [[".jpg"], "jpg;png", ["jpg", "*"], ["j pg"], ["füß"], None, [True], {"jpg": 1}, 5],
    "record_numbers_confirmed": ["false", "yes", None, 1],
    "today": ["2026-1-2", "2026-01-02\n", "2026-13-01"],
    "unlinked_policy": ["Copy", None],
    "duckdb_memory_limit": ["plenty", "1000", "0GB", "1GB; select 1", "150%", "", 1],
}  # fmt: skip


def test_each_setting_is_refused_by_name_where_it_cannot_work_and_taken_where_it_can(dbt):
    for name, values in UNUSABLE.items():
        for value in values:
            ended = dbt("run-operation", "check_settings", variables={name: value})
            assert not ended.success, (name, value)
            assert f"the var {name} cannot be used: it must " in ended.text, (name, value)
            assert "Traceback" not in ended.text
    usable = {
        "source_prefix": "", "destination_bucket": "arn:aws:s3:eu-west-1:1:accesspoint/a", "batch_name_suffix": "",
        "import_source": "it's, \"FM\" 2", "image_extensions": "JPG, 3gp", "record_numbers_confirmed": True,
        "today": "", "duckdb_memory_limit": "80%", "destination_key_template": "a..b/.{recid}/{extension}",
    }  # fmt: skip
    ended = dbt("run-operation", "check_settings", variables=usable)
    assert ended.success, ended.text


def test_a_name_that_is_not_a_setting_is_refused_with_the_names_that_are(dbt):
    for name in ("source_prefx", "SOURCE_PREFIX"):
        ended = dbt("build", variables={name: "dump/"})
        assert not ended.success
        assert f"--vars names {name}, which is not a setting: the settings are filemaker_date_order, " in ended.text
        assert not dbt.project.manifest.exists()


def test_a_setting_of_another_type_is_refused_by_name_even_where_dbt_reads_it_first(project):
    """Models are rendered before any check of ours runs."""
    project.variables = {"source_prefix": None, "image_extensions": 5, "destination_key_template": 7}
    ended = project.dbt("build", *NO_UNIT_TESTS)
    assert ended.returncode != 0
    assert "the var source_prefix cannot be used: it must be a text in quotation marks" in ended.stdout
    assert "Traceback" not in ended.stdout


@pytest.mark.parametrize("kind", ["absolute", "relative"])
def test_every_dbt_command_leaves_every_input_unchanged(project, kind):
    if kind == "relative":
        project.linkage_data = os.path.relpath(project.data, PROJECT_ROOT)
    # files beside the seeds, and the seeds of a clinic in a folder below, are not inputs
    (project.data / "Notes.csv").write_text('a,"b\n')
    (project.data / "demo").mkdir()
    for path in list(project.data.glob("*.csv")):
        shutil.copy(path, project.data / "demo" / path.name)
    before = hashes(project.data)
    dbt = InProcess(project)
    commands = [["seed"], ["build", *NO_UNIT_TESTS]]
    if kind == "absolute":  # over such a path dbt's own materialization writes
        commands += [
            ["seed", "--full-refresh"], ["run"], ["test", *NO_UNIT_TESTS], ["compile"], ["docs", "generate"],
            ["ls"], ["show", "--select", "import_summary"], ["build", "--empty", *NO_UNIT_TESTS],
        ]  # fmt: skip
    for command in commands:
        ended = dbt(*command)
        assert ended.success or "--empty" in command, (command, ended.text)
        assert hashes(project.data) == before, command


@pytest.mark.parametrize(("text", "complaint"), MALFORMED, ids=range(len(MALFORMED)))
def test_a_malformed_seed_is_refused_with_its_line_and_without_its_values(dbt, text, complaint):
    path = dbt.project.data / "nexus_patients.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    ended = dbt("build", *NO_UNIT_TESTS)
    assert not ended.success
    assert "nexus_patients.csv" in ended.text
    assert complaint in ended.text
    assert "Traceback" not in ended.text
    assert "SECRET" not in ended.text
    assert not dbt.project.manifest.exists()
    assert texts_with(dbt.project, "SECRET") == []


def test_seeds_are_read_with_any_line_ends_column_order_and_extra_columns(dbt):
    for seed in SEED_COLUMNS:
        path = dbt.project.data / f"{seed}.csv"
        with path.open(encoding="utf-8", newline="") as file:
            rows = [[*reversed(row), "more"] for row in csv.reader(file)]
        with path.open("w", encoding="utf-8-sig", newline="") as file:
            csv.writer(file, lineterminator="\r\n", quoting=csv.QUOTE_ALL).writerows(rows)
    ended = dbt("build", *NO_UNIT_TESTS)
    assert ended.success, ended.text
    assert dbt.project.query("select count(*) from image") == [(20,)]


def test_values_after_many_rows_may_contain_quotation_marks_and_line_feeds(dbt):
    rows = [{"recid": n, "Type": 'a "b", NULL\nc' if n > 30_000 else "x"} for n in range(1, 40_001)]
    write_seed(dbt.project.data, "filemaker_images_metadata", rows)
    # none of these rows can be linked, which fails a whole build
    ended = dbt("build", *NO_UNIT_TESTS, "--exclude", "something_is_linked")
    assert ended.success, ended.text
    assert dbt.project.query('select "type", count(*) from skipped_images group by all order by all') == [
        ('a "b", NULL\nc', 10_000),
        ("x", 30_000),
    ]


def test_the_sample_gives_the_expected_marts_regardless_of_a_clinics_settings_for_its_owner_alone(tmp_path):
    copy = copy_of_project(tmp_path)
    settings = (copy / "dbt_project.yml").read_text()
    for default, other in (("order: mdy", "order: dmy"), ("_dump", "_other"), ("policy: report", "policy: copy")):
        settings = settings.replace(default, other)
    (copy / "dbt_project.yml").write_text(settings)
    project = Project(SAMPLE_FOLDER, copy / "work", root=copy, linkage_data="seeds/sample", variables=None)
    project.work.chmod(0o755)
    logs = tmp_path / "logs"
    logs.mkdir(mode=0o755)
    before = hashes(copy / "seeds" / "sample")
    ended = project.dbt("build", "--log-path", str(logs))
    assert ended.returncode == 0, ended.stdout
    check_only_the_owner_can_read(project, logs)
    assert ended.stdout.splitlines()[-1].startswith("This is the sample of the project")
    assert hashes(copy / "seeds" / "sample") == before
    for path in sorted((SAMPLE_FOLDER / "expected").glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            header, *expected = [tuple(row) for row in csv.reader(file)]
        rows = project.mart(path.stem, tuple(header))
        found = [tuple("" if value is None else str(value) for value in row) for row in rows]
        if path.stem != "copy_manifest":
            expected, found = sorted(expected), sorted(found)
        assert found == expected, path.stem
    used = project.query("select reason from image_outcome union select reason from object_outcome")
    assert set(used) - {(None,)} == set(project.query("select reason from stg_reasons"))
    assert project.query("select count(*) from stale_copies") == [(1,)]
    assert set(project.query("select status from copy_status")) == {("verified",), ("failed",), ("to_do",)}
    own = {name: " ".join(value) if isinstance(value, list) else str(value) for name, value in DEFAULT_VARS.items()}
    own["record_numbers_confirmed"] = "false"
    assert dict(project.query("select name, value from build_settings")) == own | {"data_folder": "seeds/sample"}
    check_page(project, write_sample_answers.PAGE.read_text(encoding="utf-8"))
    # The script that `python -m benchmarks build` measures the build against makes the same.
    by_hand.main(SAMPLE_FOLDER, tmp_path / "by_hand.duckdb", "1GB", str(DEFAULT_VARS["today"]))
    assert by_hand.differences(project.work / "warehouse.duckdb", tmp_path / "by_hand.duckdb") == []
    assert (tmp_path / "by_hand.csv").read_bytes() == project.manifest.read_bytes()


def check_only_the_owner_can_read(project: Project, logs: Path) -> None:
    """What dbt and DuckDB write is its owner's alone; a folder outside the project is unchanged: others may need it."""
    for folder in (project.work, project.work / "target"):
        assert folder.stat().st_mode & 0o777 == 0o700, folder
    for file in (project.manifest, project.work / "warehouse.duckdb", project.work / "target" / "run_results.json"):
        assert file.stat().st_mode & 0o777 == 0o600, file
    assert logs.stat().st_mode & 0o777 == 0o755


def check_page(project: Project, page: str) -> None:
    """The page answers every question of `analyses/`, below the words in which it is asked, as the sample does."""
    assert write_sample_answers.answered(project, page) == page
    shown = re.findall(r"## ([^\n]*)\n(?:(?!\n## ).)*?```sql\nfrom (\w+)", page, re.DOTALL)
    assert sorted(shown) == sorted((question.asks, question.name) for question in read_questions())
    assert len(shown) == 20


def test_every_model_and_macro_is_described_and_every_column_declared(dbt):
    assert dbt("build", *NO_UNIT_TESTS).success
    found = dbt.project.query(
        "select table_name, column_name from information_schema.columns where table_schema = 'main'"
    )
    nodes = {node.name: node for node in dbt.manifest.nodes.values() if node.resource_type in ("model", "seed")}
    # the seeds' own loading adds this one, which is not a column of the file
    tables = nodes | {source.name: source for source in dbt.manifest.sources.values()}
    declared = {(name, column) for name, table in tables.items() for column in table.columns}
    assert set(found) == declared | {("copy_results", "record_number"), ("held_images", "record_number")}
    macros = [macro for macro in dbt.manifest.macros.values() if macro.package_name == "image_linkage"]
    # materializations have no description of their own
    assert [macro.name for macro in macros if not macro.description and "materialization_" not in macro.name] == []
    assert [node.name for node in nodes.values() if not node.description] == []


def read_reference(seed: str) -> list[tuple]:
    with (PROJECT_ROOT / "seeds" / "reference" / f"{seed}.csv").open(encoding="utf-8", newline="") as file:
        return [tuple(row) for row in csv.reader(file)][1:]


def test_the_page_about_reasons_says_what_the_reference_seed_says():
    page = (PROJECT_ROOT / "docs" / "reasons.md").read_text(encoding="utf-8")
    written = re.findall(r"^\| ([0-9]+) \| `(\w+)` \| (.*) \| (.*) \| (.*) \|$", page, re.MULTILINE)
    assert written == [row[1:] for row in read_reference("reasons")]


def test_the_page_about_findings_says_what_the_reference_seed_says_and_has_a_section_about_each():
    page = (PROJECT_ROOT / "docs" / "findings.md").read_text(encoding="utf-8")
    written = re.findall(r"^\| `(\w+)` \| (\w+) \| (.*) \| (.*) \|$", page, re.MULTILINE)
    assert written == read_reference("findings")
    assert re.findall(r"^## (.*)$", page, re.MULTILINE) == [row[0] for row in written]


def test_no_free_text_of_a_record_is_in_the_output_or_text_files_of_dbt(project):
    """Every unreadable cell gets its reason; its value stays in the database file."""
    marker = "SECRETNAME"
    values = dict.fromkeys(SEED_COLUMNS["filemaker_images_metadata"], f'{marker}\n,"')
    write_seed(project.data, "filemaker_images_metadata", [values] * 19)
    write_seed(
        project.data,
        "s3_inventory",
        [{"bucket": "b", "key": f"{DUMP}{n}.jpg", "size": marker, "etag": marker} for n in range(3)],
    )
    for seed in ("nexus_patients", "nexus_image_batches", "nexus_images", "copy_results"):
        write_seed(project.data, seed, [dict.fromkeys(SEED_COLUMNS[seed], marker)])
    write_seed(project.data, "held_images", [{"recid": 1, "held_by": marker, "held_on": marker}])
    ended = project.dbt("--debug", "build", *NO_UNIT_TESTS)
    assert ended.returncode == 0, ended.stdout
    assert "copy_results.csv: outcome is missing or cannot be read in 1 line." in ended.stdout
    assert marker not in ended.stdout
    assert texts_with(project, marker) == []
    assert project.query("select distinct reason from image_outcome") == [("invalid_recid",)]
    write_seed(project.data, "held_images", [{"recid": marker, "held_by": marker}])
    ended = project.dbt("--debug", "build", "--select", "+held_images_can_be_read")
    assert "held_images.csv cannot be read: line 2 has no record number" in ended.stdout
    assert marker not in ended.stdout
    assert texts_with(project, marker) == []
