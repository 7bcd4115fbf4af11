"""The Django projects that stand for Nexus have the tables that the plan and the second mapping name."""

import psycopg
import pytest

from sandbox import nexus

# Column: type, with its length, and `null` where a row may do without.
TABLES = {
    "plan": {
        "patients_patient": {
            "id": "uuid",
            "name": "varchar 200",
            "date_of_birth": "date null",
            "notes": "text",
        },
        "images_imagebatch": {
            "id": "uuid",
            "patient_id": "uuid",
            "batch_name": "varchar 200",
            "captured_date": "date",
            "created_at": "timestamptz",
            "filemaker_batch_id": "uuid null",
            "import_source": "varchar 50",
        },
        "images_image": {
            "id": "uuid",
            "batch_id": "uuid",
            "s3_key": "varchar 500",
            "original_filename": "varchar 255",
            "file_size": "int8",
            "uploaded_at": "timestamptz",
            "category": "varchar 100",
            "filemaker_id": "uuid null",
            "filemaker_type": "varchar 100 null",
            "filemaker_date": "date null",
        },
    },
    "generic": {
        "patients": {
            "id": "uuid",
            "name": "varchar 200",
            "notes": "text",
            "filemaker_metadata": "jsonb null",
        },
        "images_batch": {
            "id": "uuid",
            "content_type_id": "int4",
            "object_id": "varchar 64",
            "name": "varchar 200",
            "description": "text",
            "image_count": "int4",
            "uploaded_at": "timestamptz",
            "uploaded_by_id": "int4 null",
        },
        "images_image": {
            "id": "uuid",
            "batch_id": "uuid",
            "s3_key": "varchar 500",
            "original_name": "varchar 255",
            "file_size": "int8",
            "mime_type": "varchar 100",
            "category": "varchar 100",
            "caption": "text",
            "date_taken": "date null",
            "filemaker_id": "int8 null",
            "order": "int4",
            "uploaded_at": "timestamptz",
            "uploaded_by_id": "int4 null",
        },
    },
}
REFERENCES = {
    "plan": {
        ("images_imagebatch", "patients_patient"),
        ("images_image", "images_imagebatch"),
    },
    "generic": {
        ("images_batch", "django_content_type"),
        ("images_batch", "auth_user"),
        ("images_image", "images_batch"),
        ("images_image", "auth_user"),
    },
}
sites = pytest.mark.parametrize("site", TABLES)


def rows(url, query, *values):
    with psycopg.connect(url) as connection:
        return connection.execute(query, values).fetchall()


@sites
def test_the_migrations_are_those_of_the_models(nexus_database, site):
    nexus.run(nexus_database(site), site, "-m", "django", "makemigrations", "--check", "--dry-run")


@sites
def test_the_tables_have_the_columns_of_the_plan(nexus_database, site):
    found = {table: {} for table in TABLES[site]}
    for table, column, kind, length, nullable in rows(
        nexus_database(site),
        """
        select table_name, column_name, udt_name, character_maximum_length, is_nullable
        from information_schema.columns
        where table_schema = 'public' and table_name = any(%s)
        """,
        list(TABLES[site]),
    ):
        found[table][column] = f"{kind}{f' {length}' if length else ''}{' null' if nullable == 'YES' else ''}"
    assert found == TABLES[site]


@sites
def test_the_database_defaults_no_column_so_whoever_inserts_fills_them_all(nexus_database, site):
    assert not rows(
        nexus_database(site),
        """
        select table_name, column_name
        from information_schema.columns
        where
            table_name = any(%s)
            and (column_default is not null or is_identity = 'YES' or is_generated <> 'NEVER')
        """,
        list(TABLES[site]),
    )


@sites
def test_references_are_real_and_checked_only_at_the_end_of_a_transaction(nexus_database, site):
    found = rows(
        nexus_database(site),
        """
        select conrelid::regclass::text, confrelid::regclass::text, condeferrable, condeferred
        from pg_constraint
        where contype = 'f' and conrelid::regclass::text = any(%s)
        """,
        list(TABLES[site]),
    )
    assert {reference[:2] for reference in found} == REFERENCES[site]
    assert all(deferrable and deferred for *_, deferrable, deferred in found)


def test_no_two_images_of_the_plan_have_the_same_filemaker_id(nexus_database):
    assert rows(
        nexus_database("plan"),
        """
        select pg_get_constraintdef(oid)
        from pg_constraint
        where contype = 'u' and conrelid = 'images_image'::regclass
        """,
    ) == [("UNIQUE (filemaker_id)",)]


def test_what_the_plans_models_save_is_read_back_through_them(nexus_database):
    url = nexus_database("plan")
    nexus.ask(
        url,
        "plan",
        """
from datetime import date
from sandbox.nexus.plan.images.models import Image, ImageBatch
from sandbox.nexus.plan.patients.models import Patient
patient = Patient.objects.create(name="Ünal", notes="FileMaker ID: 1")
batch = ImageBatch.objects.create(patient=patient, batch_name="18 Oct 2016", captured_date=date(2016, 10, 18))
Image.objects.create(batch=batch, s3_key="a/1.jpg", original_filename="1.jpg", file_size=3)
print("null")
""",
    )
    assert nexus.ask(
        url,
        "plan",
        """
import json
from sandbox.nexus.plan.images.models import Image
image = Image.objects.get(batch__patient__name="Ünal")
print(json.dumps([image.s3_key, str(image.batch.captured_date), image.batch.import_source, image.filemaker_id]))
""",
    ) == ["a/1.jpg", "2016-10-18", "user_upload", None]


def test_a_generic_batch_finds_its_patient_by_content_type_and_id(nexus_database):
    url = nexus_database("generic")
    patient, batch = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff", "0b0e4a3c-52a1-4c7e-9a51-3d1c2f6a7e10"
    with psycopg.connect(url) as connection:
        connection.execute("insert into patients (id, name, notes) values (%s, 'A', '')", [patient])
        connection.execute(
            """
            insert into images_batch (id, content_type_id, object_id, name, description, image_count, uploaded_at)
            select %s, id, %s, '', '', 0, now()
            from django_content_type
            where (app_label, model) = ('patients', 'patient')
            """,
            [batch, patient],
        )
    assert (
        nexus.ask(
            url,
            "generic",
            """
import json
from sandbox.nexus.generic.images.models import Batch
print(json.dumps(str(Batch.objects.get().content_object.pk)))
""",
        )
        == patient
    )
