"""Publishing: what is inserted, what prevents it, and the batches of patients who were imported again."""

import struct
import subprocess
import sys
import uuid
from collections import Counter
from datetime import datetime
from pathlib import Path

import duckdb
import psycopg
import pytest

import export_nexus_records
from linkage.nexus.mapping import FOLDER
from linkage.warehouse.mark import PROVED
from sandbox import nexus
from sandbox.postgres_server import database_url
from tests.support import projects
from tests.support.applications import BATCH_TABLES, PATIENT_TABLES
from tests.support.publishing import (
    FILE_NAMES,
    PATIENT_COLUMNS,
    UPLOADED,
    Clinic,
    assert_unusable,
    counted,
    finding,
    printed_moment,
)
from tests.support.warehouses import (
    MARTS,
    NOTE,
    TYPE,
    add_patients,
    batch_id,
    batches_of,
    ids_md5,
    image,
    patient_id,
    result,
)

sites = pytest.mark.parametrize("site", ["plan", "generic"])


# What is inserted


def test_every_column_of_a_row_is_filled_as_the_plans_models_read_it(clinic):
    here = clinic("plan")
    rows = [
        image(1),
        image(2, category="Left ear", filemaker_type="Left ear \v"),
        image(3, 2, "2020-02-29", filemaker_id=None, category=None, filemaker_type=None),
    ]
    here.build(rows)
    moment = printed_moment(here.published())
    batches, images = nexus.ask(
        here.url,
        "plan",
        """
import json
from sandbox.nexus.plan.images.models import Image, ImageBatch
print(json.dumps([list(model.objects.order_by("pk").values()) for model in (ImageBatch, Image)], default=str))
""",
    )
    days = {"2016-10-18": "18 Oct 2016 (FileMaker Import)", "2020-02-29": "29 Feb 2020 (FileMaker Import)"}
    for read in (*batches, *images):
        assert datetime.fromisoformat(read.pop("created_at", None) or read.pop("uploaded_at")) == moment
    assert batches == sorted(
        (
            {
                "id": batch_id(patient, day),
                "patient_id": patient_id(patient),
                "batch_name": days[day],
                "captured_date": day,
                "filemaker_batch_id": None,
                "import_source": "filemaker_import",
            }
            for patient, day in ((1, "2016-10-18"), (2, "2020-02-29"))
        ),
        key=lambda row: row["id"],
    )
    filled = ("id", "batch_id", "s3_key", "original_filename", "file_size", "category", "filemaker_id",
              "filemaker_type", "filemaker_date")  # fmt: skip
    assert images == sorted(
        ({column: row[column] for column in filled} | {"category": row["category"] or ""} for row in rows),
        key=lambda row: row["id"],
    )


def test_every_column_of_a_row_is_filled_as_the_generic_models_read_it(clinic):
    here = clinic("generic")
    kinds = {
        "PNG": "image/png",
        "tif": "image/tiff",
        "heic": "image/heic",
        "jpeg": "image/jpeg",
        "xyz": "application/octet-stream",
    }
    rows = [image(9), *(image(n, original_filename=f"{n}.{kind}") for n, kind in enumerate(kinds, 10))]
    rows.append(image(1, 2, "2020-02-29", filemaker_id=None, category=None, filemaker_type=None))
    here.build(rows)
    moment = printed_moment(here.published())
    batches, images = nexus.ask(
        here.url,
        "generic",
        """
import json
from sandbox.nexus.generic.images.models import Batch, Image
batches = [
    {"patient": str(batch.content_object.pk), **values}
    for batch, values in zip(Batch.objects.order_by("pk"), Batch.objects.order_by("pk").values())
]
print(json.dumps([batches, list(Image.objects.order_by("filemaker_id").values())], default=str))
""",
    )
    for read in (*batches, *images):
        assert datetime.fromisoformat(read.pop("uploaded_at")) == moment
        assert read.pop("uploaded_by_id") is None
        read.pop("content_type_id", None)
    assert batches == sorted(
        (
            {
                "patient": patient_id(patient),
                "id": batch_id(patient, day),
                "object_id": patient_id(patient),
                "name": name,
                "description": "",
                "image_count": count,
            }
            for patient, day, name, count in (
                (1, "2016-10-18", "18 Oct 2016 (FileMaker Import)", 6),
                (2, "2020-02-29", "29 Feb 2020 (FileMaker Import)", 1),
            )
        ),
        key=lambda row: row["id"],
    )
    orders = {1: 0, 9: 0, 10: 1, 11: 2, 12: 3, 13: 4, 14: 5}
    assert images == [
        {
            "id": row["id"],
            "batch_id": row["batch_id"],
            "s3_key": row["s3_key"],
            "original_name": row["original_filename"],
            "file_size": row["file_size"],
            "mime_type": kinds.get(row["original_filename"].split(".")[1], "image/jpeg"),
            "category": row["category"] or "",
            "caption": "",
            "date_taken": row["filemaker_date"],
            "filemaker_id": row["recid"],
            "order": orders[row["recid"]],
        }
        for row in sorted(rows, key=lambda row: row["recid"])
    ]


