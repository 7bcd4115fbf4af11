"""How long one clinic takes from export to verified copies, compared with a plain loop of HEAD and COPY."""

import csv
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from benchmarks.processes import timed
from linkage.paths import PROJECT_ROOT
from sandbox.clinic import DUMP, EXPORT_NAME, draw_objects, make_clinic, write_records
from sandbox.s3_server import client, s3_server, upload
from sandbox.settings import DEFAULT_VARS

BUCKET = "clinic"


def main() -> None:
    """Run the four steps on the synthetic clinic and SeaweedFS, then the plain loop; print the seconds of each."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = folder / "data"
        clinic = make_clinic()
        data.mkdir()
        write_records(clinic, data)
        draw_objects(clinic.objects, folder / "bucket")
        (folder / "store").mkdir()
        with s3_server(folder / "store") as servers:
            upload(servers, BUCKET, folder / "bucket")
            environment = servers | {
                "LINKAGE_DATA": str(data),
                "LINKAGE_WAREHOUSE": str(folder / "image_linkage.duckdb"),
                "MANIFEST_PATH": str(folder / "manifest.csv"),
                "DBT_TARGET_PATH": str(folder / "target"),
                "DBT_LOG_PATH": str(folder / "logs"),
            }
            dbt = [str(Path(sys.executable).with_name("dbt")), "build", "--target", "duckdb"]
            print(f"\nClinic: {len(clinic.rows):,} export rows, {len(clinic.objects):,} objects on SeaweedFS; one run")
            print("The four steps of an import; then only its copies, by a loop of boto3's HEAD and COPY", flush=True)
            total = 0.0
            for title, *command in (
                ("convert", sys.executable, "scripts/convert_fm_tab_to_csv.py", str(data / EXPORT_NAME)),
                ("list", sys.executable, "scripts/list_s3_objects.py", f"s3://{BUCKET}/{DUMP}"),
                ("dbt build", *dbt, "--vars", json.dumps(DEFAULT_VARS)),
                ("copy", sys.executable, "scripts/copy_objects.py", str(folder / "manifest.csv")),
            ):
                figures = timed(command, environment, str(PROJECT_ROOT))
                total += figures.wall
                print(f"{title:26}{'wall s':>8}{figures.wall:8.1f}")
            print(f"{'all four':26}{'wall s':>8}{total:8.1f}   (limit: under 60)")
            seconds, copies = plain_loop(client(servers), folder / "manifest.csv")
            print(f"{'plain loop, copy only':26}{'wall s':>8}{seconds:8.1f}   ({copies:,} images)")
            print(f"{'plain loop / copy':26}{'':8}{seconds / figures.wall:8.1f}")


def plain_loop(s3: Any, manifest: Path) -> tuple[float, int]:
    """Copy each object of a manifest to another key, one after the other; returns the seconds and the number of copies.

    No copy is conditional, verified, retried or recorded.
    """
    with manifest.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    started = time.perf_counter()
    for row in rows:
        key = f"plain-loop/{row['destination_key']}"
        try:
            s3.head_object(Bucket=row["destination_bucket"], Key=key)
        except ClientError:
            s3.copy_object(
                Bucket=row["destination_bucket"],
                Key=key,
                CopySource={"Bucket": row["source_bucket"], "Key": row["source_key"]},
            )
    return time.perf_counter() - started, len(rows)


if __name__ == "__main__":
    os.umask(0o077)
    main()
