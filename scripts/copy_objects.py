"""Copy the manifest's objects to their patients' folders, verify each copy, and never overwrite anything."""

import argparse
import os
import sys
from contextlib import nullcontext, redirect_stdout
from functools import partial
from pathlib import Path

from linkage.copying.audit import FINDINGS, audit_manifest, audit_results
from linkage.copying.canary import canary_keys, check_source, check_store, etags_tell, place_canaries
from linkage.copying.manifest import count_rows, find_buckets, input_paths, read_manifest
from linkage.copying.report import (
    LABELS,
    STOPPED,
    Recorder,
    describe_run,
    exit_code,
    report,
    report_json,
    report_run,
)
from linkage.copying.results import COPY_RESULTS
from linkage.copying.resume import make_plan, planned_rows, take_held, take_results
from linkage.copying.rules import Store
from linkage.copying.run import LOOKING, run_rows
from linkage.copying.tables import Tables, private_tables
from linkage.held import read_held_images
from linkage.ledger import LedgerFile, open_ledger, read_ledger
from linkage.paths import data_folder, manifest_path
from linkage.progress import progress
from linkage.s3.answers import Send
from linkage.s3.clients import retrying_client, single_try_client
from linkage.s3.endpoints import find_endpoints
from linkage.s3.engines import open_engine
from linkage.seeds import seed_path
from linkage.steps import positive, run_script

WORKERS = {"crt": 512, "boto3": 32}


def main() -> int:
    """Check everything, then copy row by row.

    The exit code is 0 if every row is copied or already present, else 1; 2 if
    the manifest or a setting cannot be used; 130 after Ctrl-C.
    """
    options = parse_arguments()
    with private_tables() as tables:
        read_manifest(tables, options.manifest)
        if options.verify:
            return verify(options, tables)
        rows = min(count_rows(tables), options.limit or sys.maxsize)
        if not rows:
            print(f"nothing to copy: {options.manifest} has no rows", file=sys.stderr if options.json else sys.stdout)
            return 0
        return preview(options, tables, rows) if options.dry_run else copy(options, tables, rows)


def copy(options: argparse.Namespace, tables: Tables, rows: int) -> int:
    """Copy those of the first `rows` rows that have not been copied yet, and record every outcome."""
    endpoints, canaries = find_endpoints(find_buckets(tables)), canary_keys(tables)
    path = results_path(options)
    client, retrying = single_try_client(options.workers + LOOKING), retrying_client()
    with (
        open_ledger(path, COPY_RESULTS) as results,
        open_engine(options.engine, client, endpoints, options.workers) as send,
    ):
        take_results(tables, results.read())
        take_held(tables, read_held_images())
        plan = make_plan(tables, retrying, partial(place_canaries, retrying, tables, canaries), rows)
        if not plan.finished:
            check_source(retrying, next(planned_rows(tables, 1))[0])
            check_store(send, canaries)
        return carry_out(options, tables, rows, Store(client, plan.etags_tell), send=send, results=results)


def preview(options: argparse.Namespace, tables: Tables, rows: int) -> int:
    """Report what `copy` would do now, and write nothing."""
    find_endpoints(find_buckets(tables))
    retrying = retrying_client()
    take_results(tables, read_ledger(options.read_results, COPY_RESULTS))
    take_held(tables, read_held_images())
    plan = make_plan(tables, retrying, partial(etags_tell, retrying, canary_keys(tables)), rows)
    store = Store(single_try_client(LOOKING), plan.etags_tell)
    return carry_out(options, tables, rows, store, believe_listings=plan.listings_complete)


def results_path(options: argparse.Namespace) -> Path:
    """The file to write results to; seeds that are missing beside it are made, as old as the manifest."""
    missing = [path for path in input_paths() if not path.exists()]
    with redirect_stdout(sys.stderr) if options.json else nullcontext():
        results = seed_path("copy_results", options.results)
    written = options.manifest.stat()
    for path in missing:
        if path.exists():
            os.utime(path, ns=(written.st_atime_ns, written.st_mtime_ns))
    return results


def carry_out(
    options: argparse.Namespace,
    tables: Tables,
    rows: int,
    store: Store,
    *,
    send: Send | None = None,
    results: LedgerFile | None = None,
    believe_listings: bool = True,
) -> int:
    """Carry out the plan for the first `rows` rows, report the outcomes, and return the exit code."""
    written = options.manifest.stat().st_mtime_ns
    if newer := [path.name for path in input_paths() if path.exists() and path.stat().st_mtime_ns > written]:
        print(
            f"warning: {', '.join(newer)} changed after {options.manifest} was written; run `dbt build` again, unless "
            "you mean to copy what the older build decided",
            file=sys.stderr,
        )
    planned = planned_rows(tables, rows)
    with progress(rows) as advance:
        recorder = Recorder(results, advance, log=options.json)
        ended = run_rows(
            planned, store, recorder, send=send, workers=options.workers, believe_listings=believe_listings
        )
    run = describe_run(recorder, results.path) if results else None
    if options.json:
        report_json(recorder.tally, LABELS, run)
    elif run:
        report(recorder.tally, LABELS, where_more=f": see {run['results']}")
        report_run(run)
    else:
        report(recorder.tally, {**LABELS, "copied": "Would copy"})
    return exit_code(recorder.tally, ended, rows)


def verify(options: argparse.Namespace, tables: Tables) -> int:
    """Report whether the store holds what the manifest and the results say, and write nothing."""
    path = options.read_results
    codes = []
    for title, audit in ((options.manifest, partial(audit_manifest, tables)), (path, audit_results)):
        found = audit(path, workers=options.workers, log=options.json)
        if options.json:
            report_json(found.tally, FINDINGS)
        else:
            report(found.tally, FINDINGS, title=f"{title}: ")
        codes.append(exit_code(found.tally, found.ended, found.rows))
        if codes[-1] == STOPPED:
            break
    return max(codes)


def parse_arguments() -> argparse.Namespace:
    """Parse the command line; argparse exits with code 2 if it cannot be used."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "manifest",
        nargs="?",
        type=Path,
        default=manifest_path(),
        help="default: manifest.csv, as `dbt build` writes it",
    )
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--dry-run", action="store_true", help="report what a run would do now, and write nothing")
    mode.add_argument(
        "--verify", action="store_true", help="compare manifest and results with the store, and write nothing"
    )
    parser.add_argument("--limit", type=positive, metavar="N", help="only the first N rows")
    parser.add_argument(
        "--workers", type=positive, metavar="N", help="requests in flight (default 512; 32 threads with boto3)"
    )
    parser.add_argument("--results", type=Path, metavar="FILE", help="default: copy_results.csv in the data folder")
    parser.add_argument("--engine", choices=WORKERS, default="crt", help="which client sends the copies (default crt)")
    parser.add_argument("--log-format", choices=("text", "json"), default="text", help="json: one line per object")
    options = parser.parse_args()
    options.workers = options.workers or WORKERS[options.engine]
    options.read_results = options.results or data_folder() / "copy_results.csv"
    options.json = options.log_format == "json"
    if options.verify and options.limit:
        parser.error("--verify checks all rows; omit --limit")
    return options


if __name__ == "__main__":
    run_script(main)
