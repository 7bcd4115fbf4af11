"""The synthetic clinic before there is a dump: its pictures are in FileMaker's containers."""

import io
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pillow_heif
from PIL import Image

from sandbox.clinic import Clinic, Row, StoredObject, calendar_date, make_clinic
from sandbox.filemaker_server import CONTAINERS, Record, Stored

SIZES = CONTAINERS[:5]  # from the largest picture to the smallest
RECOVERED = CONTAINERS[5]
# Larger than any picture, so that the demo would notice if it were taken for one.
RECOVERED_FILE = b"\xff\xd8\xff\xe0" + bytes(500_000)
# Mistakes that only a dump can have: here, these records have no picture, and so they stay unmarked.
WITHOUT_PICTURE = ("not_exported", "ambiguous_object", "empty_object")
# Mistakes that keep a record from being imported, because its picture would not show whose it is.
WITHOUT_NUMBER = ("invalid_recid", "duplicate_recid")
MARK, MARKED_BEFORE = "NexusExportDate", "missing_object"
NO_IMAGE, FAILED, UPLOADED = "no_image", "failed", "uploaded"


def make_filemaker_clinic(*, faults: bool = True, one_in: int = 1) -> Clinic:
    """Invent a clinic, as `make_clinic` does, of which nothing has been imported yet.

    Its objects have the keys that an import should give them, but for those that Nexus's users uploaded. The rows for
    `missing_object` are records that were marked before, so that their picture gets into no dump.
    """
    clinic = make_clinic(faults=faults, one_in=one_in)
    objects = {stored.key: stored for stored in clinic.objects}
    uploads = [objects[key] for _, _, _, key in clinic.nexus_images]
    pictures = []
    for row in clinic.rows:
        stored = objects.get(row.key()) or StoredObject(row.key(), row.type.strip())
        row.extension = row.extension.lower().replace("jpeg", "jpg")  # the bytes decide, not the camera
        if row.reason in WITHOUT_PICTURE:
            row.reason = "not_exported"
        else:
            pictures.append(replace(stored, key=row.key()))
        if row.reason != MARKED_BEFORE:
            row.nexus_export_date = ""
    clinic.objects = pictures + uploads
    empty = {row.recid_read() for row in clinic.rows if row.reason == "not_exported"}
    clinic.planted = [each for each in clinic.planted if each.finding != "tiny_file" or each.recid not in empty]
    return clinic


def outcome_of_import(row: Row) -> str:
    """Return what an import should make of a row; empty for one that was marked before."""
    if row.reason in WITHOUT_NUMBER:
        return FAILED
    return {"not_exported": NO_IMAGE, MARKED_BEFORE: ""}.get(row.reason, UPLOADED)


def best_container(row: Row) -> str:
    """Return the container with a row's largest picture: each of the five has a fifth of the best ones."""
    return SIZES[row.number % len(SIZES)]


def filemaker_records(clinic: Clinic, folder: Path) -> list[Record]:
    """Return all records, each with its picture, which was drawn under `folder`, in its best container.

    The containers for smaller pictures have smaller versions of it, if it can be decoded.
    """
    pillow_heif.register_heif_opener()
    drawn = {stored.key for stored in clinic.dump()}
    return [
        filemaker_record(row, containers(row, (folder / row.key()).read_bytes() if row.key() in drawn else b""))
        for row in clinic.rows
    ]


def containers(row: Row, picture: bytes) -> dict[str, Stored]:
    """Return what is in the containers of a row with this picture, empty for none."""
    found: dict[str, Stored] = {RECOVERED: RECOVERED_FILE}
    if picture:
        found[best_container(row)] = picture
        smaller = SIZES[SIZES.index(best_container(row)) + 1 :]
        found |= dict(zip(smaller, smaller_versions(picture, len(smaller)), strict=False))
    return found


def smaller_versions(picture: bytes, count: int) -> list[bytes]:
    """Return this many versions of a picture, each half as wide as the one before; none if it cannot be decoded."""
    versions = []
    try:
        image = Image.open(io.BytesIO(picture)).convert("RGB")
    except OSError:
        return []
    for _ in range(count):
        image = image.reduce(2)
        file = io.BytesIO()
        image.save(file, "JPEG", quality=60)
        versions.append(file.getvalue())
    return versions


def filemaker_record(row: Row, found: Mapping[str, Stored]) -> Record:
    """Return a row as a record, its fields as the Data API gives them."""
    fields: dict[str, str | int | float] = {
        "recid": row.recid,
        "id_Contact": row.id_contact,
        "date": us_date(row.date),
        "Type": row.type.replace("\x0b", "\r"),
        "id": row.id,
        "fileName": row.file_name,
        "Name_of_file": row.name_of_file.replace("\x0b", "\r"),
        "NexusExportDate": us_date(row.nexus_export_date.partition(" ")[0]),
        "imported": row.number % 2,  # the importer should not care
    }
    return Record(row.number, fields, dict(found))


def us_date(text: str) -> str:
    """Return a date with two digits for month and day; any other text as it is."""
    day = calendar_date(text)
    return f"{day:%m/%d/%Y}" if day else text
