"""Checks, read-only and at any later time, that the store holds what the manifest and the results say."""

from functools import partial
from pathlib import Path
from typing import NamedTuple

from linkage.copying.canary import canary_keys, etags_tell
from linkage.copying.manifest import find_buckets
from linkage.copying.report import Recorder, Tally
from linkage.copying.results import COPY_RESULTS
from linkage.copying.resume import make_plan, planned_rows, take_results
from linkage.copying.rules import SIZE_DIFFERS, TOO_LARGE, Outcome, Store
from linkage.copying.run import run_rows
from linkage.copying.shards import take_part
from linkage.copying.tables import Tables, private_tables
from linkage.ledger import read_ledger
from linkage.progress import progress
from linkage.s3.clients import retrying_client, single_try_client
from linkage.s3.endpoints import find_endpoints

VERIFIED = "verified"
FINDINGS = {name: name for name in (VERIFIED, "missing", "different", "undecided", "failed")}


class Audit(NamedTuple):
    """What was found, the sentence why S3 ended the audit or an empty text, and how many rows there are."""

    tally: Tally
    ended: str
    rows: int


def audit_manifest(tables: Tables, rows: int, *results: Path, sharded: bool, workers: int, log: bool) -> Audit:
    """Compare every row of the part, `rows` rows of the manifest, with the store."""
    take_results(tables, *(read_ledger(path, COPY_RESULTS) for path in results))
    return audit(tables, rows, sharded=sharded, workers=workers, log=log)


def audit_results(results: Path, *, workers: int, log: bool) -> Audit:
    """Compare with the store every destination whose newest line in the results says that it is verified."""
    with private_tables() as tables:
        take_results(tables, read_ledger(results, COPY_RESULTS))
        tables.run("""
            create table manifest as
            select
                row_number() over (order by record_number) as row_number,
                coalesce(image_id, '') as image_id,
                coalesce(source_bucket, '') as source_bucket,
                coalesce(source_key, '') as source_key,
                coalesce(source_etag, '') as source_etag,
                size as source_size,
                coalesce(destination_bucket, '') as destination_bucket,
                coalesce(destination_key, '') as destination_key,
            from newest_result
            where done
        """)
        return audit(tables, take_part(tables), sharded=False, workers=workers, log=log)


def audit(tables: Tables, rows: int, *, sharded: bool, workers: int, log: bool) -> Audit:
    """Compare the rows of the view `part` with listings, and check each object that they do not prove.

    The originals are not listed, so that a row never counts as one to copy, and thus as missing, because of
    listings alone.
    """
    if not rows:
        return Audit(Tally(done=(VERIFIED,)), "", 0)
    find_endpoints(find_buckets(tables))
    lister = retrying_client()
    ask_etags = partial(etags_tell, lister, canary_keys(tables))
    plan = make_plan(tables, lister, ask_etags, list_sources=False, sharded=sharded)
    store = Store(single_try_client(workers), plan.etags_tell)
    with progress(rows) as advance:
        recorder = Recorder(None, advance, log=log, translate=finding, done=(VERIFIED,))
        ended = run_rows(planned_rows(tables), store, recorder, send=None, workers=workers)
    return Audit(recorder.tally, ended, rows)


def finding(outcome: Outcome) -> Outcome:
    """The finding about a copy that should exist, from the outcome of checking it."""
    if outcome.outcome == "already_present":
        return outcome._replace(outcome=VERIFIED)
    if outcome.outcome == "conflict":
        return outcome._replace(outcome="different")
    if outcome.destination_etag:
        return Outcome("undecided", error=outcome.outcome)
    if outcome.outcome == "failed" and outcome.error not in (SIZE_DIFFERS, TOO_LARGE):
        return outcome
    return Outcome("missing")
