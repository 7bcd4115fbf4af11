"""Copy the manifest's objects to their patients' folders, verify each copy, and never overwrite anything."""

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext, redirect_stdout
from functools import partial
from pathlib import Path

from linkage.copying.audit import FINDINGS, Audit, audit_manifest, audit_results
from linkage.copying.canary import canary_keys, check_source, check_store, etags_tell, place_canaries
from linkage.copying.manifest import find_buckets, input_paths, read_manifest
from linkage.copying.report import (
    LABELS,
    STOPPED,
    Recorder,
    Tally,
    describe_run,
    exit_code,
    report,
    report_json,
    report_run,
)
from linkage.copying.results import COPY_RESULTS
from linkage.copying.resume import (
    Plan,
    count_planned,
    latest_time,
    make_plan,
    planned_rows,
    take_held,
    take_results,
    unlisted_copies,
)
from linkage.copying.rules import Store
from linkage.copying.run import LOOKING, run_rows
from linkage.copying.shards import parse_shard, scheduled_shard, take_part
from linkage.copying.tables import Tables, private_tables
from linkage.held import read_held_images
from linkage.ledger import LedgerFile, as_written, open_ledger, read_ledger
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
        rows = take_part(tables, options.shard, options.limit)
        if options.verify:
            return verify(options, tables, rows)
        if not rows:
            return copy_nothing(options)
        return preview(options, tables, rows) if options.dry_run else copy(options, tables, rows)


def copy(options: argparse.Namespace, tables: Tables, rows: int) -> int:
    """Copy those of the part's rows that have not been copied yet, and record every outcome."""
    endpoints, canaries = find_endpoints(find_buckets(tables)), canary_keys(tables)
    path = results_path(options)
    client, retrying = single_try_client(options.workers + LOOKING), retrying_client()
    with (
        open_ledger(path, COPY_RESULTS) as results,
        open_engine(options.engine, client, endpoints, options.workers) as send,
    ):
        take_results(tables, *others_results(options), results.read())
        if options.shard:
            results.last_time = max(as_written(results.last_time), latest_time(tables))
        take_held(tables, read_held_images())
        ask_etags = partial(place_canaries, retrying, tables, canaries)
        plan = make_plan(tables, retrying, ask_etags, sharded=bool(options.shard), blindly=bool(options.shard))
        if not plan.finished:
            check_source(retrying, next(planned_rows(tables))[0])
            check_store(send, canaries)
        return carry_out(options, tables, rows, Store(client, plan.etags_tell), plan, send=send, results=results)


def copy_nothing(options: argparse.Namespace) -> int:
    """Say that there is nothing to copy; a shard without rows has a results file nevertheless, without lines."""
    said = sys.stderr if options.json else sys.stdout
    if not options.shard:
        print(f"nothing to copy: {options.manifest} has no rows", file=said)
        return 0
    if not options.dry_run:
        with open_ledger(results_path(options), COPY_RESULTS) as results:
            for _ in results.read():
                pass
    print(f"shard {options.shard}: nothing to copy, because {options.manifest} has fewer rows than shards", file=said)
    if options.json:
        report_json(Tally(), LABELS, {"shard": str(options.shard)})
    return 0


def preview(options: argparse.Namespace, tables: Tables, rows: int) -> int:
    """Report what `copy` would do now, and write nothing."""
    find_endpoints(find_buckets(tables))
    retrying = retrying_client()
    take_results(tables, *others_results(options), read_ledger(options.read_results, COPY_RESULTS))
    take_held(tables, read_held_images())
    ask_etags = partial(etags_tell, retrying, canary_keys(tables))
    plan = make_plan(tables, retrying, ask_etags, sharded=bool(options.shard))
    return carry_out(options, tables, rows, Store(single_try_client(LOOKING), plan.etags_tell), plan)


def others_results(options: argparse.Namespace) -> list[Iterator[bytes]]:
    """For a shard, the records of the file in which the results of all shards are merged."""
    return [read_ledger(options.all_results, COPY_RESULTS)] if options.shard else []


def results_path(options: argparse.Namespace) -> Path:
    """The file to write results to; seeds that are missing beside it are made, as old as the manifest."""
    missing = [path for path in input_paths() if not path.exists()]
    if options.shard and (held := [path.name for path in missing if path.name == "held_images.csv"]):
        print(
            f"warning: the data folder {data_folder()} has no {held[0]}, so no record is held back; every shard needs "
            "the data folder of the build, which LINKAGE_DATA names",
            file=sys.stderr,
        )
    with redirect_stdout(sys.stderr) if options.json else nullcontext():
        results = seed_path("copy_results", options.results)
    written = options.manifest.stat()
    for path in missing:
        if path.exists():
            os.utime(path, ns=(written.st_atime_ns, written.st_mtime_ns))
    return options.shard.beside(results) if options.shard else results


