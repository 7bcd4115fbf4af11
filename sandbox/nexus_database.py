"""Nexus for the demo: PostgreSQL with the Django project in `sandbox/nexus` and the synthetic clinic's records."""

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import psycopg
from psycopg import sql

from sandbox import nexus
from sandbox.clinic import SEED, Clinic
from sandbox.postgres_server import database_url, postgres_server

ROLE = Path(__file__).resolve().parents[1] / "scripts" / "mappings" / "plan_role.sql"
UPLOADED_AT = datetime(2025, 11, 1, tzinfo=UTC)
# How FileMaker's id can appear in a patient's notes: written by one import, by another, or by hand.
NOTES = (
    lambda filemaker_id: json.dumps({"filemaker_id": filemaker_id, "imported": "2025-11-01"}),
    lambda filemaker_id: json.dumps({"source": "FileMaker", "filemaker_id": filemaker_id}, indent=2),
    lambda filemaker_id: f"Prefers mornings.\nFileMaker ID: {filemaker_id}\nBrings own shoes.",
)


@contextmanager
def nexus_database(clinic: Clinic) -> Iterator[tuple[str, str]]:
    """Run a Nexus with the clinic's patients and its users' own uploads.

    Yields two URLs: that of the database's owner, and that of the role `image_linkage`, which the scripts use.
    """
    with postgres_server() as server:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute("create database nexus")
        owner, password = database_url(server, "nexus"), secrets.token_hex(16)
        nexus.migrate(owner, "plan")
        with psycopg.connect(owner) as connection:
            fill(connection, clinic)
            connection.execute(ROLE.read_text(encoding="utf-8"))
            connection.execute(sql.SQL("alter role image_linkage password {}").format(password))
        yield owner, database_url(server, "nexus", "image_linkage", password)


def fill(connection: psycopg.Connection, clinic: Clinic) -> None:
    """Insert the clinic's patients, each with a name and notes, and what Nexus's users uploaded themselves."""
    rng = Random(SEED)
    tables: dict[str, list[tuple]] = {
        "patients_patient (id, name, notes)": [
            (patient_id, f"Invented Patient {number}", rng.choice(NOTES)(filemaker_id) if filemaker_id else "")
            for number, (patient_id, filemaker_id) in enumerate(clinic.nexus_patients, 1)
        ],
        "images_imagebatch (id, patient_id, batch_name, captured_date, import_source, created_at)": [
            (*batch, UPLOADED_AT) for batch in clinic.nexus_image_batches
        ],
        "images_image (id, batch_id, s3_key, original_filename, file_size, category, uploaded_at)": [
            (image_id, batch_id, key, Path(key).name, 1, "", UPLOADED_AT)
            for image_id, batch_id, _, key in clinic.nexus_images
        ],
    }
    for table, rows in tables.items():
        with connection.cursor() as cursor, cursor.copy(f"copy {table} from stdin") as copy:
            for row in rows:
                copy.write_row(row)


def read_back(url: str, patient_id: str) -> list[dict[str, Any]]:
    """Return the patient's image batches, oldest first, each with its images, as Nexus's own models give them."""
    code = f"""
import json
from sandbox.nexus.plan.patients.models import Patient
batches = Patient.objects.get(pk={patient_id!r}).image_batches.order_by("captured_date", "batch_name")
print(json.dumps([
    dict(batch_name=batch.batch_name, captured_date=batch.captured_date.isoformat(), images=[
        dict(s3_key=image.s3_key, original_filename=image.original_filename, category=image.category)
        for image in batch.images.order_by("original_filename")
    ])
    for batch in batches
]))
"""
    return nexus.ask(url, "plan", code)
