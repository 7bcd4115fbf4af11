"""What a build refuses, and what it warns about, on both engines: small inputs that once went wrong (tests/cases)."""

import shutil
from pathlib import Path

import pytest

from linkage.paths import PROJECT_ROOT
from linkage.seeds import make_missing_seeds
from sandbox.settings import DUMP
from tests.support.oracle import read_seed
from tests.support.projects import NO_UNIT_TESTS, InProcess, PostgresProject, Project, postgres_project, write_seed

CASES = PROJECT_ROOT / "tests" / "cases"
NO_TESTS = (*NO_UNIT_TESTS, "--exclude-resource-type", "test")
PATIENT = "F0000000-0000-4000-8000-000000000001"
FIELDS = ("date", "fileName", "id", "id_Contact", "Name_of_file", "NexusExportDate", "recid", "Type")


@pytest.fixture(scope="module", params=["duckdb", "postgres"])
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> InProcess:
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "duckdb":
        project = Project(folder / "data", folder / "work")
    else:
        project = postgres_project(request.getfixturevalue("postgres"), folder)
    make_missing_seeds(project.data)
    return InProcess(project)


@pytest.fixture
def dbt(shared: InProcess) -> InProcess:
    """dbt on the cases' base: records 10 to 29 of one patient, each with its object; and an older manifest."""
    shutil.rmtree(shared.project.data)
    shutil.copytree(CASES / "base", shared.project.data)
    shared.project.manifest.write_text("an older one")
    return shared


def lay_over(dbt: InProcess, case: str) -> None:
    """Replace seeds of the data folder by those of a case."""
    for path in (CASES / case).glob("*.csv"):
        shutil.copy(path, dbt.project.data)


def outcomes(dbt: InProcess) -> dict[str, int]:
    """How many rows of the export have each outcome, or reason."""
    return dict(dbt.project.query("select coalesce(reason, outcome), count(*) from image_outcome group by 1"))


def rewrite(data: Path, seed: str, change) -> None:
    """Replace each row of a seed by what `change` returns for it."""
    write_seed(data, seed, [change(row) for row in read_seed(data, seed)])


def check_no_manifest(dbt: InProcess, text: str) -> None:
    """Check that no manifest is left; on PostgreSQL another command writes it, and the build says that it cannot."""
    assert "No manifest" in text
    if not isinstance(dbt.project, PostgresProject):
        assert not dbt.project.manifest.exists()


def test_lines_of_the_held_list_that_cannot_be_read_fail_the_build_and_are_named(dbt):
    lay_over(dbt, "held-unreadable")
    ended = dbt("build", *NO_UNIT_TESTS)
    assert not ended.success
    assert (
        "held_images.csv cannot be read: lines 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 1 more have no record" in ended.text
    )
    for value in ("10.jpg", "recid 12", "13;14", "(face)", "2.2E+01", "reviewer"):
        assert value not in ended.text
    check_no_manifest(dbt, ended.text)
    # a line feed in a value, and a spreadsheet's empty lines, are lines of the file as well
    path = dbt.project.data / "held_images.csv"
    path.write_text(
        'recid,held_by,held_on\n24,"two\nlines",\n,,\n0,,\n6.000,,\n,reviewer,\n" ",,\n25.0,,\n,,2025-12-22\n'
    )
    ended = dbt("build", "--select", "+held_images_can_be_read", *NO_UNIT_TESTS)
    assert not ended.success
    assert "lines 5, 6, 7, 8, 10 have no record number in the column recid" in ended.text


def test_what_can_be_read_is_held_and_a_record_that_is_not_in_the_export_is_named(dbt):
    path = dbt.project.data / "held_images.csv"
    lines = ["24,reviewer,", ",,", "25.0,,", '"00,010.",,', "24,,", *(f"{n},," for n in range(901, 913)), "", ""]
    path.write_text("recid,held_by,held_on\n" + "\n".join(lines))
    ended = dbt("build", *NO_UNIT_TESTS)
    assert ended.success, ended.text
    assert outcomes(dbt) == {"linked": 17, "held_back": 3}
    assert (
        "held_images.csv: no row of the export has record 901, 902, 903, 904, 905, 906, 907, 908, 909, 910 and 2 more"
        in ended.text
    )


