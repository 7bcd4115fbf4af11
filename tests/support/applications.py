"""The applications `plan` and `generic`: their tables, and rows that they insert themselves."""

from typing import Any

import psycopg

PATIENT_TABLES = {"plan": "patients_patient", "generic": "patients"}
BATCH_TABLES = {"plan": "images_imagebatch", "generic": "images_batch"}


def execute(url: str, statement: str, *values: Any) -> Any:
    """Run one statement in a transaction; the rows of a query, or how many rows were changed."""
    with psycopg.connect(url) as connection:
        cursor = connection.execute(statement, values or None)
        return cursor.fetchall() if cursor.description else cursor.rowcount


def insert_row(url: str, table: str, values: dict[str, Any]) -> None:
    """Insert one row, given by column."""
    columns = ", ".join(f'"{column}"' for column in values)
    execute(url, f"insert into {table} ({columns}) values ({', '.join(['%s'] * len(values))})", *values.values())


def insert_batch(url: str, site: str, batch: str, patient: str, model: str = "patient", **values: Any) -> None:
    """Insert a batch; `values` replace columns. On `generic` its owner is a row of this Django `model`."""
    row = {"id": batch, "batch_name": "18 Oct 2016 (FileMaker Import)", "captured_date": "2016-10-18"} | values
    if site == "plan":
        row |= {"patient_id": patient, "created_at": "2020-01-01", "import_source": "filemaker_import"}
    else:
        ((owner_type,),) = execute(url, "select id from django_content_type where model = %s", model)
        row |= {"content_type_id": owner_type, "object_id": patient, "name": row.pop("batch_name")}
        row |= {"description": "by hand", "uploaded_at": "2020-01-01", "image_count": row.get("image_count", 0)}
        del row["captured_date"]
    insert_row(url, BATCH_TABLES[site], row)


def insert_image(url: str, site: str, image: str, batch: str, **values: Any) -> None:
    """Insert an image; `values` replace columns."""
    row = {"id": image, "batch_id": batch, "s3_key": "users/a.jpg", "file_size": 5, "uploaded_at": "2020-01-01"}
    row |= {"category": "", "original_filename" if site == "plan" else "original_name": "0.jpg"}
    if site == "generic":
        row |= {"mime_type": "", "caption": "", "order": 0}
    insert_row(url, "images_image", row | values)
