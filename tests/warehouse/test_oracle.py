"""The second implementation of the rules, checked against cases written by hand from docs/specification.md."""

import csv
import random
import tempfile
import uuid
from collections import Counter
from datetime import date
from pathlib import Path

from hypothesis import given
from hypothesis import settings as hypothesis_settings

from linkage.seeds import SEED_COLUMNS
from tests.support.oracle import (
    JUDGES,
    MART_COLUMNS,
    OBJECT_REASONS,
    ROW_REASONS,
    expected_marts,
    expected_refusals,
)
from tests.support.oracle_findings import expected_findings, read_kinds
from tests.support.random_folders import data_folders, large_folder, make_folder, write_folder

NAMESPACE = uuid.UUID("545cf136-7f55-4c09-8cce-a53086e493a6")
PREFIX = "filemaker-import/images-bulk-dump/"
PATIENT = "AAAAAAAA-BBBB-CCCC-DDDD-EEEEEEEEEEEE"
TODAY = {"today": date(2026, 1, 1)}
# One row that can be linked, and the rows that belong to it in the other files.
ROW = {
    "recid": "6,066", "id_Contact": PATIENT, "date": "11/5/2016", "Type": "Plantar\n", "NexusExportDate": "1/2/2026",
    "id": "12345678-90AB-CDEF-FFFF-000000000001",
}  # fmt: skip
OBJECT = {"bucket": "dump", "key": f"{PREFIX}6066.JPG", "size": "17", "etag": "e1"}
NEXUS_PATIENT = {"patient_id": "P-1", "filemaker_id": PATIENT.lower()}


# Parts of the details of findings that not every detail has.
WORDINGS = {
    "same_bytes_two_patients": ("and 1 more record of another", "and 2 more records of another"),
    "same_bytes_same_patient": ("and 1 more record of the same", "and 2 more records of the same"),
    "identity_document": ("in Type", "in fileName", "in Name_of_file"),
    "patient_near_miss": ("differs only in braces", "differs in one digit", "has two digits swapped"),
    "weekend": ("Saturday", "Sunday"),
    "tiny_file": ("0 bytes", "1 bytes", "2047 bytes"),
    "huge_file": ("52428801 bytes",),
}


