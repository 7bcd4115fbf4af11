"""The results file: one line for each outcome of a copy."""

from typing import NamedTuple

from linkage.files import csv_line
from linkage.ledger import Ledger
from linkage.seeds import SEED_COLUMNS

COLUMNS = SEED_COLUMNS["copy_results"]
HEADER = csv_line(COLUMNS).encode()
COPY_RESULTS = Ledger(
    COLUMNS,
    elsewhere="name another file with --results",
    finished="finished copies stay",
    again="its object is checked again",
)


class Result(NamedTuple):
    """A line of the results file; the size in bytes, ETags without quotation marks."""

    run_id: str
    recorded_at: str
    image_id: str
    source_bucket: str
    source_key: str
    source_etag: str
    destination_bucket: str
    destination_key: str
    destination_etag: str
    size: int
    outcome: str
    attempts: int
    error: str
