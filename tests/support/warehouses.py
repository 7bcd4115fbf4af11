"""What publishing reads, made without dbt in milliseconds: the marts in a DuckDB file, the seeds beside it, the copies.

`test_publish_to_nexus.py` compares the tables with those of a real build.
"""

import hashlib
import uuid
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import yaml
from psycopg.types.json import Jsonb

from linkage.paths import PROJECT_ROOT
from linkage.seeds import literal
from linkage.warehouse.mark import PROVED
from tests.support import projects
from tests.support.applications import PATIENT_TABLES, insert_row

NAMESPACE = uuid.UUID("545cf136-7f55-4c09-8cce-a53086e493a6")
BUCKET = "clinic"
CONTRACTS = ("image_batch", "image", "copy_manifest")


def read_contracts() -> dict[str, dict[str, str]]:
    """The columns of the marts whose models have a contract, with DuckDB's names of their types."""
    files = (PROJECT_ROOT / "models" / "marts").rglob("*.yml")
    models = [model for file in files for model in yaml.safe_load(file.read_text("utf-8")).get("models", [])]
    return {
        model["name"]: {column["name"]: column["data_type"].replace("text", "varchar") for column in model["columns"]}
        for model in models
        if model["name"] in CONTRACTS
    }


MARTS = read_contracts() | {
    "batches_to_relink": {
        "id": "varchar",
        "patient_id": "varchar",
        "new_patient_id": "varchar",
        "captured_date": "date",
        "image_count": "bigint",
        "image_ids_md5": "varchar",
    },
    "build_settings": {"name": "varchar", "value": "varchar"},
}
SETTINGS = {"batch_name_suffix": " (FileMaker Import)", "import_source": "filemaker_import"}
# Of every patient, and of every image: they must not appear in any output.
NAME, NOTE, TYPE = "Marked Name", "marked note", "Marked type"


def ids_md5(*images: dict) -> str:
    """The column image_ids_md5 of batches_to_relink, for a batch with these images."""
    return hashlib.md5(",".join(sorted(each["id"] for each in images)).encode(), usedforsecurity=False).hexdigest()


def patient_id(number: int) -> str:
    """The id of a patient in Nexus."""
    return f"{number:08x}-aaaa-4aaa-8aaa-0123456789ab"


def filemaker_patient_id(number: int) -> str:
    """FileMaker's id of a patient, in lower case."""
    return projects.uuid(number).lower()


def content(image: dict[str, Any]) -> bytes:
    """The bytes of an image: as many as its size says, and different for each record."""
    return f"{image['recid']:>10}".encode().ljust(image["file_size"], b".")[: image["file_size"]]


def md5(content: bytes) -> str:
    """The ETag of an object with these bytes."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def batch_id(patient: int, day: str) -> str:
    """The id of a patient's batch (docs/specification.md, Identity)."""
    return str(uuid.uuid3(NAMESPACE, f"image_batch:{filemaker_patient_id(patient)}:{day}"))


def image(recid: int, patient: int = 1, day: str = "2016-10-18", **values: Any) -> dict[str, Any]:
    """A row of the mart image, for the patient with this number; `values` replace columns."""
    filemaker_id = values.get("filemaker_id", projects.uuid(100_000 + recid).lower())
    row = {
        "id": str(uuid.uuid3(NAMESPACE, f"image:{filemaker_id or f'recid:{recid}'}")),
        "batch_id": batch_id(patient, day),
        "original_filename": f"{recid}.jpg",
        "file_size": 1000 + recid,
        "category": TYPE,
        "filemaker_id": filemaker_id,
        "filemaker_type": TYPE,
        "filemaker_date": day,
        "recid": recid,
        "patient_id": patient_id(patient),
        "source_bucket": BUCKET,
        "source_key": f"filemaker-import/images-bulk-dump/{recid}.jpg",
        **values,
    }
    row.setdefault("source_etag", md5(content(row)))
    row.setdefault("s3_key", f"patients/{row['patient_id']}/images/{row['batch_id']}/{recid}.jpg")
    return row


def batches_of(images: list[dict]) -> list[dict]:
    """The rows of the mart image_batch: the batches of these images."""
    batches: dict[str, dict[str, Any]] = {}
    for row in images:
        day = date.fromisoformat(row["filemaker_date"])
        batch = batches.setdefault(
            row["batch_id"],
            {
                "id": row["batch_id"],
                "patient_id": row["patient_id"],
                "batch_name": f"{day.day} {day:%b %Y} (FileMaker Import)",
                "captured_date": row["filemaker_date"],
                "import_source": "filemaker_import",
                "image_count": 0,
            },
        )
        batch["image_count"] += 1
    return list(batches.values())