def test_the_printed_timestamp_finds_all_rows_of_the_run_and_no_others(clinic):
    here = clinic("generic")
    here.build([image(1)])
    here.published()
    here.build([image(1), image(2), image(3, 2), image(4, 2)])
    moment = printed_moment(here.published())
    assert here.execute("select count(*) from images_image where uploaded_at = %s", moment) == [(3,)]
    assert here.execute("select count(*) from images_batch where uploaded_at = %s", moment) == [(1,)]


@sites
def test_a_dry_run_inserts_nothing_and_prints_by_kind_what_the_run_then_inserts(clinic, site):
    here = clinic(site)
    here.build([image(1)])
    here.published()
    before = here.everything()
    here.build([image(1), image(2), image(3, 2), image(4, 3), image(5, 3)])
    dry = here.published("--dry-run")
    assert here.everything() == before
    wet = here.published()
    assert counted(dry) == counted(wet) == {"image batches": (2, 1), "images": (4, 1)}
    assert "Would insert 2 image batches and 4 images\n" in dry
    assert "Inserted 2 image batches and 4 images, with the timestamp " in wet
    assert ("Image batches that would be given another image count: 1" in dry) == (site == "generic")
    assert ("Image batches given another image count: 1" in wet) == (site == "generic")
    after = here.everything()
    assert len(after["batches"]) == 3
    assert here.record_numbers() == [1, 2, 3, 4, 5]
    again = here.published()
    assert counted(again) == {"image batches": (0, 3), "images": (0, 5)}
    assert "Inserted 0 image batches and 0 images" in again
    assert here.everything() == after


def test_a_warehouse_without_linked_images_publishes_nothing(clinic):
    here = clinic("plan")
    here.build([])
    assert counted(here.published()) == {"image batches": (0, 0), "images": (0, 0)}


# What prevents publishing


HELD_DIFFERENTLY = {
    "plan": {
        "patient_id = '{other}'": "patient",
        "captured_date = '2016-11-01'": "captured date",
        "import_source = 'user_upload'": "source",
    },
    "generic": {
        "object_id = '{other}'": "patient",
        "content_type_id = (select id from django_content_type where model = 'user')": "patient",
        "name = '1 Nov 2016 (FileMaker Import)'": "captured date",
        "name = 'Renamed: {note}'": "captured date",
        "name = '05 Oct 2016'": "source",
    },
}


@sites
def test_every_batch_that_nexus_holds_with_other_contents_is_named_and_prevents_publishing(clinic, site):
    here = clinic(site)
    rows = [image(n, 1, f"2016-10-{n:02}") for n in range(1, 7)]
    here.build(rows)
    here.published()
    expected = []
    for row, (change, what) in zip(rows, HELD_DIFFERENTLY[site].items(), strict=False):
        changed = change.format(other=patient_id(2), note=NOTE)
        here.execute(f"update {BATCH_TABLES[site]} set {changed} where id = %s", row["batch_id"])
        expected.append(f"image batch {row['batch_id']}: Nexus holds it with another {what}")
    here.build([*rows, image(20, 3)])
    assert here.refused() == sorted(expected)
    dry = here.publish("--dry-run")
    assert (dry.returncode, dry.stdout) == (1, here.publish().stdout)


COMPARED = {
    "plan": {
        "batch_id": batch_id(3, "2016-10-18"),
        "s3_key": "patients/other.jpg",
        "original_filename": "other.jpg",
        "file_size": 1,
        "category": TYPE + " ",
        "filemaker_id": str(uuid.UUID(int=1)),
        "filemaker_type": None,
        "filemaker_date": "2016-10-19",
    },
    "generic": {
        "batch_id": batch_id(3, "2016-10-18"),
        "s3_key": "patients/other.jpg",
        "original_name": "100.jpg",
        "file_size": 1,
        "mime_type": "image/png",
        "category": TYPE.lower(),
        "date_taken": None,
        "filemaker_id": None,
    },
}


