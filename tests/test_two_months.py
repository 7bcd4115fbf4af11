"""Two months of a clinic: what changes between them is reported by record number, and nothing published moves."""

from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from datetime import date, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

import convert_fm_tab_to_csv
import copy_objects
import export_nexus_records
import list_s3_objects
import publish_to_nexus
from sandbox.settings import DUMP
from tests.support.applications import execute, insert_row
from tests.support.projects import NO_UNIT_TESTS, InProcess, Project, uuid, write_seed
from tests.support.servers import S3
from tests.support.warehouses import patient_id

PATIENTS = 5
AGAIN = patient_id(50)  # the new id of patient 5, who is imported again
STEPS = {
    "convert": convert_fm_tab_to_csv.main,
    "list": list_s3_objects.main,
    "export": export_nexus_records.main,
    "copy": copy_objects.main,
    "publish": publish_to_nexus.main,
}


@dataclass(frozen=True)
class Record:
    """One record of FileMaker's; patients are numbered from 1."""

    number: int
    patient: int
    day: date

    @property
    def line(self) -> str:
        day = f"{self.day.month}/{self.day.day}/{self.day.year}"
        fields = (
            day,
            f"IMG_{self.number}.JPG",
            uuid(1000 + self.number),
            uuid(self.patient),
            "?",
            "1",
            self.number,
            "",
        )
        return "\t".join(map(str, fields)) + "\r"


@dataclass
class Clinic:
    """The clinic's export, dump and database, and the steps, each run as a person runs it."""

    folder: Path
    s3: S3
    url: str
    run_here: Callable[..., Any]

    def __post_init__(self):
        self.project = Project(self.folder / "data", self.folder / "work")
        self.dbt = InProcess(self.project)
        self.environment = self.s3.environment | self.project.environment
        self.environment |= {
            "FILEMAKER_EXPORT": str(self.folder / "Image_DataV6.tab"),
            "DUMP": f"s3://{self.s3.bucket}/{DUMP}",
            "NEXUS_DATABASE_URL": self.url,
            "NEXUS_MAPPING": "generic",
        }

    def export(self, records: list[Record]) -> None:
        text = "".join(record.line for record in records)
        (self.folder / "Image_DataV6.tab").write_text(text, encoding="utf-8", newline="")

    def upload(self, numbers: list[int]) -> None:
        for number in numbers:
            self.s3.client.put_object(Bucket=self.s3.bucket, Key=f"{DUMP}{number}.jpg", Body=b"picture %d" % number)

    def hold(self, *records: int) -> None:
        rows = [{"recid": record, "held_by": "reviewer", "held_on": "2016-12-01"} for record in records]
        write_seed(self.project.data, "held_images", rows)

    def run(self, step: str, *arguments: object) -> str:
        done = self.run_here(STEPS[step], *arguments, environment=self.environment)
        assert done.returncode == 0, done
        return done.stdout

    def build(self) -> list[str]:
        """Build as `make decide` does; returns the lines of the summary."""
        with redirect_stdout(StringIO()) as said:
            ended = self.dbt("build", *NO_UNIT_TESTS)
        assert ended.success, ended.text
        return [" ".join(line.split()) for line in said.getvalue().splitlines()]

    def decide(self) -> list[str]:
        for step in ("convert", "list", "export"):
            self.run(step)
        return self.build()

    def stored(self) -> dict[str, tuple]:
        """What the store has: by key the etag, and when it was written."""
        found = self.s3.client.list_objects_v2(Bucket=self.s3.bucket)["Contents"]
        return {each["Key"]: (each["ETag"], each["LastModified"]) for each in found}

    def published(self) -> tuple[dict[str, tuple], dict[str, tuple]]:
        """The rows of Nexus's batches and images, whole, by id."""
        tables = ("images_batch", "images_image")
        return tuple({str(row[0]): row for row in execute(self.url, f"select * from {table}")} for table in tables)

    def patients_of(self, *records: int) -> list[str]:
        """The patient in Nexus whom each published record belongs to, and whose folder has its copy."""
        query = """
            select object_id, split_part(s3_key, '/', 2) from images_image as image
            inner join images_batch as batch on batch.id = image.batch_id
            where filemaker_id = %s
        """
        return [execute(self.url, query, record) for record in records]


@pytest.fixture
def clinic(s3: S3, nexus_database: Callable[[str], str], run_here: Callable[..., Any], tmp_path: Path) -> Clinic:
    here = Clinic(tmp_path, s3, nexus_database("generic"), run_here)
    for number in range(1, PATIENTS + 1):
        register(here.url, patient_id(number), number)
    return here


