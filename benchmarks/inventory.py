"""How long a delivery of S3 Inventory takes to become the seed s3_inventory.csv, and in how much memory."""

import hashlib
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import duckdb

from benchmarks.processes import timed
from linkage.paths import PROJECT_ROOT
from sandbox.settings import DUMP

BUCKET = "clinic"
ROWS, FILES = 10_000_000, 10
# One file: numbers from one to below another, in no order, as S3 delivers them.
QUERY = """
select '{bucket}' as bucket, '{dump}' || i || case when i % 20 = 7 then '.png' else '.jpg' end as key,
    30000 + i % 977 as size, timestamptz '2026-01-01 10:00:00+00' + interval 1 second * i as last_modified_date,
    md5('object' || i) as e_tag, 'STANDARD' as storage_class
from (select number * 7919 % {rows} as i from range({start}, {end}) as numbers (number))
"""
CSV = "select * replace (strftime(timezone('UTC', last_modified_date), '%Y-%m-%dT%H:%M:%S.000Z') as last_modified_date)"
FORMATS = {  # what the manifest says, how DuckDB writes a file, its extension
    "Parquet": (
        "message s3.inventory { required binary bucket (STRING); required binary key (STRING); optional int64 size; "
        "optional int64 last_modified_date (TIMESTAMP(MILLIS,true)); optional binary e_tag (STRING); "
        "optional binary storage_class (STRING); }",
        "({query}) to '{path}' (format parquet, codec snappy)",
        "parquet",
    ),
    "CSV": (
        "Bucket, Key, Size, LastModifiedDate, ETag, StorageClass",
        f"({CSV} from ({{query}})) to '{{path}}' (format csv, header false, force_quote *, compression gzip)",
        "csv.gz",
    ),
}


def main() -> None:
    """Make a delivery of each format and take it; print seconds and peak memory."""
    print(f"\nS3 Inventory: {ROWS:,} objects in {FILES} files on disk; one run of each")
    for kind in FORMATS:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            manifest = write_delivery(folder, kind)
            delivered = sum(file.stat().st_size for file in (folder / "data").iterdir())
            command = [sys.executable, "scripts/list_s3_objects.py", "--inventory", str(manifest)]
            environment = {**os.environ, "PYTHON_DOTENV_DISABLED": "1", "LINKAGE_DATA": str(folder / "seeds")}
            figures = timed(command, environment, str(PROJECT_ROOT))
            seed = (folder / "seeds" / "s3_inventory.csv").stat().st_size
            print(
                f"{kind:10}{delivered / 1e6:8,.0f} MB ->{seed / 1e6:8,.0f} MB{figures.wall:8.1f} s"
                f"{figures.cpu:8.1f} s of processor time{figures.peak:8.1f} MB   (limit: under 400)",
                flush=True,
            )


def write_delivery(folder: Path, kind: str) -> Path:
    """Write a delivery of this format, as S3 does; returns the path of its manifest."""
    schema, copy, extension = FORMATS[kind]
    (folder / "data").mkdir()
    files = []
    for number in range(FILES):
        path = folder / "data" / f"{number}.{extension}"
        share = ROWS // FILES
        query = QUERY.format(bucket=BUCKET, dump=DUMP, rows=ROWS, start=number * share, end=(number + 1) * share)
        duckdb.execute(f"copy {copy.format(query=query, path=path)}")
        with path.open("rb") as file:
            md5 = hashlib.file_digest(file, "md5").hexdigest()
        files.append({"key": f"{BUCKET}/daily/data/{path.name}", "size": path.stat().st_size, "MD5checksum": md5})
    contents = json.dumps(
        {
            "sourceBucket": BUCKET,
            "destinationBucket": "arn:aws:s3:::inventories",
            "version": "2016-11-30",
            "creationTimestamp": str(int(time.time() * 1000)),
            "fileFormat": kind,
            "fileSchema": schema,
            "files": files,
        }
    )
    manifest = folder / "2026-01-01T01-00Z" / "manifest.json"
    manifest.parent.mkdir()
    manifest.write_text(contents, encoding="utf-8")
    manifest.with_name("manifest.checksum").write_text(hashlib.md5(contents.encode()).hexdigest(), encoding="utf-8")
    return manifest