def test_a_dot_for_thousands_is_not_taken_for_a_decimal_point(dbt):
    lay_over(dbt, "dot-thousands")
    records = (CASES / "dot-thousands" / "export.tab").read_bytes().decode().split("\r")
    rows = [dict(zip(FIELDS, record.split("\t"), strict=True)) for record in records if record]
    write_seed(dbt.project.data, "filemaker_images_metadata", rows)
    ended = dbt("build", *NO_UNIT_TESTS)
    assert not ended.success
    assert outcomes(dbt) == {"invalid_recid": 21}
    assert "Nothing is linked: 21 of 21 rows are skipped as invalid_recid. Likely cause: The recid column" in ended.text
    assert "filemaker_images_metadata.csv: recid is missing or cannot be read in 21 lines." in ended.text
    check_no_manifest(dbt, ended.text)
    # nor where other records are plain, nor in Nexus
    rows = [{"recid": recid, "id_Contact": PATIENT, "date": "10/18/2016"} for recid in ("6", "6.000", "6.0", "7.00")]
    write_seed(dbt.project.data, "filemaker_images_metadata", rows)
    write_seed(dbt.project.data, "nexus_images", [{"id": "i", "batch_id": "b", "filemaker_id": "7.000"}])
    assert dbt("build", "--select", "+image_outcome", *NO_TESTS).success
    assert outcomes(dbt) == {"duplicate_recid": 2, "invalid_recid": 1, "linked": 1}


def test_patients_whose_ids_cannot_be_read_are_counted_and_a_build_without_links_fails(dbt):
    lay_over(dbt, "patients-with-braces")
    ended = dbt("build", *NO_UNIT_TESTS)
    assert not ended.success
    assert "nexus_patients.csv: filemaker_id is missing or cannot be read in 1 line. No image is linked" in ended.text
    assert "Nothing is linked: 20 of 20 rows are skipped as patient_not_found. Likely cause: The mapping" in ended.text
    assert PATIENT not in ended.text
    check_no_manifest(dbt, ended.text)


def test_lines_of_other_seeds_that_cannot_be_read_are_counted_and_most_rows_of_one_reason_are_a_warning(dbt):
    data = dbt.project.data
    rewrite(
        data, "filemaker_images_metadata", lambda row: row | {"date": "?" if int(row["recid"]) > 18 else row["date"]}
    )
    inventory = read_seed(data, "s3_inventory")
    extra = [{"bucket": "clinic", "key": "elsewhere/1.jpg", "size": "12 KB"}, {"bucket": "clinic", "size": "1"}]
    write_seed(data, "s3_inventory", [*inventory, *extra])
    images = [{"id": "i1", "batch_id": "b1", "filemaker_id": "6.000"}, {"id": "i2", "batch_id": "b1"}]
    write_seed(data, "nexus_images", images)
    batch = {"id": "b1", "patient_id": "n", "captured_date": "18.10.16", "import_source": "other"}
    write_seed(data, "nexus_image_batches", [batch])
    write_seed(data, "copy_results", [{"image_id": PATIENT, "destination_bucket": "c", "destination_key": "k"}])
    ended = dbt("build", *NO_UNIT_TESTS)
    assert ended.success, ended.text
    for count in (
        "s3_inventory.csv: key is missing or cannot be read in 1 line.",
        "s3_inventory.csv: size is missing or cannot be read in 1 line.",
        "nexus_image_batches.csv: captured_date is missing or cannot be read in 1 line.",
        "nexus_images.csv: filemaker_id is missing or cannot be read in 1 line.",
        "copy_results.csv: outcome is missing or cannot be read in 1 line.",
    ):
        assert count in ended.text
    found = dbt.project.query("select sum(line_count), count(*) from unreadable_keys")
    assert [tuple(map(int, row)) for row in found] == [(5, 16)]
    assert dbt.project.query("select value from import_summary where metric = 'objects_outside_prefix'") == [(1,)]
    assert "11 of 20 rows are skipped as invalid_date. Likely cause: The dates are in another order" in ended.text
    assert "Nothing is linked" not in ended.text


