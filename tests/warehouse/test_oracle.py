"""The second reading of the rules, checked against cases written by hand from the contract's text."""

import csv
import tempfile
import uuid
from collections import Counter
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings

from linkage.seeds import SEED_COLUMNS
from tests.support.oracle import (
    MART_COLUMNS,
    OBJECT_REASONS,
    ROW_REASONS,
    batch_name_of,
    expected_marts,
    image_id_of,
    read_date,
    read_recid,
    read_size,
    read_uuid,
    trimmed,
    unlinked_key_of,
)
from tests.support.random_folders import data_folders, large_folder, write_folder

NAMESPACE = uuid.UUID("545cf136-7f55-4c09-8cce-a53086e493a6")
PREFIX = "filemaker-import/images-bulk-dump/"
PATIENT = "AAAAAAAA-BBBB-CCCC-DDDD-EEEEEEEEEEEE"
TODAY = {"today": date(2026, 1, 1)}
# One row that can be linked, and what stands with it in the other files.
ROW = {
    "recid": "6,066", "id_Contact": PATIENT, "date": "11/5/2016", "Type": "Plantar\n", "NexusExportDate": "1/2/2026",
    "id": "12345678-90AB-CDEF-FFFF-000000000001",
}  # fmt: skip
OBJECT = {"bucket": "dump", "key": f"{PREFIX}6066.JPG", "size": "17", "etag": "e1"}
NEXUS_PATIENT = {"patient_id": "P-1", "filemaker_id": PATIENT.lower()}


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


@pytest.mark.parametrize(
    ("text", "recid"),
    [
        ("6066", 6066), ("6066.0", 6066), ("06066", 6066), ("6,066", 6066), ("6066.", 6066), ("\u00a06066\v", 6066),
        ("1,000,000", 1_000_000), ("0", 0), ("000999999999999999999", 999_999_999_999_999_999), ("0,006", 6),
        ("1000000000000000000", None), ("60,66", None), ("6066.5", None), ("-1", None), ("1e3", None), ("", None),
        (None, None), ("?", None), ("٦", None), ("6066,000.0", None), ("6066\n1", None), ("6066\u2003", None),
    ],
)  # fmt: skip
def test_a_recid_reads_as_the_number_that_filemaker_meant(text, recid):
    assert read_recid(text) == recid


@pytest.mark.parametrize(
    ("text", "order", "day"),
    [
        ("10/18/2016", "mdy", date(2016, 10, 18)), ("5/3/2017", "mdy", date(2017, 5, 3)),
        ("5/3/2017", "dmy", date(2017, 3, 5)), ("05-03.2017", "mdy", date(2017, 5, 3)),
        ("2017.5/3", "ymd", date(2017, 5, 3)), ("2/29/2016", "mdy", date(2016, 2, 29)),
        (" 1/1/0001\n", "mdy", date.min),
        ("2/29/2015", "mdy", None), ("2/29/1900", "mdy", None), ("10/18/2016", "dmy", None), ("1/1/0000", "mdy", None),
        ("5/3/17", "mdy", None), ("005/3/2017", "mdy", None), ("5/3/2017", "ymd", None),
        ("5/3/2017 10:00", "mdy", None),
        ("٥/3/2017", "mdy", None), ("", "mdy", None), ("?", "dmy", None), ("5 3 2017", "mdy", None),
    ],
)  # fmt: skip
def test_a_date_is_read_in_the_configured_order_alone(text, order, day):
    assert read_date(text, order) == day


def test_a_uuid_is_any_8_4_4_4_12_hex_in_any_case():
    assert read_uuid(" FFFFFFFF-0000-FFFF-0000-aaaaaaaaaaaa\v") == "ffffffff-0000-ffff-0000-aaaaaaaaaaaa"
    assert read_uuid("FFFFFFFF-0000-FFFF-0000-AAAAAAAAAAA") is None
    assert read_uuid("{FFFFFFFF-0000-FFFF-0000-AAAAAAAAAAAA}") is None


def test_a_size_that_cannot_be_read_is_missing_and_not_0():
    assert [read_size(text) for text in ("0", "17", "", "-1", " 0", "1" * 19)] == [0, 17, None, None, None, None]


def test_seven_characters_are_white_space_and_no_others():
    assert trimmed(" \t\n\v\f\r\u00a0x \t\n\v\f\r\u00a0") == "x"
    assert trimmed("\u2003x\u0085") == "\u2003x\u0085"
    assert trimmed(" \v") is None


