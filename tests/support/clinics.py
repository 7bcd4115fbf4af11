"""The synthetic clinic as a data folder, without an S3 server or a Nexus."""

import hashlib
from pathlib import Path

from linkage.seeds import SEED_COLUMNS, make_missing_seeds
from sandbox.clinic import Clinic, write_records
from tests.support.exports import as_seed
from tests.support.projects import write_seed


def write_data_folder(clinic: Clinic, folder: Path, pictures: Path) -> None:
    """Write the seven seeds of a clinic into `folder`; its objects are listed as they were drawn under `pictures`."""
    make_missing_seeds(folder)
    write_records(clinic, folder)
    columns = SEED_COLUMNS["filemaker_images_metadata"]
    rows = [dict(zip(columns, as_seed(row.exported()), strict=True)) for row in clinic.rows]
    write_seed(folder, "filemaker_images_metadata", rows)
    objects = []
    for stored in clinic.dump():
        content = (pictures / stored.key).read_bytes()
        etag = hashlib.md5(content, usedforsecurity=False).hexdigest()
        objects.append({"bucket": "synthetic-clinic", "key": stored.key, "size": len(content), "etag": etag})
    write_seed(folder, "s3_inventory", objects)