def test_a_small_build_without_links_passes_with_a_warning(dbt):
    data = dbt.project.data
    write_seed(data, "filemaker_images_metadata", read_seed(data, "filemaker_images_metadata")[:19])
    write_seed(data, "s3_inventory", [])
    ended = dbt("build", *NO_UNIT_TESTS)
    assert ended.success, ended.text
    assert "19 of 19 rows are skipped as missing_object. Likely cause: source_prefix or the listing" in ended.text
    # with a row more it fails
    lay_over(dbt, "base")
    write_seed(data, "s3_inventory", [])
    ended = dbt("build", *NO_UNIT_TESTS)
    assert not ended.success
    assert "Nothing is linked: 20 of 20 rows are skipped as missing_object. Likely cause: source_prefix" in ended.text


def test_a_prefix_that_no_object_has_fails_the_build_and_names_the_one_that_is_there(dbt):
    only_this_test = ("--select", "+the_dump_is_under_source_prefix", "--indirect-selection", "cautious")
    select = ["build", *only_this_test, *NO_UNIT_TESTS]
    ended = dbt(*select, variables={"source_prefix": "filemaker-import/images-bulk-dumps/"})
    assert not ended.success
    assert (
        "None of the 20 objects in s3_inventory.csv is under source_prefix filemaker-import/images-bulk-dumps/"
        f" (most of them are under {DUMP}): set source_prefix" in ended.text
    )
    check_no_manifest(dbt, ended.text)
    keys = [f"2016/{n}.jpg" for n in range(9)] + [f"{n}.jpg" for n in range(10)] + [f"a/b/{n}" for n in range(10)]
    for listed, where in (
        (keys, "most of them are under no prefix"),
        (keys[:9] + keys[-10:], "most of them are under a/b/"),
        ([f"somebody {n}/1.jpg" for n in range(11)], "they are under many prefixes"),
        ([""], "they are under many prefixes"),
    ):
        write_seed(dbt.project.data, "s3_inventory", [{"bucket": "clinic", "key": key, "size": 1} for key in listed])
        ended = dbt(*select)
        assert not ended.success
        assert f"None of the {len(listed)} objects" in ended.text
        assert f"({where})" in ended.text
    write_seed(dbt.project.data, "s3_inventory", [])
    ended = dbt(*select)
    assert ended.success, ended.text


def test_pictures_of_a_phone_that_became_jpegs_are_linked(dbt):
    lay_over(dbt, "heic-became-jpg")
    ended = dbt("build", *NO_UNIT_TESTS)
    assert ended.success, ended.text
    assert outcomes(dbt) == {"linked": 100}


def test_what_is_no_extension_of_a_media_file_proves_nothing_and_a_person_can_overrule_the_evidence(dbt):
    names = ["photo.2016", "Smith.J", "a.b.c", "foot.left", "1.PNG", "x.JFIF"]
    rewrite(
        dbt.project.data,
        "filemaker_images_metadata",
        lambda row: row | {"fileName": names[int(row["recid"]) % 6]},
    )
    judges = ["test", "--select", "record_numbers_fit_the_objects", "record_numbers_are_confirmed"]
    assert dbt("build", "--select", "+record_number_evidence", *NO_TESTS).success
    assert dbt(*judges).success
    assert dbt.project.query("select * from record_number_evidence") == [(8, 4, 0, False)]
    rewrite(
        dbt.project.data,
        "filemaker_images_metadata",
        lambda row: row | {"fileName": "1.png" if int(row["recid"]) < 15 else "2.jpg"},
    )
    assert dbt("build", "--select", "+record_number_evidence", *NO_TESTS).success
    ended = dbt(*judges)
    assert not ended.success
    assert "The record numbers do not fit the objects (of 5 file names" in ended.text
    assert "set record_numbers_confirmed to true in dbt_project.yml" in ended.text
    ended = dbt("build", *NO_UNIT_TESTS, variables={"record_numbers_confirmed": True})
    assert ended.success, ended.text
    assert "Of 5 file names with an extension other than the commonest, only 0 agree with their object" in ended.text
    assert outcomes(dbt) == {"linked": 20}
