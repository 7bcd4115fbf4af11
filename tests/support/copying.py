"""What tests of copying share: objects to copy, manifests, and what a run leaves behind."""

import csv
import re
import subprocess
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from linkage.copying.manifest import COLUMNS, ManifestRow
from linkage.paths import PROJECT_ROOT
from linkage.seeds import SEED_COLUMNS
from tests.support.servers import S3

SCRIPT = str(PROJECT_ROOT / "scripts" / "copy_objects.py")
DUMP = "filemaker-import/images-bulk-dump/"
CANARY_KEY = "patients/image-linkage-canary"
MIB = 1024 * 1024


def upload(s3: S3, key: str, body: bytes = b"a picture", **more) -> str:
    """Put an object there and return its etag."""
    return s3.client.put_object(Bucket=s3.bucket, Key=key, Body=body, **more)["ETag"].strip('"')


def upload_in_parts(s3: S3, key: str, parts: list[bytes]) -> str:
    """Put an object there in parts and return its etag."""
    target = {"Bucket": s3.bucket, "Key": key}
    upload_id = s3.client.create_multipart_upload(**target)["UploadId"]
    etags = [
        s3.client.upload_part(**target, UploadId=upload_id, PartNumber=number, Body=part)["ETag"]
        for number, part in enumerate(parts, 1)
    ]
    numbered = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, 1)]
    done = s3.client.complete_multipart_upload(**target, UploadId=upload_id, MultipartUpload={"Parts": numbered})
    return done["ETag"].strip('"')


def row_of(s3: S3, source: str, destination: str, etag: str, size: int, bucket: str = "") -> ManifestRow:
    return ManifestRow(str(uuid.uuid4()), s3.bucket, source, etag, size, bucket or s3.bucket, destination)


def picture(s3: S3, recid: int, body: bytes | None = None) -> ManifestRow:
    """Upload a picture to the dump; its row of the manifest."""
    body = b"picture %d" % recid if body is None else body
    source = f"{DUMP}{recid}.jpg"
    return row_of(s3, source, f"patients/1/images/b/{recid}.jpg", upload(s3, source, body), len(body))


def pictures(s3: S3, count: int) -> list[ManifestRow]:
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda recid: picture(s3, recid), range(1, count + 1)))


def write_manifest(folder: Path, rows: list[ManifestRow]) -> Path:
    path = folder / "manifest.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([COLUMNS, *rows])
    return path


def results(s3: S3, path: Path | None = None) -> list[dict[str, str]]:
    """The results file, read strictly: every line whole."""
    path = path or Path(s3.environment["LINKAGE_DATA"]) / "copy_results.csv"
    content = path.read_bytes()
    assert content.endswith(b"\n")
    header, *rows = csv.reader(content.decode().splitlines(keepends=True), strict=True)
    assert tuple(header) == SEED_COLUMNS["copy_results"]
    assert {len(row) for row in rows} <= {len(header)}
    return [dict(zip(header, row, strict=True)) for row in rows]


def outcomes(s3: S3) -> list[str]:
    return [result["outcome"] for result in results(s3)]


def by_image(s3: S3) -> dict[str, str]:
    """Image → its newest outcome."""
    return {result["image_id"]: result["outcome"] for result in results(s3)}


def body(s3: S3, key: str, bucket: str = "") -> bytes:
    return s3.client.get_object(Bucket=bucket or s3.bucket, Key=key)["Body"].read()


def objects(s3: S3, prefix: str = "") -> dict[str, tuple]:
    """Key → ETag, size and time of every object."""
    pages = s3.client.get_paginator("list_objects_v2").paginate(Bucket=s3.bucket, Prefix=prefix)
    return {
        found["Key"]: (found["ETag"], found["Size"], found["LastModified"])
        for page in pages
        for found in page.get("Contents", [])
    }


def without_canary(s3: S3, prefix: str = "") -> dict[str, tuple]:
    """Every object except the canary."""
    return {key: found for key, found in objects(s3, prefix).items() if key != CANARY_KEY}


def count_versions(s3: S3, prefix: str) -> Counter[str]:
    """How often each key was ever written, in a bucket that keeps versions."""
    pages = s3.client.get_paginator("list_object_versions").paginate(Bucket=s3.bucket, Prefix=prefix)
    return Counter(version["Key"] for page in pages for version in page.get("Versions", []))


def assert_refused(run: subprocess.CompletedProcess[str], *, saying: str) -> None:
    assert run.returncode == 2, run
    assert run.stdout == ""
    assert re.fullmatch(r"error: [^\n]+\n", run.stderr), run.stderr
    assert saying in run.stderr


def hindered(s3: S3) -> dict[str, ManifestRow]:
    """Rows that must not be copied, by the outcome that each must have."""
    same, conflict, same_size, gone, changed = (picture(s3, recid) for recid in range(11, 16))
    upload(s3, same.destination_key, body(s3, same.source_key))
    upload(s3, conflict.destination_key, b"somebody else's")
    upload(s3, same_size.destination_key, b"PICTURE 13")
    s3.client.delete_object(Bucket=s3.bucket, Key=gone.source_key)
    upload(s3, changed.source_key, b"PICTURE 15")
    return {
        "already_present": same,
        "conflict": conflict,
        "conflict, same size": same_size,
        "source_missing": gone,
        "source_changed": changed,
    }


def hold(s3: S3, *rows: ManifestRow) -> None:
    """Hold back the records of these rows, and no others."""
    recids = [row.source_key.rpartition("/")[2].partition(".")[0] for row in rows]
    path = Path(s3.environment["LINKAGE_DATA"]) / "held_images.csv"
    path.write_text("".join(f"{line}\n" for line in ["recid,held_by,held_on", *(f"{recid},," for recid in recids)]))


def keep_versions(s3: S3) -> None:
    s3.client.put_bucket_versioning(Bucket=s3.bucket, VersioningConfiguration={"Status": "Enabled"})


def only_line(run: Any) -> str:
    """The one line on stderr of a run that ended with exit code 2."""
    assert run.returncode == 2, run
    *before, last = run.stderr.splitlines()
    assert not before, run.stderr
    assert last.startswith("error: "), run.stderr
    return last