@sites
def test_each_image_that_nexus_holds_with_other_contents_is_named_with_what_differs(clinic, site):
    here = clinic(site)
    compared = COMPARED[site]
    rows = [image(n) for n in range(1, len(compared) + 2)] + [image(50, 3)]
    here.build(rows)
    here.published()
    for row, (column, value) in zip(rows, compared.items(), strict=False):
        here.execute(f"update images_image set {column} = %s where id = %s", value, row["id"])
    two = rows[len(compared)]
    here.execute(f"update images_image set file_size = 1, {FILE_NAMES[site]} = 'a' where id = %s", two["id"])
    free = {"plan": "uploaded_at = now()", "generic": "uploaded_at = now(), caption = 'seen', \"order\" = 7"}[site]
    here.execute(f"update images_image set {free} where id = %s", rows[-1]["id"])
    here.build([*rows, image(60, 2)])
    again = "export Nexus's records and run `dbt build` again"
    expected = [
        finding(row, f"Nexus holds it with another {column}; {again}")
        for row, column in zip(rows, compared, strict=False)
    ]
    expected.append(finding(two, f"Nexus holds it with another {FILE_NAMES[site]}, file_size; {again}"))
    assert here.refused() == sorted(expected)


@sites
def test_an_image_that_nexus_holds_under_another_id_is_named_with_that_id(clinic, site):
    here = clinic(site)
    rows = [image(n) for n in range(1, 5)]
    here.add_batch(batch_id(1, "2016-10-18"))
    by_id = rows[0]["filemaker_id"] if site == "plan" else rows[0]["recid"]
    held = [
        here.add_image(rows[0]["batch_id"], filemaker_id=by_id),
        here.add_image(rows[0]["batch_id"], s3_key=rows[1]["s3_key"]),
        here.add_image(rows[0]["batch_id"], s3_key=rows[2]["source_key"]),
    ]
    here.build(rows)
    assert here.refused() == sorted(
        finding(row, f"Nexus already holds it as image {other}; export Nexus's records and run `dbt build` again")
        for row, other in zip(rows, held, strict=False)
    )


def test_every_batch_whose_patient_is_gone_is_named(clinic):
    here = clinic("plan")
    here.build([image(1), image(2, 8), image(3, 8, "2016-10-19"), image(4, 9)])
    assert here.refused() == sorted(
        f"image batch {batch_id(patient, day)}: its patient {patient_id(patient)} is no longer in Nexus"
        for patient, day in ((8, "2016-10-18"), (8, "2016-10-19"), (9, "2016-10-18"))
    )


LONG = {"s3_key": 500, "original_filename": 255, "category": 100, "filemaker_type": 100}
LONG_BATCHES = {"batch_name": 200, "import_source": 50}


def long_text(length, end="ä"):
    """As many characters, in parts that every store takes for the name of a folder."""
    return (TYPE + f"/{'ä' * 79}" * 10)[: length - 1] + end


def test_values_of_just_the_length_of_their_column_are_published(clinic):
    here = clinic("plan")
    row = image(1, **{column: long_text(limit) for column, limit in LONG.items()})
    here.build([row])
    here.published()
    assert here.table("images")[row["id"]]["category"] == long_text(100)


def test_every_value_that_is_longer_than_its_column_is_named(clinic):
    here = clinic("plan")
    # trailing blanks, which PostgreSQL itself would cut off silently
    rows = [image(n, **{column: long_text(limit + 1, end=" ")}) for n, (column, limit) in enumerate(LONG.items(), 1)]
    others = [image(10 + n, 2, f"2016-10-{n + 1:02}") for n in range(len(LONG_BATCHES))]
    batches = batches_of([*rows, *others])
    expected = []
    for batch, (column, limit) in zip(batches[1:], LONG_BATCHES.items(), strict=True):
        batch[column] = "x" * (limit + 1)
        problem = f"its {column} has {limit + 1} characters, and Nexus allows {limit}"
        expected.append(f"image batch {batch['id']}: {problem}")
    for row, (column, limit) in zip(rows, LONG.items(), strict=True):
        expected.append(finding(row, f"its {column} has {limit + 1} characters, and Nexus allows {limit}"))
    here.build([*rows, *others, image(30, 3)], batches=batches + batches_of([image(30, 3)]))
    assert here.refused() == sorted(expected)


RULES = {
    "check": ("alter table images_image add constraint no_37 check (original_filename <> '37.jpg')", "no_37"),
    "deferred unique": (
        "alter table images_image add constraint one_size unique (file_size) deferrable initially deferred",
        "one_size",
    ),
    "deferred trigger": (
        """
        create function refuse() returns trigger language plpgsql as $$ begin
            if new.original_filename = '37.jpg' then raise exception 'no %', new.category; end if; return new;
        end $$;
        create constraint trigger refuse after insert on images_image deferrable initially deferred
        for each row execute function refuse();
        """,
        "the function refuse",
    ),
    "not null": ("alter table images_image alter filemaker_id set not null", "filemaker_id"),
    "smaller number": ("alter table images_image alter file_size type smallint", "NumericValueOutOfRange"),
}
BREAKING = {
    "deferred unique": {"file_size": 1036},  # that of number 36
    "not null": {"filemaker_id": None},
    "smaller number": {"file_size": 40_000},
}