def marts(folder, settings=TODAY, **seeds):
    """The marts as dicts, for seeds given as lists of dicts."""
    for seed, columns in SEED_COLUMNS.items():
        with (folder / f"{seed}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, columns, restval="", lineterminator="\n", quoting=csv.QUOTE_ALL)
            writer.writeheader()
            writer.writerows(seeds.get(seed, []))
    return {
        mart: [dict(zip(MART_COLUMNS[mart], row, strict=True)) for row in rows]
        for mart, rows in expected_marts(folder, settings).items()
    }


def test_a_row_with_its_patient_and_object_is_linked(tmp_path):
    result = marts(tmp_path, filemaker_images_metadata=[ROW], s3_inventory=[OBJECT], nexus_patients=[NEXUS_PATIENT])
    batch_id = str(uuid.uuid3(NAMESPACE, "image_batch:aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee:2016-11-05"))
    image_id = str(uuid.uuid3(NAMESPACE, "image:12345678-90ab-cdef-ffff-000000000001"))
    key = f"patients/p-1/images/{batch_id}/6066.JPG"
    assert result["image_batch"] == [
        {
            "id": batch_id, "patient_id": "p-1", "batch_name": "5 Nov 2016 (FileMaker Import)",
            "captured_date": date(2016, 11, 5), "filemaker_batch_id": None, "import_source": "filemaker_import",
            "image_count": 1,
        }
    ]  # fmt: skip
    assert result["image"] == [
        {
            "id": image_id, "batch_id": batch_id, "s3_key": key, "original_filename": "6066.JPG", "file_size": 17,
            "category": "Plantar", "filemaker_id": "12345678-90ab-cdef-ffff-000000000001",
            "filemaker_type": "Plantar\n", "filemaker_date": date(2016, 11, 5), "recid": 6066, "patient_id": "p-1",
            "source_bucket": "dump", "source_key": OBJECT["key"], "source_etag": "e1",
        }
    ]  # fmt: skip
    assert result["copy_manifest"] == [
        {
            "image_id": image_id, "source_bucket": "dump", "source_key": OBJECT["key"], "source_etag": "e1",
            "source_size": 17, "destination_bucket": "dump", "destination_key": key,
        }
    ]  # fmt: skip
    assert result["image_outcome"][0]["recid"] == "6,066"
    assert result["unmatched_objects"] == result["skipped_images"] == result["unmatched_patients"] == []


def test_the_manifest_is_in_the_order_of_patient_day_and_recid_and_the_unlinked_come_last(tmp_path):
    # Nexus orders its two patients the other way round; the strangers' ids sort before and after theirs.
    patients = {letter: letter * 8 + PATIENT[8:] for letter in "0ABF"}
    rows = [
        ("1", "A", "1/1/2016"), ("10", "B", "1/1/2016"), ("9", "B", "1/1/2016"), ("2", "B", "12/1/2015"),
        ("3", "F", "1/1/2016"), ("4", "0", "1/2/2016"), ("12", "0", "1/1/2016"), ("11", "0", "1/1/2016"),
    ]  # fmt: skip
    result = marts(
        tmp_path,
        TODAY | {"unlinked_policy": "copy"},
        filemaker_images_metadata=[
            {"recid": recid, "id_Contact": patients[letter], "date": day} for recid, letter, day in rows
        ],
        s3_inventory=[OBJECT | {"key": f"{PREFIX}{recid}.jpg"} for recid, _, _ in rows],
        nexus_patients=[
            {"patient_id": "z", "filemaker_id": patients["A"]}, {"patient_id": "P", "filemaker_id": patients["B"]},
        ],
    )  # fmt: skip
    recids = [Path(row["source_key"]).stem for row in result["copy_manifest"]]
    assert recids == ["2", "9", "10", "1", "11", "12", "4", "3"]


def test_objects_that_belong_to_no_linked_row_are_listed_with_their_reason(tmp_path):
    names = ["228_thumb.jpg", "123.1.jpg", "0228.jpg", "sub/228.jpg", "229.jpg", "228.jpg", "160.PNG"]
    result = marts(
        tmp_path,
        filemaker_images_metadata=[{"recid": "228"}],
        s3_inventory=[{"bucket": "dump", "key": PREFIX + name} for name in names] + [{"key": "elsewhere/228.jpg"}],
    )
    assert [(row["recid"], row["reason"], row["record_reason"]) for row in result["unmatched_objects"]] == [
        (None, "unrecognised_key", None), (None, "unrecognised_key", None), (None, "unrecognised_key", None),
        (None, "unrecognised_key", None), (229, "no_metadata", None),
        (228, "record_skipped", "missing_patient_id"), (160, "no_metadata", None),
    ]  # fmt: skip


def check_conservation(result):
    """Check what must hold for every data folder, however odd (docs/specification.md, Outcomes)."""
    figures = dict(result["import_summary"])
    rows = Counter(outcome for _, _, outcome, *_ in result["image_outcome"])
    assert figures["export_rows"] == rows["linked"] + rows["already_linked"] + rows["skipped"]
    assert rows["linked"] == len(result["image"]) == sum(batch[-1] for batch in result["image_batch"])
    linked_objects = len(result["image"])
    assert figures["objects"] == linked_objects + figures["already_linked_objects"] + len(result["unmatched_objects"])
    assert {image[1] for image in result["image"]} == {batch[0] for batch in result["image_batch"]}
    assert len({batch[0] for batch in result["image_batch"]}) == len(result["image_batch"])
    assert len({row[-1] for row in result["copy_manifest"]}) == len(result["copy_manifest"])
    assert len({image[0] for image in result["image"]}) == len(result["image"])


def test_random_folders_hold_every_reason_and_lose_nothing():
    seen, keys = Counter(), set()

    def look_at(folder):
        with tempfile.TemporaryDirectory() as name:
            write_folder(folder, Path(name))
            result = expected_marts(Path(name), folder.settings)
            seen.update(expected_refusals(Path(name), folder.settings, result))
        check_conservation(result)
        seen.update(row[3] or row[2] for row in result["image_outcome"])
        seen.update(row[4] for row in result["unmatched_objects"])
        seen.update((seed, column) for seed, column, count in result["unreadable_keys"] if count)
        seen.update("unlinked copy" for row in result["copy_manifest"] if row[-1].startswith("unlinked/"))
        seen.update("several in a batch" for batch in result["image_batch"] if batch[-1] > 1)
        keys.update((seed, column) for seed, column, _ in result["unreadable_keys"])

    once = hypothesis_settings(max_examples=100, derandomize=True, database=None, deadline=None)
    once(given(data_folders())(look_at))()
    # Hypothesis likes some choices more than others
    for seed in range(100):
        look_at(make_folder(random.Random(seed).randrange, 24))
    wanted = {*ROW_REASONS, *OBJECT_REASONS, *JUDGES, *keys}
    wanted |= {"linked", "already_linked", "unlinked copy", "several in a batch"}
    assert wanted - set(seen) == set()


def test_random_folders_hold_every_kind_of_finding_in_every_wording(tmp_path):
    seen, wordings = Counter(), Counter()
    for seed in (1, 2):
        folder = tmp_path / str(seed)
        settings = large_folder(seed, 2_000, folder)
        for finding, *_, detail, _ in expected_findings(folder, settings, expected_marts(folder, settings)):
            seen[finding] += 1
            wordings.update((finding, words) for words in WORDINGS.get(finding, ()) if words in detail)
    assert not {finding for finding in read_kinds() if seen[finding] < 3}
    assert wordings.keys() == {(finding, words) for finding, several in WORDINGS.items() for words in several}


def test_a_large_folder_is_the_same_for_the_same_seed_and_holds_every_outcome(tmp_path):
    settings = large_folder(1, 3000, tmp_path / "a")
    assert large_folder(1, 3000, tmp_path / "b") == settings
    for seed in SEED_COLUMNS:
        assert (tmp_path / "a" / f"{seed}.csv").read_bytes() == (tmp_path / "b" / f"{seed}.csv").read_bytes()
    result = expected_marts(tmp_path / "a", settings)
    check_conservation(result)
    assert dict(result["import_summary"])["export_rows"] == 3000
    assert {row[2] for row in result["image_outcome"]} == {"linked", "already_linked", "skipped"}
