"""README's own section for a clinic, run as it is written, on records of another shape than the demo's."""

import os
import re
import shutil
import subprocess
import sys
import textwrap
import uuid
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg.types.json import Jsonb

from linkage.paths import PROJECT_ROOT
from tests.support.applications import execute
from tests.support.servers import S3

PROGRAMS = Path(sys.executable).parent
# What a person has who has cloned the project, as far as the steps use it: in particular, no .env.
PROJECT = (
    ".env.example", "Makefile", "analyses", "dbt_project.yml", "docs", "macros", "models", "profiles.yml.example",
    "scripts", "seeds", "tests/dbt",
)  # fmt: skip
COLUMNS = "id_Contact,recid,-,Type,date,fileName,id,Name_of_file,NexusExportDate"
PREFIX = "old-system/pictures/"
SETTINGS = {"filemaker_date_order": "dmy", "source_prefix": PREFIX}
PATIENTS = [str(uuid.UUID(int=number, version=4)).upper() for number in (1, 2, 3)]
UNKNOWN_PATIENT = str(uuid.UUID(int=9, version=4)).upper()
TIMESTAMP = r"with the timestamp ([0-9-]+ [0-9:.]+\+[0-9:]+)"


@dataclass(frozen=True)
class Record:
    """One record of the export, and what its picture is; `patient` is FileMaker's id."""

    number: int
    patient: str
    day: date

    @property
    def picture(self) -> bytes:
        return b"picture of record %d" % self.number

    @property
    def line(self) -> str:
        """The record as the clinic exports it: nine columns in an order of its own, and the day first in dates."""
        day = f"{self.day.day}/{self.day.month}/{self.day.year}"
        identifier = str(uuid.UUID(int=1000 + self.number, version=4)).upper()
        fields = (self.patient, self.number, "Scanner 2", "Dorsal", day, f"IMG_{self.number}.JPG", identifier, "?", "1")
        return "\t".join(map(str, fields))


def records(first: int, count: int) -> list[Record]:
    """Records of the three patients in turn, from the number `first` on, nine days apart."""
    numbers = range(first, first + count)
    return [
        Record(number, PATIENTS[number % len(PATIENTS)], date(2017, 1, 2) + timedelta(days=9 * number))
        for number in numbers
    ]


@dataclass
class Clinic:
    """A copy of the project and what surrounds it: a person's account, the dump, and the clinic's database."""

    root: Path
    home: Path
    s3: S3
    url: str

    def export(self, rows: list[Record]) -> None:
        """Write the export; nothing is quoted, and there is no header."""
        (self.root / "pictures.tab").write_text("".join(f"{row.line}\r" for row in rows), encoding="utf-8", newline="")

    def upload(self, rows: list[Record]) -> None:
        for row in rows:
            self.s3.client.put_object(Bucket=self.s3.bucket, Key=f"{PREFIX}{row.number}.jpg", Body=row.picture)

    def run(self, block: str) -> str:
        """Run one of README's blocks in a shell of its own; returns all that it printed."""
        environment = {
            "HOME": str(self.home),
            "LC_ALL": "C.UTF-8",
            "PATH": f"{PROGRAMS}:{os.environ['PATH']}",
            "MAKEFLAGS": f"BIN={PROGRAMS}",
            "DBT_EXCLUDE_RESOURCE_TYPES": "unit_test",
        }
        done = subprocess.run(
            ["bash", "-euc", block],
            check=False, cwd=self.root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert done.returncode == 0, f"{block}\n{done.stdout}"
        return done.stdout

    def fill_in(self, **values: str) -> None:
        """Give variables of .env their values, as a person does after copying .env.example."""
        path = self.root / ".env"
        assert path.stat().st_mode & 0o777 == 0o600
        for name, value in values.items():
            text, found = re.subn(rf"(?m)^{name}=.*$", f"{name}={value}", path.read_text(encoding="utf-8"))
            assert found == 1, name
            path.write_text(text, encoding="utf-8")

    def published(self) -> list[tuple[str, date, bytes]]:
        """FileMaker's patient, the day and the picture of each image in the database, in the order of the numbers."""
        rows = execute(
            self.url,
            """
            select imported_from -> 'filemaker' ->> 'id', taken_on, file, person.id
            from gallery_photo as photo
            inner join gallery_album as album on album.id = photo.album_id
            inner join people_person as person on person.id = album.person_id
            order by legacy_record
            """,
        )
        assert all(key.startswith(f"patients/{person}/") for _, _, key, person in rows)
        return [(patient, day, self.picture(key)) for patient, day, key, _ in rows]

    def picture(self, key: str) -> bytes:
        return self.s3.client.get_object(Bucket=self.s3.bucket, Key=key)["Body"].read()


@pytest.fixture
def clinic(s3: S3, nexus_database, tmp_path: Path) -> Clinic:
    root, home = tmp_path / "project", tmp_path / "home"
    copy_project(root)
    shutil.copy(PROJECT_ROOT / "sandbox" / "nexus" / "bigint" / "mapping.yml", root / "my_nexus.yml")
    (root / ".venv" / "bin").mkdir(parents=True)
    (root / ".venv" / "bin" / "activate").touch()  # the programs are those of these tests
    path = root / "dbt_project.yml"
    for name, value in SETTINGS.items():
        text, found = re.subn(rf"(?m)^  {name}: .*$", f"  {name}: {value}", path.read_text(encoding="utf-8"))
        assert found == 1
        path.write_text(text, encoding="utf-8")
    url = nexus_database("bigint")
    for patient in PATIENTS:
        where = Jsonb({"filemaker": {"id": patient}})
        execute(url, "insert into people_person (full_name, imported_from) values ('Somebody', %s)", where)
    write_accounts(home, s3, url)
    return Clinic(root, home, s3, url)


def copy_project(root: Path) -> None:
    for name in PROJECT:
        source, target = PROJECT_ROOT / name, root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)