@pytest.mark.parametrize("rule", RULES)
def test_a_row_in_the_middle_that_a_rule_of_the_application_refuses_is_named(clinic, rule):
    here = clinic("plan")
    statement, name = RULES[rule]
    here.execute(statement)
    rows = [
        image(n, 1 + n % 3, f"2016-10-{1 + n % 9:02}", **(BREAKING.get(rule, {}) if n == 37 else {}))
        for n in range(1, 81)
    ]
    here.build(rows)
    (said,) = here.refused()
    # either of two rows that cannot both exist
    possible = rows[35:37] if rule == "deferred unique" else rows[36:37]
    assert said in [finding(row, f"the database refuses it ({name})") for row in possible]


def test_a_batch_in_the_middle_that_a_rule_of_the_application_refuses_is_named(clinic):
    here = clinic("plan")
    rows = [image(n, 1, f"2016-10-{n:02}") for n in range(1, 29)]
    here.execute(f"alter table images_imagebatch add constraint not_17 check (id <> '{rows[16]['batch_id']}')")
    here.build(rows)
    assert here.refused() == [f"image batch {rows[16]['batch_id']}: the database refuses it (not_17)"]


# Batches and images that Nexus already holds


@sites
def test_a_batch_that_nexus_holds_gets_more_images_and_is_otherwise_unchanged(clinic, site):
    here = clinic(site)
    held, other = str(uuid.uuid4()), str(uuid.uuid4())
    count = {"image_count": 2} if site == "generic" else {}
    here.add_batch(held, batch_name="5 Nov 2016 (FileMaker Import)", captured_date="2016-11-05", **count)
    here.add_batch(other, patient=2)
    for number in (0, 1):
        here.add_image(held, s3_key=f"users/{number}.jpg")
    before = here.everything()
    rows = [image(n, 1, "2016-11-05", batch_id=held) for n in (12, 7)]
    here.build(rows)
    assert counted(here.published()) == {"image batches": (0, 1), "images": (2, 0)}
    after = here.everything()
    changed = {"image_count": 4} if site == "generic" else {}
    assert after["batches"] == before["batches"] | {held: before["batches"][held] | changed}
    assert before["images"].items() <= after["images"].items()
    if site == "generic":
        assert [after["images"][row["id"]]["order"] for row in rows] == [3, 2]


def test_the_image_count_is_corrected_only_where_images_are_added(clinic):
    here = clinic("generic")
    here.build([image(1), image(2, 2)])
    here.published()
    here.execute("update images_batch set image_count = 40")
    here.build([image(1), image(2, 2), image(3)])
    assert "Image batches given another image count: 1" in here.published()
    counts = {key: row["image_count"] for key, row in here.table("batches").items()}
    assert counts == {batch_id(1, "2016-10-18"): 2, batch_id(2, "2016-10-18"): 40}


@pytest.mark.parametrize(("site", "column_type"), [("plan", "integer"), ("plan", "text"), ("generic", "uuid")])
def test_the_column_for_filemakers_image_id_gets_what_its_type_holds(clinic, site, column_type):
    here = clinic(site)
    here.execute(f"alter table images_image alter filemaker_id type {column_type} using null")
    rows = [image(1), image(2, filemaker_id=None)]
    here.build(rows)
    here.published()
    expected = [row["recid"] if column_type == "integer" else row["filemaker_id"] for row in rows]
    assert [here.table("images")[row["id"]]["filemaker_id"] for row in rows] == expected
    assert counted(here.published()) == {"image batches": (0, 1), "images": (0, 2)}


def test_ids_in_columns_of_fixed_text_are_kept_whole(clinic):
    here = clinic("plan")
    here.execute("alter table images_image alter filemaker_id type char(36), alter category type char(100)")
    here.build([image(1), image(2, filemaker_id=None)])
    here.published()
    row = here.table("images")[image(1)["id"]]
    assert (row["filemaker_id"], row["category"].rstrip()) == (image(1)["filemaker_id"], TYPE)
    assert counted(here.published()) == {"image batches": (0, 1), "images": (0, 2)}


# Whether the mapping fits


