"""How long the thumbnails of one clinic's pictures take: all of them, and again when all are kept."""

import os
import sys
import tempfile
from pathlib import Path

from benchmarks.processes import timed
from linkage.paths import PROJECT_ROOT
from sandbox.clinic import DUMP, draw_objects, make_clinic
from sandbox.s3_server import s3_server, upload

BUCKET = "clinic"
PROGRAM = """
import sys
from pathlib import Path
from linkage.review.pictures import Source, make_thumbnails
from linkage.s3.clients import retrying_client
from linkage.s3.listing import list_objects
bucket, dump, cache, folder = sys.argv[1:]
found = [one for page in list_objects(retrying_client(), bucket, dump) for one in page]
make_thumbnails(
    (Source(bucket, one.key, one.etag, one.size, one.key.rpartition(".")[2]) for one in found),
    Path(cache),
    Path(folder),
    read=lambda _: True,
)
"""


def main() -> None:
    """Make the thumbnails of the synthetic clinic's dump on SeaweedFS twice; print seconds and peak memory."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clinic = make_clinic()
        draw_objects(clinic.objects, folder / "bucket")
        with s3_server(folder / "store") as servers:
            upload(servers, BUCKET, folder / "bucket")
            environment = servers | {"PYTHONPATH": str(PROJECT_ROOT / "scripts")}
            print(f"\nReview site: thumbnails of {len(clinic.dump()):,} objects on SeaweedFS; one run each", flush=True)
            for title, limit in (("first run", 40), ("second run", 2)):
                places = str(folder / "thumbnails"), str(folder / title)
                command = [sys.executable, "-c", PROGRAM, BUCKET, DUMP, *places]
                figures = timed(command, environment, str(PROJECT_ROOT))
                print(f"{title:26}{'wall s':>8}{figures.wall:8.1f}   (limit: under {limit})")
                print(f"{'':26}{'cpu s':>8}{figures.cpu:8.1f}")
                print(f"{'':26}{'peak MB':>8}{figures.peak:8.1f}", flush=True)


if __name__ == "__main__":
    os.umask(0o077)
    main()
