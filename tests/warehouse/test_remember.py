"""What a build remembers: two months of a clinic, failed builds, other data folders; and what it finds to review."""

from pathlib import Path

import duckdb
import psycopg
import pytest

from sandbox.settings import DUMP
from tests.support.projects import (
    DATES,
    NO_UNIT_TESTS,
    InProcess,
    PostgresProject,
    Project,
    postgres_project,
    uuid,
    write_clinic,
    write_seed,
)


@pytest.fixture(params=["duckdb", "postgres"])
def dbt(request: pytest.FixtureRequest, tmp_path: Path) -> InProcess:
    """dbt on either engine, in a warehouse that has never been built."""
    write_clinic(tmp_path / "data", DATES)
    if request.param == "duckdb":
        return InProcess(Project(tmp_path / "data", tmp_path / "work"))
    return InProcess(postgres_project(request.getfixturevalue("postgres"), tmp_path))


def execute(project: Project, sql: str) -> None:
    """Change the warehouse, as its owner."""
    if isinstance(project, PostgresProject):
        with psycopg.connect(project.url, options="-c search_path=image_linkage") as connection:
            connection.execute(sql)
        return
    with duckdb.connect(str(project.work / "warehouse.duckdb")) as connection:
        connection.execute(sql)


def write_month(folder: Path, month: int) -> None:
    """Write the records of 24 images of three patients, and in the second month what has become of them."""
    contact = {n: uuid(3 if n in (10, 11) else 1) for n in range(1, 25)}
    day = dict(zip(range(1, 25), DATES + DATES[:4], strict=True))
    rows = list(range(1, 23))
    patients = {1: "n-1", 2: "n-2", 3: "n-3"}
    batches: list[dict] = []
    images: list[dict] = []
    held = []
    if month == 2:
        contact[7] = uuid(2)  # a patient corrected
        day[6] = "12/24/2017"  # a date corrected
        day[1] = "12/25/2017"  # and one of an image that is published
        rows.remove(8)  # a record deleted
        rows.remove(3)  # and one whose image is published
        rows += [12, 23]  # a number that is used twice, and a new record
        patients[3] = "n-33"  # a patient imported again
        held = [2, 9]  # consents withdrawn, one after publishing
        for n, patient in ((1, "n-1"), (2, "n-1"), (3, "n-1"), (11, "n-3")):
            month_, day_, year = (int(part) for part in DATES[n - 1].split("/"))
            batches.append(
                {
                    "id": f"b-{n}",
                    "patient_id": patient,
                    "captured_date": f"{year}-{month_:02}-{day_:02}",
                    "import_source": "filemaker_import",
                }
            )
            images.append({"id": f"i-{n}", "batch_id": f"b-{n}", "filemaker_id": n})
    export = [{"recid": n, "id_Contact": contact[n], "date": day[n], "id": uuid(1000 + n)} for n in rows]
    # rows without a number are as many as they are
    export += [{"recid": "?", "id_Contact": uuid(1), "date": DATES[0]}] * (month + 1)
    write_seed(folder, "filemaker_images_metadata", export)
    objects = [{"bucket": "c", "key": f"{DUMP}{n}.jpg", "size": 9, "etag": f"{n:032x}"} for n in range(1, 25)]
    write_seed(folder, "s3_inventory", objects)
    seeds = [{"patient_id": patients[n], "filemaker_id": uuid(n)} for n in patients]
    write_seed(folder, "nexus_patients", seeds)
    write_seed(folder, "nexus_image_batches", batches)
    write_seed(folder, "nexus_images", images)
    write_seed(folder, "held_images", [{"recid": n, "held_by": "somebody", "held_on": "2026-01-05"} for n in held])
    if month == 2:
        copied = [
            {
                "run_id": "r",
                "recorded_at": "2026-01-04T00:00:00Z",
                "source_key": f"{DUMP}{n}.jpg",
                "destination_bucket": "c",
                "destination_key": f"copy/{n}",
                "outcome": outcome,
            }
            for n, outcome in ((2, "copied"), (9, "already_present"), (9, "conflict"))
        ]
        write_seed(folder, "copy_results", copied)


def changes(dbt: InProcess, table: str = "changes_since_last_build") -> list[tuple]:
    rows = dbt.project.query(f"select recid, change, before, after from {table}")
    return sorted((recid, change, before or "", after or "") for recid, change, before, after in rows)


def figures(dbt: InProcess) -> dict[str, int]:
    return dict(dbt.project.query("select metric, value from import_summary"))