def result(image: dict[str, Any], **values: Any) -> dict[str, Any]:
    """The row of copy_results.csv for an image that was copied; `values` replace columns."""
    return {
        "run_id": "run-1",
        "recorded_at": "2026-01-02T03:04:05Z",
        "image_id": image["id"],
        "source_bucket": image["source_bucket"],
        "source_key": image["source_key"],
        "source_etag": image["source_etag"],
        "destination_bucket": image.get("destination_bucket", BUCKET),
        "destination_key": image["s3_key"],
        "destination_etag": md5(content(image)),
        "size": image["file_size"],
        "outcome": "copied",
        "attempts": 1,
        **values,
    }


def write_warehouse(
    folder: Path,
    images: list[dict],
    *,
    batches: list[dict] | None = None,
    results: list[dict] | None = None,
    relink: Sequence[dict] = (),
    settings: dict[str, str] = SETTINGS,
    held: Sequence[int] = (),
) -> dict[str, str]:
    """Write `warehouse.duckdb`, as a build that passed leaves it, and the seeds that publishing reads to `folder`.

    Unless they are given, `batches` are those of the images, and `results` say that
    every image was copied. Returns the environment in which a script reads them.
    """
    path = folder / "warehouse.duckdb"
    path.unlink(missing_ok=True)
    manifest = [
        {
            **row,
            "image_id": row["id"],
            "source_size": row["file_size"],
            "destination_bucket": row.get("destination_bucket", BUCKET),
            "destination_key": row["s3_key"],
        }
        for row in images
    ]
    rows = {
        "image_batch": batches_of(images) if batches is None else batches,
        "image": images,
        "copy_manifest": manifest,
        "batches_to_relink": relink,
        "build_settings": [{"name": name, "value": value} for name, value in settings.items()],
    }
    with duckdb.connect(path) as connection:
        create_marts(connection)
        for mart, columns in MARTS.items():
            values = [[row.get(column) for column in columns] for row in rows[mart]]
            if values:
                connection.executemany(f"insert into {mart} values ({', '.join('?' * len(columns))})", values)
    projects.write_seed(folder, "copy_results", [result(row) for row in images] if results is None else results)
    projects.write_seed(folder, "held_images", [{"recid": recid} for recid in held])
    return {"LINKAGE_WAREHOUSE": str(path), "LINKAGE_DATA": str(folder)}


def create_marts(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the marts, empty, marked as those of a build that passed."""
    for mart, columns in MARTS.items():
        connection.execute(f"create table {mart} ({', '.join(' '.join(column) for column in columns.items())})")
        connection.execute(f"comment on table {mart} is {literal(PROVED)}")


def add_patients(url: str, site: str, *numbers: int) -> None:
    """Insert the patients with these numbers, with marked names and notes, into an application's database."""
    for number in numbers:
        notes = f"{NOTE} FileMaker ID: {filemaker_patient_id(number)}"
        row: dict[str, Any] = {"id": patient_id(number), "name": NAME, "notes": notes}
        if site == "generic":
            row["filemaker_metadata"] = Jsonb({"filemaker_id": filemaker_patient_id(number)})
        insert_row(url, PATIENT_TABLES[site], row)


class Copies:
    """The copies of images in a bucket of a real S3 server; `environment` is that of a process that uses it."""

    def __init__(self, client: Any, environment: dict[str, str]) -> None:
        self.client, self.environment = client, environment
        self.held: dict[str, bytes] = {}  # by key
        client.create_bucket(Bucket=BUCKET)

    def put(self, images: list[dict]) -> None:
        """Copy these images, unless they are there already."""
        for row in images:
            self.write(row["s3_key"], content(row))

    def write(self, key: str, body: bytes) -> None:
        """Write an object."""
        if self.held.get(key) != body:
            self.client.put_object(Bucket=BUCKET, Key=key, Body=body)
            self.held[key] = body

    def delete(self, images: list[dict]) -> None:
        """Remove the copies of these images."""
        for row in images:
            self.client.delete_object(Bucket=BUCKET, Key=row["s3_key"])
            del self.held[row["s3_key"]]