ID_IS_A_NUMBER = """
truncate images_image;
alter table images_image drop constraint images_image_pkey, alter id type bigint using 1, add primary key (id)
"""
# Changes to one database, one after the other, and why the mapping does not fit afterwards.
MISFITS = {
    "plan": {
        "alter table images_image add rating int not null": "images_image needs a value for rating",
        "alter table images_image drop category, drop filemaker_type": "has no column category, filemaker_type",
        "alter table images_imagebatch drop import_source": "images_imagebatch has no column import_source",
        ID_IS_A_NUMBER: "images_image.id is bigint, but our ids are UUIDs",
        "drop table images_image": "no table images_image",
    },
    "generic": {
        "update django_content_type set model = 'person' where model = 'patient'": "value patient_type is not found",
        "alter table images_batch add a int not null, add b text not null": "images_batch needs a value for a, b",
        'alter table images_image drop "order"': "images_image has no column order",
        ID_IS_A_NUMBER: "images_image.id is bigint, but our ids are UUIDs",
        "drop table images_batch cascade": "no table images_batch",
        "drop table patients cascade": "no table patients",
    },
}


@sites
def test_a_mapping_that_does_not_fit_is_refused_before_the_first_row(clinic, site):
    here = clinic(site)
    here.build([image(1)])
    for change, said in MISFITS[site].items():
        here.execute(change)
        assert_unusable(here.publish(), said)


def test_columns_that_the_database_fills_need_not_be_in_the_mapping(clinic):
    here = clinic("plan")
    here.execute(
        "alter table images_image add a int not null default 1, add b int generated always as identity,"
        " add c int generated always as (1) stored, add d int"
    )
    here.build([image(1)])
    here.published()


def test_a_mapping_file_can_name_other_tables_in_a_schema_and_other_columns(clinic):
    here = clinic("plan")
    here.build([image(1)])
    here.execute(
        "create schema clinic; alter table patients_patient set schema clinic;"
        ' alter table clinic.patients_patient rename to "Patient"; alter table images_image set schema clinic;'
        " alter table clinic.images_image rename to picture; alter table clinic.picture rename file_size to bytes"
    )
    text = (FOLDER / "plan.yml").read_text(encoding="utf-8")
    for old, new in (
        ("patients_patient", "clinic.Patient"),
        ("images_image\n", "clinic.picture\n"),
        ("    file_size:", "    bytes:"),
    ):
        assert old in text
        text = text.replace(old, new)
    own = here.folder / "own.yml"
    own.write_text(text, encoding="utf-8")
    here.published("--mapping", own)
    assert here.execute("select original_filename, bytes from clinic.picture") == [("1.jpg", 1001)]
    assert here.run(export_nexus_records.main, "--mapping", own).returncode == 0
    assert image(1)["id"] in (here.folder / "nexus_images.csv").read_text()


UNUSABLE_MAPPINGS = [
    ("relink: patient_id", "relink: patient", "images_imagebatch has no column patient"),
    ("    id: image.id\n", "", "no column of images_image is filled with our id"),
    (":published_at", ":published", ":published"),
]


def test_a_mapping_file_that_cannot_be_used_is_refused_in_one_sentence(clinic):
    here = clinic("plan")
    here.build([image(1)])
    path = here.folder / "own.yml"
    text = (FOLDER / "plan.yml").read_text(encoding="utf-8")
    for old, new, said in UNUSABLE_MAPPINGS:
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")
        assert_unusable(here.publish("--mapping", path), said)
    assert not here.table("images")


# The role


FORBIDDEN = [
    "select name from {patients}",
    "select * from {patients}",
    "insert into {patients} (id) values (gen_random_uuid())",
    "update {patients} set notes = ''",
    "delete from {patients}",
    "delete from {batches}",
    "delete from images_image",
    "truncate {batches}, images_image",
    "update images_image set s3_key = ''",
    "update {batches} set {name} = ''",
    "update {batches} set {uploaded} = now()",
    "update {batches} set id = gen_random_uuid()",
    "drop table images_image",
    "create table linkage (id int)",
]


@pytest.fixture
def role(clinic):
    """Callable: a clinic, reached with nothing but the shipped role, and the same as the superuser reaches it."""
    made = []

    def make(site):
        owner = clinic(site)
        made.append(owner)
        owner.execute((FOLDER / f"{site}_role.sql").read_text(encoding="utf-8"))
        owner.execute("alter role image_linkage password 'secret'")
        url = database_url(owner.url, owner.url.rpartition("/")[2], "image_linkage", "secret")
        return Clinic(site, url, owner.folder, owner.run_here, owner.copies), owner

    yield make
    for owner in made:
        owner.execute("drop owned by image_linkage; drop role image_linkage")