def compared_with(dbt: InProcess) -> int:
    return figures(dbt)["rows_of_last_build"]


def build(dbt: InProcess) -> None:
    ended = dbt("build", *NO_UNIT_TESTS)
    assert ended.success, ended.text


def test_every_change_of_a_month_is_reported_once_and_kept(dbt):
    data = dbt.project.data
    write_month(data, 1)
    build(dbt)
    assert changes(dbt) == changes(dbt, "build_changes") == []
    assert compared_with(dbt) == 0
    batch = dict(dbt.project.query("select recid_number, batch_id from image_outcome where outcome = 'linked'"))

    # builds that fail, or that make only a part, are not what the next one is compared with
    write_month(data, 2)
    assert not dbt("build", *NO_UNIT_TESTS, variables={"filemaker_date_order": "dmy"}).success
    assert dbt("run", "--select", "image_outcome", "build_outcome").success
    assert dbt.project.query("select count(*) from last_build_outcome where decision = 'linked'") == [(22,)]
    build(dbt)
    now = dict(dbt.project.query("select recid_number, batch_id from image_outcome where outcome = 'linked'"))
    expected = [
        ("1", "batch", batch[1], "b-1"),
        ("1", "date", "2016-01-13", "2017-12-25"),
        ("10", "nexus_patient", "n-3", "n-33"),
        ("11", "batch", batch[11], "b-11"),
        ("11", "nexus_patient", "n-3", "n-33"),
        ("12", "appeared", "", "duplicate_recid"),
        ("12", "lost_link", "linked", "duplicate_recid"),
        ("2", "batch", batch[2], "b-2"),
        ("21", "batch", batch[21], "b-1"),  # of the same patient and day as record 1
        ("22", "batch", batch[22], "b-2"),
        ("23", "appeared", "", "linked"),
        ("3", "went", "linked", ""),
        ("6", "batch", batch[6], now[6]),
        ("6", "date", "2016-06-18", "2017-12-24"),
        ("7", "batch", batch[7], now[7]),
        ("7", "patient", uuid(1).lower(), uuid(2).lower()),
        ("8", "went", "linked", ""),
        ("9", "lost_link", "linked", "held_back"),
        ("?", "appeared", "", "invalid_recid"),
    ]
    assert changes(dbt) == sorted(expected)
    assert changes(dbt, "build_changes") == sorted(expected)
    counted = {metric: value for metric, value in figures(dbt).items() if metric.startswith("changes_")}
    assert len(counted) == 11
    assert sum(counted.values()) == len(expected)
    assert counted["changes_appeared"] == 3
    assert compared_with(dbt) == 24

    # what a person should look at: none of it has moved, and the patient imported again is to be relinked
    found = dbt.project.query(
        "select finding, recid, severity, detail from review_findings where severity = 'check' order by finding, recid"
    )
    assert found == [
        ("date_out_of_order", 6, "check", "2017-12-24, but 2016-05-17 in record 5 and 2016-07-19 in record 7"),
        ("held_but_copied", 2, "check", "1 verified copy, last verified on 2026-01-04"),
        ("held_but_published", 2, "check", "in Nexus under patient n-1, 2016-02-14"),
        ("published_elsewhere", 1, "check", "2016-01-13 in Nexus, 2017-12-25 in FileMaker"),
        ("published_without_record", 3, "check", "in Nexus under patient n-1, 2016-03-15"),
    ]
    assert dbt.project.query("select id, new_patient_id from batches_to_relink") == [("b-11", "n-33")]
    assert [figures(dbt)[f"finding_{finding}"] for finding, *_ in found] == [1] * len(found)

    # both tables are written, or neither
    execute(dbt.project, "alter table last_build_outcome drop column batch_id")
    assert not dbt("run-operation", "remember_build").success
    assert changes(dbt, "build_changes") == sorted(expected)
    assert dbt.project.query("select count(*) from last_build_outcome") == [(25,)]

    # a table of another version is made again, and nothing that was found before is lost
    build(dbt)
    assert changes(dbt) == []
    assert compared_with(dbt) == 0
    assert changes(dbt, "build_changes") == sorted(expected)

    # another clinic in the same warehouse is compared with itself only
    write_clinic(data.with_name("another"), DATES)
    dbt.project.linkage_data = str(data.with_name("another"))
    build(dbt)
    assert (changes(dbt), compared_with(dbt)) == ([], 0)
    dbt.project.linkage_data = None
    build(dbt)
    assert (changes(dbt), compared_with(dbt)) == ([], 25)
    assert changes(dbt, "build_changes") == sorted(expected)