def register(url: str, patient: str, number: int) -> None:
    insert_row(url, "patients", {"id": patient, "name": "Somebody", "notes": f"FileMaker ID: {uuid(number)}"})


def test_what_changes_from_one_month_to_the_next_is_reported_and_nothing_published_moves(clinic: Clinic):
    # two images a visit, a visit every twenty days, the patients in turn
    visits = {visit: (1 + visit % PATIENTS, date(2016, 1, 13) + timedelta(days=20 * visit)) for visit in range(16)}
    first = [Record(number, *visits[(number - 1) // 2]) for number in range(1, 31)]
    clinic.export(first)
    clinic.upload([number for number in range(1, 31) if number != 26])
    summary = clinic.decide()
    assert {"export rows 30", "linked 29 in 15 batches", "missing_object 1"} <= set(summary)
    assert "changed since the last build" not in summary
    clinic.run("copy", clinic.project.manifest)
    clinic.hold(24)  # copied, and not to be published: publishing reads the list once more
    assert "Inserted 15 image batches and 28 images" in clinic.run("publish")
    stored, (batches, images) = clinic.stored(), clinic.published()

    second = {record.number: record for record in first}
    second[7] = replace(second[7], day=second[7].day + timedelta(days=1))
    second[13] = replace(second[13], patient=3)
    del second[17]
    second[31] = Record(31, 5, visits[15][1])
    second[32] = Record(32, *visits[10])
    clinic.export(list(second.values()))
    clinic.upload([31, 32])
    clinic.hold(22, 24)
    execute(clinic.url, "delete from patients where id = %s", patient_id(5))
    register(clinic.url, AGAIN, 5)
    summary = clinic.decide()

    changes = clinic.project.query("select recid, change, before, after from changes_since_last_build order by 1, 2")
    assert changes == sorted([
        ("7", "date", "2016-03-13", "2016-03-14"),
        ("13", "patient", uuid(2).lower(), uuid(3).lower()),
        ("17", "went", "linked", None),
        ("24", "lost_link", "linked", "held_back"),
        ("31", "appeared", None, "linked"),
        ("32", "appeared", None, "linked"),
        *[(str(record), "nexus_patient", patient_id(5), AGAIN) for record in (9, 10, 19, 20, 29, 30)],
    ])  # fmt: skip
    findings = clinic.project.query("select recid, finding from review_findings where severity = 'check' order by 1, 2")
    assert [(str(recid), finding) for recid, finding in findings] == [
        ("7", "date_out_of_order"),
        ("7", "published_elsewhere"),
        ("8", "date_out_of_order"),  # as much as 7 is
        ("13", "published_elsewhere"),
        ("17", "published_without_record"),
        ("22", "held_but_copied"),
        ("22", "held_but_published"),
        ("24", "held_but_copied"),
    ]
    at = summary.index("changed since the last build")
    assert sorted(summary[at + 1 : at + 7]) == [
        "appeared 2", "date 1", "lost_link 1", "nexus_patient 6", "patient 1", "went 1",
    ]  # fmt: skip
    at = summary.index("to review")
    assert sorted(summary[at + 1 : at + 7]) == [
        "date_out_of_order 2", "held_but_copied 2", "held_but_published 1", "published_elsewhere 2",
        "published_without_record 1", "tiny_file 30",
    ]  # fmt: skip
    assert {"linked 2 in 2 batches", "already linked 27", "held_back 1", "to copy 2 20 bytes"} <= set(summary)

    clinic.run("copy", clinic.project.manifest)
    said = clinic.run("publish", "--relink")
    assert "Inserted 1 image batches and 2 images" in said
    assert "given their new patient: 3" in said

    assert clinic.stored().items() >= stored.items()
    batches_now, images_now = clinic.published()
    assert images_now.items() >= images.items()
    assert len(images_now) == 30
    # Only these batches differ: the three of the patient who was imported again have the new id, and one has one more.
    differing = [row for batch, row in batches.items() if batches_now[batch] != row]
    assert len(differing) == 4
    assert clinic.patients_of(7, 13, 17, 22) == [
        [(patient_id(4), patient_id(4))],
        [(patient_id(2), patient_id(2))],
        [(patient_id(4), patient_id(4))],
        [(patient_id(1), patient_id(1))],
    ]
    assert clinic.patients_of(9, 31, 32) == [
        [(AGAIN, patient_id(5))],
        [(AGAIN, AGAIN)],
        [(patient_id(1), patient_id(1))],
    ]
