"""Records that the importer read by the Data API give the same marts as a tab export of the same records."""

import hashlib
import subprocess
import sys
from collections import Counter
from datetime import date
from pathlib import Path

import convert_fm_tab_to_csv
from linkage.paths import PROJECT_ROOT
from linkage.seeds import make_missing_seeds
from sandbox.clinic import Clinic, write_records
from sandbox.filemaker_clinic import NO_IMAGE, filemaker_record, make_filemaker_clinic, outcome_of_import
from sandbox.filemaker_server import DEFAULT_FIELD_TYPES, Record, filemaker_server
from sandbox.settings import DUMP
from tests.support.projects import InProcess, Project, forget, write_seed

COLUMNS = ("Note", "date", "fileName", "id", "id_Contact", "Name_of_file", "NexusExportDate", "recid", "Type")
ODD_TYPES = [
    'Left "turf toe"', "Callus, 5th MPJ; wound", " Dorsal ", "Dorsal\r", "\rDorsal", "two\r\rlines\r", "tab\tinside",
    "?", "NULL", "nan", "0", "’s – 90°", "Zoë\xa0", "片足", "😀", "a\\b", "=1+1", "\u2028", "e\u0301",
]  # fmt: skip
ODD_RECIDS = ["?", "n/a", "no number", "1 2"]
ODD_DATES = ["?", "", "02/30/2019", "00/00/0000", "01/07/2999"]
REPETITIONS = [
    ["left", "", "right", ""], ["", "second", "", ""], ["one\rline", "two\r", "three", "four"], ["only", "", "", ""],
]  # fmt: skip
WITHOUT_TESTS = ("--exclude-resource-type", "unit_test", "--exclude-resource-type", "test")


def odd_records(clinic: Clinic) -> list[Record]:
    """The clinic's records without pictures, and marked, so that there is little to import; many have odd values."""
    records = [filemaker_record(row, {}) for row in clinic.rows]
    for row, record in zip(clinic.rows, records, strict=True):
        if outcome_of_import(row) != NO_IMAGE:
            record.fields["NexusExportDate"] = "11/08/2025"
    for name, values in (("Type", ODD_TYPES), ("Note", ODD_TYPES), ("recid", ODD_RECIDS), ("date", ODD_DATES)):
        step = len(records) // len(values)
        for record, value in zip(records[len(name) :: step], values, strict=False):
            record.fields[name] = value
    for number, record in enumerate(records):
        record.repeated["Name_of_file"] = REPETITIONS[number % len(REPETITIONS)]
    return records


def tab_export(records: list[Record]) -> bytes:
    """The records as FileMaker exports them: VT for a return, GS between repetitions, and a blank for a tab."""

    def text(record: Record, name: str) -> str:
        values = record.repeated.get(name, [str(record.fields.get(name, ""))])
        while len(values) > 1 and not values[-1]:
            values = values[:-1]
        return "\x1d".join(values).replace("\r", "\x0b").replace("\t", " ")

    return "".join("\t".join(text(record, name) for name in COLUMNS) + "\r" for record in records).encode()


def write_other_seeds(clinic: Clinic, folder: Path) -> None:
    """Write what the bucket and Nexus have; the sizes and ETags are invented."""
    make_missing_seeds(folder)
    write_records(clinic, folder)
    objects = [
        {
            "bucket": "clinic",
            "key": stored.key,
            "size": 1500 if stored.broken else 5000,
            "etag": hashlib.md5((stored.same_as or stored).key.encode(), usedforsecurity=False).hexdigest(),
        }
        for stored in clinic.dump()
    ]
    write_seed(folder, "s3_inventory", objects)


def build(dbt: InProcess) -> dict[str, Counter]:
    """The rows of every table and view after a first build of the data folder."""
    ended = dbt("build", *WITHOUT_TESTS, variables={"today": str(date(2026, 1, 1))})
    assert ended.success, ended.text
    names = dbt.project.query("select table_name from information_schema.tables where table_schema = 'main'")
    marts = {name: Counter(dbt.project.query(f'select * from "{name}"')) for (name,) in names}
    forget(dbt.project)
    return marts


def test_the_importer_and_a_tab_export_of_the_same_records_give_the_same_marts(s3, run_here, tmp_path):
    clinic = make_filemaker_clinic(one_in=16)
    data, export = tmp_path / "data", tmp_path / "export.tab"
    write_other_seeds(clinic, data)
    records = odd_records(clinic)
    export.write_bytes(tab_export(records))
    dbt = InProcess(Project(data, tmp_path / "work"))

    with filemaker_server(tmp_path / "filemaker", records, field_types=DEFAULT_FIELD_TYPES) as server:
        done = subprocess.run(
            [sys.executable, "scripts/import_filemaker_images.py", f"s3://{s3.bucket}/{DUMP}"],
            cwd=PROJECT_ROOT, env=s3.environment | server.environment(), capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 1 and "no image 3   failed 0" in done.stdout, done.stdout + done.stderr
    imported = build(dbt)

    columns = ",".join(COLUMNS)
    converted = run_here(
        convert_fm_tab_to_csv.main, export, "--columns", columns, environment={"LINKAGE_DATA": str(data)}
    )
    assert converted.returncode == 0, converted.stderr
    exported = build(dbt)

    assert imported.keys() == exported.keys() >= {"image", "image_batch", "copy_manifest", "review_findings"}
    assert sum(imported["image"].values()) > 300
    different = {name: (imported[name] - exported[name], exported[name] - imported[name]) for name in imported}
    assert {name: rows for name, rows in different.items() if any(rows)} == {}
