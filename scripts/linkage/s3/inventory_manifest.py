"""The manifest of an S3 Inventory delivery: what was delivered, when, and in which files."""

import hashlib
import json
import re
from datetime import UTC, datetime
from typing import Any, NamedTuple

from linkage.errors import UnusableInput

# The names of the fields that are used, in CSV and in Parquet.
FIELDS = {
    "Bucket": "bucket",
    "Key": "key",
    "Size": "size",
    "LastModifiedDate": "last_modified_date",
    "ETag": "e_tag",
    "StorageClass": "storage_class",
    "VersionId": "version_id",
    "IsLatest": "is_latest",
    "IsDeleteMarker": "is_delete_marker",
}
NEEDED = ("Bucket", "Key", "Size", "LastModifiedDate", "ETag")
OF_VERSIONS = ("VersionId", "IsLatest", "IsDeleteMarker")
FORMATS = ("CSV", "Parquet")
PARQUET_FIELD = re.compile(r"\b(?:required|optional)\s+\w+\s+(\w+)")
MD5 = re.compile("[0-9a-f]{32}")
IN_CONFIGURATION = "in the inventory's configuration, and use the first delivery after that"


class Part(NamedTuple):
    """One file of a delivery: its key in the destination bucket, its size in bytes, and the MD5 of its bytes in hex."""

    key: str
    size: int
    md5: str


class Manifest(NamedTuple):
    """What a manifest says.

    `created` is when S3 began to scan the `bucket`. `fields` are the columns of the
    files, in order, by their names in Parquet where FIELDS has them. `versions` is
    whether older versions and delete markers are listed, too.
    """

    bucket: str
    created: datetime
    parquet: bool
    fields: list[str]
    versions: bool
    parts: list[Part]


def check_manifest(name: str, contents: bytes, checksum: bytes) -> None:
    """Raise UnusableInput unless `checksum`, what manifest.checksum has, is the MD5 of the manifest's contents."""
    if hashlib.md5(contents, usedforsecurity=False).hexdigest().encode() != checksum.strip().lower():
        raise UnusableInput(
            f"{name} is not the manifest that S3 delivered: its MD5 differs from manifest.checksum; fetch the delivery "
            "again"
        )


def read_manifest(name: str, contents: bytes) -> Manifest:
    """What a manifest says; `name` is for sentences.

    Raises UnusableInput if it is not a manifest, if the inventory has a format that is
    not read here, lacks a field, or consists of no file, or if a file is listed twice.
    """
    try:
        found = json.loads(contents)
        bucket, created = found["sourceBucket"], datetime.fromtimestamp(int(found["creationTimestamp"]) / 1000, UTC)
        kind, schema, files = found["fileFormat"], found["fileSchema"], found["files"]
        if not (bucket and bucket.isprintable() and isinstance(schema, str) and isinstance(files, list)):
            raise TypeError
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, OSError, RecursionError):
        raise UnusableInput(
            f"{name} is not the manifest of an S3 Inventory; name the manifest.json of a delivery"
        ) from None
    if kind not in FORMATS:
        raise UnusableInput(
            f"{name} belongs to an inventory {'in ORC' if kind == 'ORC' else 'in an unknown format'}, which cannot be "
            f"read; choose CSV or Parquet {IN_CONFIGURATION}"
        )
    parquet = kind == "Parquet"
    named = PARQUET_FIELD.findall(schema) if parquet else [field.strip() for field in schema.split(",")]
    fields = named if parquet else [FIELDS.get(field, field) for field in named]
    return Manifest(bucket, created, parquet, fields, check_fields(name, fields), read_parts(name, files))


def check_fields(name: str, fields: list[str]) -> bool:
    """Whether the inventory includes all versions, by its fields: S3 then adds three, and leaves them out otherwise.

    Raises UnusableInput if a field that is needed is missing, or one is there twice.
    """
    if len({field.casefold() for field in fields}) < len(fields):
        raise UnusableInput(f"{name} names a field twice in fileSchema; use another day's delivery")
    if missing := [field for field in NEEDED if FIELDS[field] not in fields]:
        raise UnusableInput(
            f"{name} belongs to an inventory without {' and '.join(missing)}; choose Size, LastModifiedDate and ETag "
            f"{IN_CONFIGURATION}"
        )
    of_versions = [field for field in OF_VERSIONS if FIELDS[field] in fields]
    if of_versions and len(of_versions) < len(OF_VERSIONS):
        raise UnusableInput(
            f"{name} belongs to an inventory with {of_versions[0]}, but not all of {', '.join(OF_VERSIONS)}, so "
            f"current versions cannot be distinguished; choose current or all versions {IN_CONFIGURATION}"
        )
    return bool(of_versions)


def read_parts(name: str, files: list[Any]) -> list[Part]:
    """The files that a manifest lists; raises UnusableInput if there is none, or one is listed twice or wrongly."""
    if not files:
        raise UnusableInput(f"{name} lists no file, so the inventory is empty; check the inventory's prefix filter")
    parts = []
    for number, file in enumerate(files, 1):
        try:
            part = Part(file["key"], file["size"], file["MD5checksum"].lower())
            steps = part.key.split("/")
            wrong = type(part.size) is not int or not MD5.fullmatch(part.md5) or len(steps) < 2
        except (AttributeError, KeyError, TypeError):
            wrong = True
        if wrong:
            raise UnusableInput(
                f"{name} lists no key, size or MD5checksum for file {number}; use another day's delivery"
            )
        if {"", ".", ".."}.intersection(steps[-2:]) or ".." in steps or not part.key.isprintable():
            raise UnusableInput(
                f"{name} lists a file outside of the delivery's folder (file {number}); use another day's delivery"
            )
        parts.append(part)
    if len({place(part) for part in parts}) < len(parts):
        raise UnusableInput(f"{name} lists a file twice; use another day's delivery")
    return parts


def place(part: Part) -> str:
    """Where a file is in the delivery's folder: `data/` and its name."""
    return "/".join(part.key.split("/")[-2:])
