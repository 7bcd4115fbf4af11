"""Which pictures are read: all of them, or of very many only those that somebody asks for."""

import sys
from pathlib import Path

import duckdb

from linkage.errors import UnusableInput
from linkage.review.pictures import Source, make_thumbnails
from linkage.review.reading import WANTED, Row, select
from linkage.review.site import Pictures, shown

MOST_PICTURES = 50_000  # that are read without being asked for
CHOSEN = f"""
select *, coalesce($patient in (person, patient_id, filemaker_patient_id), false) as is_of_patient
from ({WANTED})
where is_of_patient or place is not null
"""


def find_pictures(
    warehouse: duckdb.DuckDBPyConnection, cache: Path, folder: Path, patient: str | None, sample: int | None
) -> Pictures:
    """Put thumbnails into `folder`, and return them: those that are read now, and those that `cache` has already.

    Read are the pictures of one patient, by an id of Nexus or FileMaker, and those of the sample; without either, all
    of them, unless they are too many, which is said on stderr.

    Raises UnusableInput if the store cannot be read, or if the dump has no picture of the patient.
    """
    chosen: set[Source] | None = None  # all
    if patient or sample:
        rows = list(select(warehouse, CHOSEN, {"patient": (patient or "").strip().lower()}))
        if patient and not any(row["is_of_patient"] for row in rows):
            raise UnusableInput("no picture is of the patient that --patient names: give an id of Nexus or FileMaker")
        chosen = {source_of(row) for row in rows}
    else:
        [counted] = select(warehouse, f"select count(*) as count from ({WANTED})")
        if counted["count"] > MOST_PICTURES:
            chosen = set()
            print(
                f"{counted['count']:,} pictures are too many to read all: --sample N or --patient ID reads some",
                file=sys.stderr,
            )
    wanted = (source_of(row) for row in select(warehouse, WANTED))
    made = make_thumbnails(wanted, cache, folder, read=lambda source: chosen is None or source in chosen)
    return {(source.bucket, source.key): shown(result) for source, result in made.items()}


def source_of(row: Row) -> Source:
    """The object of a row of WANTED."""
    return Source(row["bucket"], row["key"], row["etag"] or "", row["size"] or 0, row["extension"] or "")