def write_accounts(home: Path, s3: S3, url: str) -> None:
    """Write what a person's home has: the profile `clinic` for S3, and the password of the database."""
    account = s3.environment
    (home / ".aws").mkdir(parents=True)
    (home / ".aws" / "config").write_text(
        f"[profile clinic]\nregion = {account['AWS_REGION']}\n"
        f"aws_access_key_id = {account['AWS_ACCESS_KEY_ID']}\n"
        f"aws_secret_access_key = {account['AWS_SECRET_ACCESS_KEY']}\n"
    )
    found = psycopg.conninfo.conninfo_to_dict(url)
    (home / ".pgpass").touch(mode=0o600)
    (home / ".pgpass").write_text(f"{found['host']}:{found['port']}:*:{found['user']}:{found['password']}\n")


def blocks(heading: str) -> list[str]:
    """The blocks of commands under a heading of README, up to the next heading."""
    text = (PROJECT_ROOT / "README.md").read_text(encoding="utf-8")
    section = re.search(rf"^#+ {heading}\n(.*?)(?=^#)", text, re.MULTILINE | re.DOTALL)[1]
    return [textwrap.dedent(found[0]) for found in re.finditer(r"(?:^ {4,}.*\n)+", section, re.MULTILINE)]


def images_of(rows: list[Record]) -> list[tuple[str, date, bytes]]:
    return [(row.patient, row.day, row.picture) for row in rows]


def test_readmes_own_commands_bring_records_of_another_shape_to_the_right_patients(clinic: Clinic):
    setup, month, ask = blocks("On your own records")
    first, unknown, lost = records(101, 24), Record(150, UNKNOWN_PATIENT, date(2021, 3, 30)), *records(151, 1)
    clinic.export([*first, unknown, lost])
    clinic.upload([*first, unknown])
    before = clinic.s3.client.list_objects_v2(Bucket=clinic.s3.bucket)["Contents"]

    clinic.run(setup)
    address = psycopg.conninfo.conninfo_to_dict(clinic.url)
    clinic.fill_in(
        FILEMAKER_EXPORT="pictures.tab",
        FILEMAKER_COLUMNS=COLUMNS,
        DUMP=f"s3://{clinic.s3.bucket}/{PREFIX}",
        AWS_PROFILE="clinic",
        AWS_ENDPOINT_URL_S3=clinic.s3.environment["AWS_ENDPOINT_URL_S3"],
        NEXUS_DATABASE_URL=f"postgresql://{address['user']}@{address['host']}:{address['port']}/{address['dbname']}",
        NEXUS_MAPPING="my_nexus.yml",
    )
    said = clinic.run(month)
    assert clinic.published() == images_of(first)
    for line in (
        "linked                            24   in 24 batches",
        "  patient_not_found                1",
        "  missing_object                   1",
        "Before 'make copy', check the summary",
        "Before 'make publish', open some of the new copies in S3",
        "Inserted 24 image batches and 24 images, with the timestamp",
    ):
        assert line in said
    assert "START" not in said
    clinic.run(ask)

    second = records(201, 3)
    clinic.export([*first, unknown, lost, *second])
    clinic.upload(second)
    said = [clinic.run(block) for block in blocks("Step by step")][-1]
    assert clinic.published() == images_of(first + second)

    (undo,) = blocks("Undo")
    execute(clinic.url, clinic.run(undo.replace("TIMESTAMP", re.search(TIMESTAMP, said)[1])))
    assert clinic.published() == images_of(first)

    now = clinic.s3.client.list_objects_v2(Bucket=clinic.s3.bucket)["Contents"]
    originals = {each["Key"]: each["ETag"] for each in now if each["Key"].startswith(PREFIX)}
    assert originals.items() >= {each["Key"]: each["ETag"] for each in before}.items()
    assert len(now) == len(originals) + len(first) + len(second) + 1  # and the canary


def test_a_month_ends_at_the_first_step_that_fails_with_its_sentence(tmp_path: Path):
    copy_project(tmp_path)
    command = ["make", f"BIN={PROGRAMS}", "decide"]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "error: which export is to be converted?" in done.stderr
    assert "list_s3_objects.py" not in done.stdout
    assert "Before 'make copy'" not in done.stdout


@pytest.mark.parametrize(("code", "is_advice_given"), [(0, True), (1, True), (2, False), (130, False)])
def test_an_import_ends_with_what_to_check_unless_it_could_not_go_on_and_fails_as_the_script_does(
    tmp_path: Path, code: int, is_advice_given: bool
):
    copy_project(tmp_path)
    program = tmp_path / "bin" / "python"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "ran $*"\nexit {code}\n')
    program.chmod(0o700)
    command = ["make", "BIN=bin", "import"]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ, capture_output=True, text=True, check=False)
    assert "ran scripts/import_filemaker_images.py" in done.stdout
    assert ("Before 'make decide'" in done.stdout) == is_advice_given
    assert done.returncode == (2 if code else 0)  # make's own


def test_a_script_reads_env_but_never_where_python_dotenv_is_disabled(tmp_path: Path):
    copy_project(tmp_path)
    (tmp_path / ".env").write_text("NEXUS_DATABASE_URL=postgresql://foreign@127.0.0.1:1/foreign\n")

    def export(**environment: str) -> str:
        command = [sys.executable, "scripts/export_nexus_records.py"]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 2
        return done.stderr

    assert "Nexus does not answer" in export()
    assert "set NEXUS_DATABASE_URL" in export(PYTHON_DOTENV_DISABLED="1")
    assert os.environ["PYTHON_DOTENV_DISABLED"] == "1"