@sites
def test_the_shipped_role_suffices_and_can_do_nothing_else(role, site):
    here, owner = role(site)
    here.build([image(1)])
    assert here.run(export_nexus_records.main).returncode == 0
    here.published()
    owner.lose_patient(1)
    relinked = {"id": batch_id(1, "2016-10-18"), "patient_id": patient_id(1), "new_patient_id": patient_id(2)}
    here.build(
        [image(5, 3), image(6, 2, batch_id=relinked["id"])], relink=[relinked | {"image_ids_md5": ids_md5(image(1))}]
    )
    assert "Image batches given their new patient: 1" in here.published("--relink")
    assert owner.record_numbers() == [1, 5, 6]
    names = {
        "patients": PATIENT_TABLES[site],
        "batches": BATCH_TABLES[site],
        "name": "batch_name" if site == "plan" else "name",
        "uploaded": UPLOADED[site],
    }
    for statement in FORBIDDEN:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            here.execute(statement.format(**names))
    owner.execute(f"revoke update ({PATIENT_COLUMNS[site]}) on {BATCH_TABLES[site]} from image_linkage")
    here.build([image(7, 3)], relink=[relinked | {"patient_id": patient_id(2), "new_patient_id": patient_id(3)}])
    here.published()
    assert owner.record_numbers() == [1, 5, 6, 7]


# Patients who were imported again


OLD, NEW = 1, 2
PERSON = "its patient is not the exported one, or exists again; a person must check it"


@pytest.fixture
def left(clinic):
    """Callable: a clinic whose patient OLD was imported again as NEW: two batches of OLD's, one to relink."""

    def make(site):
        here = clinic(site)
        here.build([image(1, OLD), image(2, OLD), image(3, OLD, "2016-10-19"), image(4, 3)])
        here.published()
        here.lose_patient(OLD)
        return here

    return make


RELINKED = batch_id(OLD, "2016-10-18")
RELINK = {"id": RELINKED, "patient_id": patient_id(OLD), "new_patient_id": patient_id(NEW)}
RELINK |= {"image_ids_md5": ids_md5(image(1), image(2))}


@sites
def test_only_with_relink_and_only_the_listed_batches_get_their_new_patient(left, site):
    here = left(site)
    more = image(9, NEW, "2016-12-24")
    here.build([more], relink=[RELINK])
    before = here.everything()
    dry = here.published("--relink", "--dry-run")
    assert here.everything() == before
    assert "Image batches that would be given their new patient: 1" in dry

    assert "patient" not in here.published()
    assert {key: here.table("batches")[key] for key in before["batches"]} == before["batches"]

    before = here.everything()
    assert "Image batches given their new patient: 1" in here.published("--relink")
    after = here.everything()
    changed = before["batches"][RELINKED] | {PATIENT_COLUMNS[site]: patient_id(NEW)}
    assert after == before | {"batches": before["batches"] | {RELINKED: changed}}
    assert "Image batches given their new patient: 0" in here.published("--relink")
    assert here.everything() == after


def test_a_batch_is_relinked_before_new_images_of_its_patient_are_added(left):
    here = left("plan")
    new = image(9, NEW, "2016-10-18", batch_id=RELINKED)
    here.build([new], relink=[RELINK])
    (said,) = here.refused()
    assert said == f"image batch {RELINKED}: Nexus holds it with another patient"
    assert counted(here.published("--relink")) == {"image batches": (0, 1), "images": (1, 0)}
    assert here.patient_of(RELINKED) == patient_id(NEW)
    assert here.table("images")[new["id"]]["batch_id"] == RELINKED


def test_nothing_is_relinked_if_a_new_row_is_refused(left):
    here = left("plan")
    here.execute("alter table images_image add constraint no_9 check (file_size <> 1009)")
    here.build([image(9, NEW)], relink=[RELINK])
    assert here.refused("--relink") == [finding(image(9), "the database refuses it (no_9)")]


CHANGED = "its images are not the exported ones; export Nexus's records and run `dbt build` again"
GONE = "is no longer in Nexus"


def test_every_batch_that_changed_since_the_export_is_named_and_nothing_is_relinked(left):
    here = left("generic")
    add_patients(here.url, "generic", 4, 5, 6)
    days = {
        what: f"2017-01-{n:02}"
        for n, what in enumerate(("moved", "more", "fewer", "other", "gone", "new gone", "fine"), 1)
    }
    rows = [image(100 + n, 4, day) for n, day in enumerate(days.values())] + [image(200, 5)]
    here.build(rows)
    here.published()
    here.lose_patient(4)
    batches = {what: batch_id(4, day) for what, day in days.items()} | {"back": batch_id(5, "2016-10-18")}
    relink = [
        {
            "id": batch,
            "patient_id": patient_id(4),
            "new_patient_id": patient_id(NEW),
            "image_ids_md5": ids_md5(*(row for row in rows if row["batch_id"] == batch)),
        }
        | {"back": {"patient_id": patient_id(5)}, "new gone": {"new_patient_id": patient_id(6)}}.get(what, {})
        for what, batch in batches.items()
    ]
    here.execute("update images_batch set object_id = %s where id = %s", patient_id(3), batches["moved"])
    here.execute(
        "delete from images_image where batch_id = any(%s)", [batches[what] for what in ("fewer", "other", "gone")]
    )
    for what in ("more", "other"):
        here.add_image(batches[what])
    here.execute("delete from images_batch where id = %s", batches["gone"])
    here.execute("delete from patients where id = %s", patient_id(6))
    problems = {
        "back": PERSON,
        "moved": PERSON,
        "more": CHANGED,
        "fewer": CHANGED,
        "other": CHANGED,
        "gone": f"it {GONE}",
        "new gone": f"its patient {patient_id(6)} {GONE}",
    }
    here.build([image(9, 3)], relink=relink)
    assert here.refused("--relink") == sorted(
        f"image batch {batches[what]}: it cannot be relinked: {problem}" for what, problem in problems.items()
    )
    here.published()  # without --relink they do not matter