def carry_out(
    options: argparse.Namespace,
    tables: Tables,
    rows: int,
    store: Store,
    plan: Plan,
    *,
    send: Send | None = None,
    results: LedgerFile | None = None,
) -> int:
    """Carry out the plan for the part's `rows` rows, report the outcomes, and return the exit code."""
    written = options.manifest.stat().st_mtime_ns
    if newer := [path.name for path in input_paths() if path.exists() and path.stat().st_mtime_ns > written]:
        print(
            f"warning: {', '.join(newer)} changed after {options.manifest} was written; run `dbt build` again, unless "
            "you mean to copy what the older build decided",
            file=sys.stderr,
        )
    with progress(rows) as advance:
        recorder = Recorder(results, advance, log=options.json)
        run = partial(run_rows, store=store, recorder=recorder, send=send, workers=options.workers)
        ended = run(planned_rows(tables), believe_listings=plan.listings_complete)
        unconfirmed = 0
        if results and plan.blind and not ended and recorder.tally.outcomes.total() == rows:
            recorder.begin_confirming()
            ended = run(unlisted_copies(tables, retrying_client(), results.read(), recorder.run_id))
            unconfirmed = count_planned(tables) - recorder.confirmed  # after Ctrl-C
    about = {"shard": str(options.shard)} if options.shard else {}
    title = f"shard {options.shard}: " if options.shard else ""
    described = describe_run(recorder, results.path) if results else {}
    if options.json:
        report_json(recorder.tally, LABELS, about | described)
    elif described:
        report(recorder.tally, LABELS, title=title, where_more=f": see {described['results']}")
        report_run(described)
    else:
        report(recorder.tally, {**LABELS, "copied": "Would copy"}, title=title)
    return exit_code(recorder.tally, ended, rows + unconfirmed)


def verify(options: argparse.Namespace, tables: Tables, rows: int) -> int:
    """Report whether the store holds what the manifest and the results say, and write nothing.

    Of a shard, only its part of the manifest is compared.
    """
    path, codes = options.read_results, []
    paths = [options.all_results, path] if options.shard else [path]
    audits: dict[str, Callable[..., Audit]] = {
        str(options.manifest): partial(audit_manifest, tables, rows, *paths, sharded=bool(options.shard))
    }
    if not options.shard:
        audits[str(path)] = partial(audit_results, path)
    about: dict[str, object] = {"shard": str(options.shard)} if options.shard else {}
    for title, audit in audits.items():
        found = audit(workers=options.workers, log=options.json)
        if options.json:
            report_json(found.tally, FINDINGS, about)
        else:
            report(found.tally, FINDINGS, title=f"{title}, shard {options.shard}: " if about else f"{title}: ")
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
    parser.add_argument(
        "--shard",
        type=parse_shard,
        metavar="I/N",
        help="only part I of N; default: what the scheduler of an array job says, or else all rows",
    )
    parser.add_argument("--limit", type=positive, metavar="N", help="only the first N rows, or the first of the shard")
    parser.add_argument(
        "--workers",
        type=positive,
        metavar="N",
        help="requests in flight (default 512, divided by the number of shards, but at least 8; at most 32 with boto3)",
    )
    parser.add_argument(
        "--results",
        type=Path,
        metavar="FILE",
        help="default: copy_results.csv in the data folder; a shard's file lies beside it, copy_results-I-of-N.csv",
    )
    parser.add_argument("--engine", choices=WORKERS, default="crt", help="which client sends the copies (default crt)")
    parser.add_argument("--log-format", choices=("text", "json"), default="text", help="json: one line per object")
    options = parser.parse_args()
    options.shard = options.shard or scheduled_shard(os.environ)
    most = WORKERS[options.engine]
    options.workers = options.workers or (options.shard.workers(most) if options.shard else most)
    options.all_results = options.results or data_folder() / "copy_results.csv"
    options.read_results = options.shard.beside(options.all_results) if options.shard else options.all_results
    options.json = options.log_format == "json"
    if options.verify and options.limit:
        parser.error("--verify checks all rows; omit --limit")
    return options


if __name__ == "__main__":
    run_script(main)