def test_ids_are_those_that_md5_gives_by_hand():
    # From md5sum of the namespace's 16 bytes and the name, version and variant set by hand: no uuid library.
    assert image_id_of(None, 6066) == "c2473f34-1a94-3623-a1f9-65f81889e0ea"
    assert image_id_of("12345678-90ab-cdef-ffff-000000000001", 6066) == str(
        uuid.uuid3(NAMESPACE, "image:12345678-90ab-cdef-ffff-000000000001")
    )


def test_a_batch_is_named_by_its_unpadded_day_and_english_month():
    assert batch_name_of(date(2016, 11, 5), " (FileMaker Import)") == "5 Nov 2016 (FileMaker Import)"
    assert batch_name_of(date(2016, 10, 18), " (FileMaker Import)") == "18 Oct 2016 (FileMaker Import)"


@pytest.mark.parametrize(
    ("image_type", "key"),
    [
        ("Medicare Card\n", "unlinked/medicare-card/7.JPG"), ("L - Brannock / 2", "unlinked/l-brannock-2/7.JPG"),
        ("É tude", "unlinked/tude/7.JPG"), ("—", "unlinked/untyped/7.JPG"), (None, "unlinked/untyped/7.JPG"),
    ],
)  # fmt: skip
def test_an_unlinked_key_tells_the_type_in_plain_letters(image_type, key):
    assert unlinked_key_of(image_type, 7, "JPG") == key


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


def test_the_first_reason_that_applies_is_the_reason(tmp_path):
    """A row with everything wrong gets the reasons of §7 one after the other, as each is put right."""
    row = {"recid": "?", "id": "no UUID"}
    seeds = {
        "filemaker_images_metadata": [row, {"recid": "7", "NexusExportDate": "?", "id": ROW["id"].lower()}],
        "held_images": [{"recid": " 06,066 "}],
    }
    rows, given = seeds["filemaker_images_metadata"], []

    def decide():
        given.append(marts(tmp_path, **seeds)["image_outcome"][0])

    def put_right(seed=None, entries=(), **values):
        row.update(values)
        seeds.update({seed: list(entries)} if seed else {})
        decide()

    decide()
    rows.append({"recid": "06066.0"})
    put_right(recid="6,066", id=ROW["id"])
    rows.pop()
    decide()
    rows[1]["id"] = ""
    decide()
    put_right("held_images")
    put_right(NexusExportDate="x")
    put_right(id_Contact="?")
    put_right(id_Contact=PATIENT)
    put_right(date="2/30/2016")
    put_right(date="1/2/2026")
    put_right(date="1/1/2026")
    put_right("nexus_patients", [NEXUS_PATIENT, NEXUS_PATIENT | {"patient_id": "P-2"}])
    put_right("nexus_patients", [NEXUS_PATIENT, NEXUS_PATIENT | {"patient_id": " p-1"}])
    object_of_size_0 = OBJECT | {"key": f"{PREFIX}6066.pdf", "size": "0"}
    put_right("s3_inventory", [object_of_size_0, OBJECT])
    put_right("s3_inventory", [object_of_size_0])
    put_right("s3_inventory", [OBJECT | {"size": "0"}])
    put_right("s3_inventory", [OBJECT])
    assert tuple(outcome["reason"] for outcome in given) == (*ROW_REASONS, None)
    assert given[-1]["outcome"] == "linked"
    # What is known of a skipped row grows with what is right in it.
    assert [outcome["image_id"] is not None for outcome in given] == [False] + [True] * 16
    assert [outcome["batch_id"] is not None for outcome in given] == [False] * 12 + [True] * 5
    assert [outcome["s3_key"] is not None for outcome in given] == [False] * 14 + [True] * 3


@pytest.mark.parametrize(
    "image",
    [
        {"filemaker_id": ROW["id"].lower()},
        {"filemaker_id": "6066"},
        {"id": str(uuid.uuid3(NAMESPACE, "image:12345678-90ab-cdef-ffff-000000000001")).upper()},
        {"id": str(uuid.uuid3(NAMESPACE, "image:recid:6066"))},
        {"s3_key": OBJECT["key"]},
    ],
)
def test_an_image_that_nexus_knows_in_any_way_is_already_linked(tmp_path, image):
    result = marts(
        tmp_path,
        filemaker_images_metadata=[ROW | {"id_Contact": ""}],
        s3_inventory=[OBJECT],
        held_images=[{"recid": "6066"}],
        nexus_images=[{"id": "Z", "batch_id": "B"} | image, {"id": "A", "filemaker_id": "60666"}],
        nexus_image_batches=[{"id": "b", "patient_id": "P-9"}],
    )
    (outcome,) = result["image_outcome"]
    assert outcome["outcome"] == "already_linked"
    assert outcome["reason"] is None
    assert (outcome["image_id"], outcome["patient_id"]) == (image.get("id", "Z").lower(), "p-9")
    assert (outcome["batch_id"], outcome["s3_key"]) == ("b", image.get("s3_key"))
    assert result["copy_manifest"] == result["unmatched_objects"] == []


