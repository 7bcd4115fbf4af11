"""Deliveries of S3 Inventory, written as S3 does from what a real bucket holds."""

import csv
import gzip
import hashlib
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import duckdb

TYPES = {  # of each field: its name and type in a Parquet file, and its type in the manifest's schema
    "Bucket": ("bucket", "varchar", "binary (STRING)"),
    "Key": ("key", "varchar", "binary (STRING)"),
    "VersionId": ("version_id", "varchar", "binary (STRING)"),
    "IsLatest": ("is_latest", "boolean", "boolean"),
    "IsDeleteMarker": ("is_delete_marker", "boolean", "boolean"),
    "Size": ("size", "bigint", "int64"),
    "LastModifiedDate": ("last_modified_date", "timestamptz", "int64 (TIMESTAMP(MILLIS,true))"),
    "ETag": ("e_tag", "varchar", "binary (STRING)"),
    "StorageClass": ("storage_class", "varchar", "binary (STRING)"),
    "IsMultipartUploaded": ("is_multipart_uploaded", "boolean", "boolean"),
}
OF_VERSIONS = ("VersionId", "IsLatest", "IsDeleteMarker")
Row = dict[str, str]


def rows_of(client: Any, bucket: str) -> list[Row]:
    """Every version and delete marker in a bucket, as texts in S3's own forms."""
    found = client.list_object_versions(Bucket=bucket)
    assert not found["IsTruncated"]
    return [
        {
            "Bucket": bucket,
            "Key": one["Key"],
            "VersionId": one["VersionId"].replace("null", ""),
            "IsLatest": str(one["IsLatest"]).lower(),
            "IsDeleteMarker": str("ETag" not in one).lower(),
            "Size": str(one.get("Size", "")),
            "LastModifiedDate": one["LastModified"].astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z"),
            "ETag": one.get("ETag", "").strip('"'),
            "StorageClass": one.get("StorageClass", ""),
            "IsMultipartUploaded": "false",
        }
        for one in [*found.get("Versions", []), *found.get("DeleteMarkers", [])]
    ]


def objects(*keys: str, bucket: str = "dump") -> list[dict[str, str]]:
    """Rows of current objects."""
    return [
        {
            "Bucket": bucket, "Key": key, "VersionId": "", "IsLatest": "true", "IsDeleteMarker": "false", "Size": "3",
            "LastModifiedDate": "2026-01-02T03:04:05.000Z", "ETag": "5d41402abc4b2a76b9719d911017c592",
            "StorageClass": "GLACIER", "IsMultipartUploaded": "false",
        }
        for key in keys
    ]  # fmt: skip


def write_delivery(
    folder: Path,
    rows: list[Row],
    kind: str = "CSV",
    *,
    versions: bool = False,
    without: tuple[str, ...] = (),
    age: timedelta = timedelta(hours=6),
) -> Path:
    """Write a delivery of a `kind`, CSV or Parquet, in two files; returns the path of its manifest.json.

    `folder` is like the destination bucket. Beside the delivery's files are what
    else S3 writes there: another day's file, and symlink.txt. Without `versions` the
    inventory is of current versions only; its fields are all but those named.
    """
    listed = (
        rows if versions else [row for row in rows if (row["IsLatest"], row["IsDeleteMarker"]) == ("true", "false")]
    )
    fields = [field for field in TYPES if field not in without and (versions or field not in OF_VERSIONS)]
    bucket, created = rows[0]["Bucket"], datetime.now(UTC) - age
    place = folder / "inventories" / bucket / "daily"
    (place / "data").mkdir(parents=True)
    (place / "data" / "another-day.csv.gz").write_bytes(b"not of this day")
    (place / "hive" / "dt=2026-01-01-01-00").mkdir(parents=True)
    (place / "hive" / "dt=2026-01-01-01-00" / "symlink.txt").write_text("s3://inventories/data/another-day.csv.gz\n")
    files = []
    for number, part in enumerate((listed[::2], listed[1::2])):
        path = place / "data" / f"{number}.{'parquet' if kind == 'Parquet' else 'csv.gz'}"
        (write_parquet if kind == "Parquet" else write_csv)(path, part, fields)
        files.append({"key": str(path.relative_to(folder)), **described(path)})
    manifest = place / f"{created:%Y-%m-%dT%H-%MZ}" / "manifest.json"
    manifest.parent.mkdir()
    types = [f"optional {kind_of} {name} {note};" for name, kind_of, note in map(parquet_field, fields)]
    contents = {
        "sourceBucket": bucket,
        "destinationBucket": "arn:aws:s3:::inventories",
        "version": "2016-11-30",
        "creationTimestamp": str(int(created.timestamp() * 1000)),
        "fileFormat": kind,
        "fileSchema": f"message s3.inventory {{ {' '.join(types)} }}" if kind == "Parquet" else ", ".join(fields),
        "files": files,
    }
    save(manifest, json.dumps(contents, indent=2).encode())
    return manifest