def test_every_batch_whose_relinking_a_rule_of_the_application_refuses_is_named(left):
    here = left("plan")
    here.add_batch(str(uuid.uuid4()), patient=NEW)
    here.execute("create unique index one_a_day on images_imagebatch (patient_id, captured_date)")
    other = RELINK | {"id": batch_id(OLD, "2016-10-19"), "image_ids_md5": ids_md5(image(3))}
    here.build([image(9, 3)], relink=[other, RELINK])
    said = f"image batch {RELINKED}: it cannot be relinked: the database refuses it (one_a_day)"
    assert here.refused("--relink") == [said]


# The warehouse


NOT_PASSED = "is not from a whole build that passed all of its tests: run `dbt build`"


def spoil(here, *statements):
    with duckdb.connect(here.environment["LINKAGE_WAREHOUSE"]) as connection:
        for statement in statements:
            connection.execute(statement)


def empty(here):
    Path(here.environment["LINKAGE_WAREHOUSE"]).unlink()
    spoil(here)


def change_bytes(change):
    """Replace the bytes of the warehouse."""

    def act(here):
        path = Path(here.environment["LINKAGE_WAREHOUSE"])
        path.write_bytes(change(path.read_bytes()))

    return act


def newer(content):
    """A DuckDB file with a storage version of the future, and the checksum of its header, as DuckDB computes it."""
    header = content[8:12] + (10_000).to_bytes(8, "little") + content[20:4096]
    checksum = 5381
    for word in struct.unpack(f"<{len(header) // 8}Q", header):
        checksum ^= word * 0xBF58476D1CE4E5B9 % 2**64
    return checksum.to_bytes(8, "little") + header + content[4096:]


def folder(here):
    Path(here.environment["LINKAGE_WAREHOUSE"]).unlink()
    Path(here.environment["LINKAGE_WAREHOUSE"]).mkdir()


