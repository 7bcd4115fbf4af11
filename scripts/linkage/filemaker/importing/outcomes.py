"""import_results.csv: one line for what became of each record."""

from typing import NamedTuple

from linkage.ledger import Ledger


class Outcome(NamedTuple):
    """What became of a record: see docs/importing.md. Sizes in bytes, digests in hex; `error` is one word."""

    outcome: str
    container: str = ""
    key: str = ""
    size: int | str = ""
    md5: str = ""
    sha256: str = ""
    marked: str = "no"
    error: str = ""


class Result(NamedTuple):
    """A line of the ledger."""

    run_id: str
    recorded_at: str
    recid: int | str
    record_id: str
    container: str
    bucket: str
    key: str
    size: int | str
    md5: str
    sha256: str
    outcome: str
    marked: str
    attempts: int
    error: str


UPLOADED, PRESENT, CONFLICT, NO_IMAGE, FAILED = "uploaded", "already_present", "conflict", "no_image", "failed"
IN_DUMP = (UPLOADED, PRESENT)
IMPORT_RESULTS = Ledger(
    Result._fields,
    elsewhere="use another data folder (LINKAGE_DATA)",
    finished="what was uploaded stays",
    again="its record is checked again",
)
