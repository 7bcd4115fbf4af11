"""The synthetic clinic as a data folder, without an S3 server or a Nexus."""

import hashlib
from collections.abc import Callable
from pathlib import Path

from linkage.seeds import SEED_COLUMNS, make_missing_seeds
from sandbox.clinic import Clinic, StoredObject, write_records
from tests.support.exports import as_seed
from tests.support.projects import write_seed


def write_data_folder(clinic: Clinic, folder: Path, pictures: Path) -> None:
    """Write the seven seeds of a clinic into `folder`; its objects are listed as they were drawn under `pictures`."""

    def drawn(stored: StoredObject) -> tuple[int, str]:
        content = (pictures / stored.key).read_bytes()
        return len(content), hashlib.md5(content, usedforsecurity=False).hexdigest()

    write_seeds(clinic, folder, drawn)


def write_seeds(clinic: Clinic, folder: Path, listed: Callable[[StoredObject], tuple[int, str]]) -> None:
    """Write the seven seeds of a clinic into `folder`; `listed` returns the size and the ETag of an object."""
    make_missing_seeds(folder)
    write_records(clinic, folder)
    columns = SEED_COLUMNS["filemaker_images_metadata"]
    rows = [dict(zip(columns, as_seed(row.exported()), strict=True)) for row in clinic.rows]
    write_seed(folder, "filemaker_images_metadata", rows)
    objects = []
    for stored in clinic.dump():
        size, etag = listed(stored)
        objects.append({"bucket": "synthetic-clinic", "key": stored.key, "size": size, "etag": etag})
    write_seed(folder, "s3_inventory", objects)
