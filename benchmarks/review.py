"""How long the review site of the synthetic clinic takes: the first time, and again, when its pictures are known."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.processes import timed
from linkage.paths import PROJECT_ROOT
from sandbox.clinic import DUMP, EXPORT_NAME, draw_objects, make_clinic, write_records
from sandbox.s3_server import s3_server, upload
from sandbox.settings import DEFAULT_VARS

BUCKET = "clinic"
LIMITS = {"first time": 60, "again": 8, "and again": 8}  # seconds


def main() -> None:
    """Make the site of 6,502 rows on SeaweedFS three times; print seconds and peak memory."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = folder / "data"
        data.mkdir()
        clinic = make_clinic()
        write_records(clinic, data)
        draw_objects(clinic.objects, folder / "bucket")
        with s3_server(folder / "store") as server:
            upload(server, BUCKET, folder / "bucket")
            environment = server | {
                "LINKAGE_DATA": str(data),
                "MANIFEST_PATH": str(folder / "manifest.csv"),
                "DBT_TARGET_PATH": str(folder / "target"),
                "DBT_LOG_PATH": str(folder / "logs"),
            }
            dbt = [
                str(Path(sys.executable).with_name("dbt")),
                "--quiet",
                "build",
                "--exclude-resource-type",
                "unit_test",
            ]
            for command in (
                [sys.executable, "scripts/convert_fm_tab_to_csv.py", str(data / EXPORT_NAME)],
                [sys.executable, "scripts/list_s3_objects.py", f"s3://{BUCKET}/{DUMP}"],
                [*dbt, "--vars", json.dumps(DEFAULT_VARS)],
            ):
                subprocess.run(command, cwd=PROJECT_ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
            print(f"\nReview site: {len(clinic.rows):,} rows, {len(clinic.dump()):,} objects on SeaweedFS", flush=True)
            for title, limit in LIMITS.items():
                command = [sys.executable, "scripts/build_review_site.py"]
                figures = timed(command, environment, str(PROJECT_ROOT))
                print(f"{title:26}{'wall s':>8}{figures.wall:8.1f}   (under {limit})")
                print(f"{'':26}{'cpu s':>8}{figures.cpu:8.1f}")
                print(f"{'':26}{'peak MB':>8}{figures.peak:8.1f}", flush=True)


if __name__ == "__main__":
    os.umask(0o077)
    main()