WAREHOUSES = {
    "missing": (lambda here: Path(here.environment["LINKAGE_WAREHOUSE"]).unlink(), "is missing: run `dbt build`"),
    # as a build of the marts alone does, without the tests that prove them
    "marts made again": (
        lambda here: spoil(here, *(f"create or replace table {mart} as from {mart}" for mart in MARTS)),
        NOT_PASSED,
    ),
    "no settings": (lambda here: spoil(here, "drop table build_settings"), NOT_PASSED),
    "not a database": (change_bytes(lambda content: b"x" * 9000), "is not a DuckDB database"),
    "an empty file": (change_bytes(lambda content: b""), "is not a DuckDB database"),
    "cut in its header": (change_bytes(lambda content: content[:4000]), "is damaged"),
    "cut in the middle": (change_bytes(lambda content: content[: len(content) // 2]), "is damaged: remove it"),
    "with a block of something else": (
        change_bytes(lambda content: content[:4196] + b"garbage" + content[4203:8292] + b"garbage" + content[8299:]),
        "is damaged",
    ),
    "of a newer DuckDB": (change_bytes(newer), "was written by another version of DuckDB"),
    "without tables": (empty, NOT_PASSED),
    "a mart without a column": (
        lambda here: spoil(here, "alter table image drop column category"),
        "was built by another version of this project: run `dbt build` again",
    ),
    "no copy results": (lambda here: (here.folder / "copy_results.csv").unlink(), "copy_results.csv is missing"),
    "a column is missing": (
        lambda here: (here.folder / "copy_results.csv").write_text("run_id,recorded_at\n"),
        "copy_results.csv has no column image_id in line 1",
    ),
    "a line is short": (
        lambda here: (here.folder / "copy_results.csv").open("a").write(f"run-2,{TYPE}\n"),
        "copy_results.csv cannot be read: line 3 has 2 fields, not 13",
    ),
    "a folder": (folder, "cannot be opened (Is a directory)"),  # the last, for it cannot be replaced by a file
}


def test_a_warehouse_that_cannot_be_used_is_refused_in_one_sentence(clinic):
    here = clinic("plan")
    for make_unusable, said in WAREHOUSES.values():
        here.build([image(1)])
        make_unusable(here)
        assert_unusable(here.publish(), said)
    assert not here.table("images")


def test_a_warehouse_that_somebody_reads_is_read(clinic):
    here = clinic("plan")
    here.build([image(1)])
    path = here.environment["LINKAGE_WAREHOUSE"]
    code = f"import duckdb; reader = duckdb.connect({path!r}, read_only=True); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as reader:
        reader.stdout.readline()
        here.published()
        reader.communicate("\n")


def test_a_warehouse_that_dbt_is_writing_to_is_refused_in_one_sentence(clinic):
    here = clinic("plan")
    here.build([image(1)])
    path = here.environment["LINKAGE_WAREHOUSE"]
    code = f"import duckdb; writer = duckdb.connect({path!r}); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writer:
        writer.stdout.readline()
        assert_unusable(here.publish(), "is open in another program: wait until dbt ends")
        writer.communicate("\n")
    here.published()


def test_the_warehouse_can_be_named_and_its_marts_can_be_in_another_schema(clinic):
    here = clinic("plan")
    here.build([image(1)])
    own = here.folder / "own.duckdb"
    with duckdb.connect(own) as connection:
        connection.execute(
            f"attach '{here.environment['LINKAGE_WAREHOUSE']}' as built; create schema linkage; use linkage"
        )
        for mart in MARTS:
            connection.execute(f"create table {mart} as from built.{mart}")
            connection.execute(f"comment on table {mart} is '{PROVED}'")
    here.build([image(2)], results=[result(image(1)), result(image(2))])
    here.published("--warehouse", own)
    assert here.record_numbers() == [1]


def test_the_settings_are_those_of_the_build(clinic):
    here = clinic("generic")
    batches = batches_of([image(1)])
    batches[0] |= {"batch_name": "18 Oct 2016 (Clinic A)", "import_source": "clinic_a"}
    settings = {"batch_name_suffix": " (Clinic A)", "import_source": "clinic_a"}
    here.build([image(1)], batches=batches, settings=settings)
    here.published()
    assert counted(here.published()) == {"image batches": (0, 1), "images": (0, 1)}
    here.build([image(1)], batches=batches)
    assert here.refused() == [f"image batch {batches[0]['id']}: Nexus holds it with another source"]


# End to end


def test_published_images_are_already_linked_in_the_next_build_and_a_padded_day_is_the_same_batch(clinic):
    here = clinic("generic")
    projects.write_clinic(here.folder / "data", ["11/5/2016", "11/5/2016", "10/18/2016", "2/29/2020"])
    padded = str(uuid.uuid4())
    here.add_batch(padded, batch_name="05 Nov 2016 (FileMaker Import)", image_count=1)
    here.add_image(padded)
    dbt = projects.InProcess(projects.Project(here.folder / "data", here.folder / "work"))
    places = {key: dbt.project.environment[key] for key in ("LINKAGE_DATA", "LINKAGE_WAREHOUSE")}
    here.environment = here.copies.environment | places

    def export_and_build():
        assert here.run(export_nexus_records.main).returncode == 0
        built = dbt("build", "--exclude-resource-type", "unit_test")
        assert built.success, built.text
        return dict(dbt.project.query("select outcome, count(*) from image_outcome group by outcome"))

    assert export_and_build() == {"linked": 4}
    for mart, columns in MARTS.items():
        built = dbt.project.query(
            f"select column_name, lower(data_type) from duckdb_columns() where table_name = '{mart}'"
        )
        assert dict(built) == columns  # as tests/support/warehouses.py makes them
    source = [column for column in MARTS["image"] if column.startswith("source_")]
    columns = ("id", "recid", "s3_key", *source, "file_size")
    images = [dict(zip(columns, row, strict=True)) for row in dbt.project.mart("image", columns)]
    projects.write_seed(dbt.project.data, "copy_results", [result(row) for row in images])
    here.copies.put(images)
    assert counted(here.published()) == {"image batches": (2, 1), "images": (4, 0)}
    rows = here.table("batches")
    assert (rows[padded]["name"], rows[padded]["image_count"]) == ("05 Nov 2016 (FileMaker Import)", 3)
    assert Counter(row["batch_id"] for row in here.table("images").values())[padded] == 3

    after = here.everything()
    assert export_and_build() == {"already_linked": 4}
    assert len(dbt.project.manifest.read_text().splitlines()) == 1
    assert counted(here.published()) == {"image batches": (0, 0), "images": (0, 0)}
    assert here.everything() == after
