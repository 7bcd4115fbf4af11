"""Whether the store holds what the manifest and the results say: read-only, at any later time (§9)."""

from array import array
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from linkage.copying.canary import etags_tell
from linkage.copying.manifest import ManifestRow, Summary, read_manifest
from linkage.copying.report import Recorder, Tally, progress
from linkage.copying.results import read_results
from linkage.copying.resume import KnownCopies
from linkage.copying.rules import DONE, SIZE_DIFFERS, TOO_LARGE, Outcome, Store
from linkage.copying.run import run_rows
from linkage.s3.clients import patient_client, single_try_client
from linkage.s3.endpoints import find_endpoints

VERIFIED = "verified"
FINDINGS = {name: name for name in (VERIFIED, "missing", "different", "undecided", "failed")}


class Audit(NamedTuple):
    """What was found of each row, S3's word for it where it refused, and how many rows there are."""

    tally: Tally
    refusal: str
    rows: int


def audit_manifest(manifest: BinaryIO, summary: Summary, results: Path, **how: Any) -> Audit:
    """Look for every row of the manifest in the store; `how` as in `audit`."""
    return audit(lambda: (row for _, row in read_manifest(manifest)), summary, results, **how)


def audit_results(results: Path, **how: Any) -> Audit:
    """Look in the store for every destination that the results' last line about it calls copied, or there."""
    last = last_verified(results)
    summary = Summary()
    for row in verified_rows(results, last):
        summary.add(row)
    return audit(lambda: verified_rows(results, last), summary, results, **how)


def last_verified(results: Path) -> np.ndarray:
    """By line of the results: whether it is the last one about its destination, and tells of a verified copy."""
    destinations, done = array("q"), array("b")
    for result in read_results(results):
        destinations.append(hash((result.destination_bucket, result.destination_key)))
        done.append(result.outcome in DONE)
    _, from_end = np.unique(np.frombuffer(destinations, dtype=np.int64)[::-1], return_index=True)
    last = np.zeros(len(destinations), dtype=bool)
    last[len(destinations) - 1 - from_end] = True
    return last & np.frombuffer(done, dtype=bool)


def verified_rows(results: Path, chosen: np.ndarray) -> Iterator[ManifestRow]:
    """The chosen lines of the results, as the rows of a manifest that they were."""
    for result, is_chosen in zip(read_results(results), chosen, strict=False):
        if is_chosen:
            yield ManifestRow(
                result.image_id,
                result.source_bucket,
                result.source_key,
                result.source_etag,
                result.size,
                result.destination_bucket,
                result.destination_key,
            )


def audit(
    rows: Callable[[], Iterable[ManifestRow]], summary: Summary, results: Path, *, workers: int, log: bool
) -> Audit:
    """Compare rows with the store by its listings, and look at each object that these do not prove."""
    if not summary.rows:
        return Audit(Tally(done=(VERIFIED,)), "", 0)
    find_endpoints(summary.buckets)
    lister = patient_client()
    store = Store(single_try_client(workers), etags_tell(lister, set(summary.destination_prefixes)))
    known = KnownCopies(summary)
    known.take_results(read_results(results))
    known.take_listings(lister, summary, etags_tell=store.etags_tell)
    known.complete = False  # that something is missing is never taken from a listing
    with progress(summary.rows) as advance:
        recorder = Recorder(None, advance, log=log, translate=finding, done=(VERIFIED,))
        refusal = run_rows(rows(), known, store, recorder, send=None, workers=workers)
    return Audit(recorder.tally, refusal, summary.rows)


def finding(outcome: Outcome) -> Outcome:
    """What an outcome of looking says about a copy that ought to be there."""
    if outcome.outcome == "already_present":
        return outcome._replace(outcome=VERIFIED)
    if outcome.outcome == "conflict":
        return outcome._replace(outcome="different")
    if outcome.destination_etag:
        return Outcome("undecided", error=outcome.outcome)
    if outcome.outcome == "failed" and outcome.error not in (SIZE_DIFFERS, TOO_LARGE):
        return outcome
    return Outcome("missing")