def parquet_field(field: str) -> tuple[str, str, str]:
    """Name, type and annotation of a field in the schema of a Parquet delivery's manifest."""
    name, _, described_type = TYPES[field]
    kind, _, note = described_type.partition(" ")
    return name, kind, note


def write_csv(path: Path, rows: list[Row], fields: list[str]) -> None:
    """Write rows as S3 does: every value in quotation marks, keys encoded as in an HTML form."""
    text = io.StringIO(newline="")
    for row in rows:
        values = [quote_plus(row[field], safe="/*") if field == "Key" else row[field] for field in fields]
        csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n").writerow(values)
    path.write_bytes(gzip.compress(text.getvalue().encode()))


def write_parquet(path: Path, rows: list[Row], fields: list[str]) -> None:
    """Write rows in S3's types; an empty value is null."""
    with duckdb.connect() as connection:
        connection.execute(f"create table rows ({', '.join(' '.join(TYPES[field][:2]) for field in fields)})")
        for row in rows:
            marks = ", ".join("?" * len(fields))
            connection.execute(f"insert into rows values ({marks})", [row[field] or None for field in fields])
        connection.execute(f"copy rows to '{path}' (format parquet, codec snappy)")


def described(path: Path) -> dict[str, Any]:
    """Size and MD5 of a file, as a manifest has them."""
    return {"size": path.stat().st_size, "MD5checksum": hashlib.md5(path.read_bytes()).hexdigest()}


def save(manifest: Path, contents: bytes) -> None:
    """Write a manifest with its checksum."""
    manifest.write_bytes(contents)
    manifest.with_name("manifest.checksum").write_text(hashlib.md5(contents).hexdigest())


def change(manifest: Path, **changes: Any) -> None:
    """Give fields of a manifest other values (None: remove it), and the right checksum."""
    contents = json.loads(manifest.read_text()) | changes
    save(manifest, json.dumps({name: value for name, value in contents.items() if value is not None}).encode())


def part(manifest: Path, number: int = 0) -> Path:
    """The path of one of the delivery's files."""
    return manifest.parents[1] / "data" / Path(json.loads(manifest.read_text())["files"][number]["key"]).name


def replace_part(manifest: Path, contents: bytes, number: int = 0) -> None:
    """Replace one of the delivery's files as if S3 had written it so: its size and checksum are right."""
    path = part(manifest, number)
    path.write_bytes(contents)
    files = json.loads(manifest.read_text())["files"]
    files[number] |= described(path)
    change(manifest, files=files)


def upload(client: Any, bucket: str, folder: Path) -> None:
    """Put every file of the folder into a bucket, with its path as its key."""
    for path in folder.rglob("*"):
        if path.is_file():
            client.put_object(Bucket=bucket, Key=str(path.relative_to(folder)), Body=path.read_bytes())
