"""The seven CSV files of the data folder: their columns, and the files that are still missing."""

import os
from contextlib import suppress
from pathlib import Path

from linkage.errors import UnusableInput
from linkage.files import csv_line, write_atomically
from linkage.paths import PROJECT_ROOT, data_folder, outside_sample

# Every seed's columns, in order.
SEED_COLUMNS = {
    "filemaker_images_metadata": (
        "recid", "id_Contact", "date", "Type", "Note", "id", "fileName", "Name_of_file", "NexusExportDate",
    ),
    "s3_inventory": ("bucket", "key", "size", "etag", "last_modified", "storage_class"),
    "nexus_patients": ("patient_id", "filemaker_id"),
    "nexus_image_batches": ("id", "patient_id", "batch_name", "captured_date", "import_source"),
    "nexus_images": ("id", "batch_id", "filemaker_id", "s3_key"),
    "held_images": ("recid", "held_by", "held_on"),
    "copy_results": (
        "run_id", "recorded_at", "image_id", "source_bucket", "source_key", "source_etag", "destination_bucket",
        "destination_key", "destination_etag", "size", "outcome", "attempts", "error",
    ),
}  # fmt: skip


def seed_path(seed: str, chosen: Path | None = None) -> Path:
    """The file a script writes for `seed`: the `chosen` one, or the seed in the data folder.

    The data folder (`data_folder`) is made, with mode 0700, and its missing seeds are made
    as header-only files. Where `LINKAGE_DATA` is not set, the line that makes
    dbt read the folder is printed.

    Raises UnusableInput for a file in the sample, which no script writes to,
    and for a folder that cannot be made.
    """
    if chosen is not None:
        return outside_sample(chosen)
    folder = data_folder()
    path = outside_sample(folder / f"{seed}.csv")
    make_missing_seeds(folder)
    if not os.environ.get("LINKAGE_DATA"):
        print("dbt reads this folder after:  export LINKAGE_DATA=data")
    return path


def make_missing_seeds(folder: Path) -> None:
    """Make `folder` (0700) and each of the seven seeds that it lacks, header only."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise UnusableInput(f"cannot make the data folder {folder}: {error.strerror}; set LINKAGE_DATA") from None
    for seed, columns in SEED_COLUMNS.items():
        path = folder / f"{seed}.csv"
        if not path.exists():
            whole = folder / f".{seed}.{os.getpid()}"
            with write_atomically(whole) as file:
                file.write(csv_line(columns))
            with suppress(FileExistsError):  # another script has just made it, and may already have filled it
                path.hardlink_to(whole)
            whole.unlink()


def newest_copy_results(relation: str) -> str:
    """SQL for the rows of the DuckDB or PostgreSQL relation `relation` that are the newest about their destination.

    `relation` has the columns of copy_results.csv and `record_number`, by which the newest is told. The rule is
    dbt's macro of the same name, so that copying, auditing, publishing and the reports cannot disagree about it.
    """
    import jinja2

    macro = (PROJECT_ROOT / "macros" / "newest_copy_results.sql").read_text(encoding="utf-8")
    template = jinja2.Environment(autoescape=False).from_string(macro + "{{ newest_copy_results(relation) }}")
    return template.render(relation=relation).strip()