def test_a_batch_of_nexus_s_for_the_same_patient_day_and_source_is_reused_the_smallest(tmp_path):
    held = {"patient_id": "p-1 ", "captured_date": "2016-11-05", "import_source": "filemaker_import", "batch_name": "x"}
    result = marts(
        tmp_path,
        filemaker_images_metadata=[ROW],
        s3_inventory=[OBJECT],
        nexus_patients=[NEXUS_PATIENT],
        nexus_image_batches=[
            held | {"id": "b"}, held | {"id": "A"}, held | {"id": "0", "import_source": "scanner"},
            held | {"id": "1", "patient_id": "p-2"}, held | {"id": "2", "captured_date": "2016-11-06"},
        ],
    )  # fmt: skip
    assert [(batch["id"], batch["batch_name"]) for batch in result["image_batch"]] == [
        ("a", "5 Nov 2016 (FileMaker Import)")
    ]


def test_an_unknown_patient_s_object_is_copied_last_where_the_policy_says_so(tmp_path):
    stranger = ROW | {"recid": "9", "id_Contact": "0" + PATIENT[1:], "id": "", "date": "1/1/2016"}
    seeds = {
        "filemaker_images_metadata": [stranger, ROW],
        "s3_inventory": [OBJECT, OBJECT | {"key": f"{PREFIX}9.png"}],
        "nexus_patients": [NEXUS_PATIENT],
    }
    reported = marts(tmp_path, **seeds)
    copied = marts(tmp_path, TODAY | {"unlinked_policy": "copy", "destination_bucket": "media"}, **seeds)
    assert [row["destination_key"][-8:] for row in reported["copy_manifest"]] == ["6066.JPG"]
    assert copied["copy_manifest"][1:] == [
        {
            "image_id": str(uuid.uuid3(NAMESPACE, "image:recid:9")), "source_bucket": "dump",
            "source_key": f"{PREFIX}9.png", "source_etag": "e1", "source_size": 17, "destination_bucket": "media",
            "destination_key": "unlinked/plantar/9.png",
        }
    ]  # fmt: skip
    assert copied["skipped_images"] == reported["skipped_images"] != []
    assert copied["unmatched_objects"] == reported["unmatched_objects"] != []
    assert copied["unmatched_patients"] == [
        {
            "filemaker_patient_id": stranger["id_Contact"].lower(), "image_count": 1,
            "first_date": date(2016, 1, 1), "last_date": date(2016, 1, 1),
        }
    ]  # fmt: skip


def test_the_manifest_is_in_the_order_of_patient_day_and_recid_and_the_unlinked_come_last(tmp_path):
    # Nexus orders its two patients the other way round; the strangers' ids stand before and after theirs.
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
    """What §7 says of every data folder, however odd."""
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
    seen = Counter()

    @hypothesis_settings(max_examples=200, derandomize=True, database=None, deadline=None)
    @given(data_folders())
    def look_at(folder):
        with tempfile.TemporaryDirectory() as name:
            write_folder(folder, Path(name))
            result = expected_marts(Path(name), folder.settings)
        check_conservation(result)
        seen.update(row[3] or row[2] for row in result["image_outcome"])
        seen.update(row[4] for row in result["unmatched_objects"])
        seen.update("unlinked copy" for row in result["copy_manifest"] if row[-1].startswith("unlinked/"))
        seen.update("several in a batch" for batch in result["image_batch"] if batch[-1] > 1)

    look_at()
    wanted = {*ROW_REASONS, *OBJECT_REASONS, "linked", "already_linked", "unlinked copy", "several in a batch"}
    assert wanted - set(seen) == set()


def test_a_large_folder_is_the_same_for_the_same_seed_and_holds_every_outcome(tmp_path):
    settings = large_folder(1, 3000, tmp_path / "a")
    assert large_folder(1, 3000, tmp_path / "b") == settings
    for seed in SEED_COLUMNS:
        assert (tmp_path / "a" / f"{seed}.csv").read_bytes() == (tmp_path / "b" / f"{seed}.csv").read_bytes()
    result = expected_marts(tmp_path / "a", settings)
    check_conservation(result)
    assert dict(result["import_summary"])["export_rows"] == 3000
    assert {row[2] for row in result["image_outcome"]} == {"linked", "already_linked", "skipped"}
