"""Copy the manifest's objects to their patients' folders: verified, and never over anything (§9)."""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from functools import partial
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from linkage.copying.audit import FINDINGS, audit_manifest, audit_results
from linkage.copying.canary import check_source, check_store, etags_tell, place_canaries
from linkage.copying.manifest import ManifestRow, Summary, check_manifest, read_manifest
from linkage.copying.report import LABELS, Recorder, Tally, progress, report, report_json
from linkage.copying.results import ResultsFile, open_results, read_results
from linkage.copying.resume import KnownCopies
from linkage.copying.rules import Store
from linkage.copying.run import LOOKING, run_rows
from linkage.errors import UnusableInput, run_script
from linkage.paths import data_folder
from linkage.s3.answers import Send
from linkage.s3.clients import patient_client, single_try_client
from linkage.s3.endpoints import find_endpoints
from linkage.s3.engines import open_engine
from linkage.seeds import seed_path
from linkage.settings import project_var

WORKERS = {"crt": 512, "boto3": 32}
STOPPED = 130
MANIFEST_IN_MEMORY = 8 * 1024 * 1024


def main() -> int:
    """Check everything, then copy row by row; the exit codes are §9's."""
    options = parse_arguments()
    with open_manifest(options.manifest) as manifest:
        summary = check_manifest(manifest, project_var("source_prefix"))
        if options.verify:
            return verify(options, manifest, summary)
        if not summary.rows:
            print(f"nothing to copy: {options.manifest} has no rows", file=sys.stderr if options.json else sys.stdout)
            return 0
        return preview(options, manifest, summary) if options.dry_run else copy(options, manifest, summary)


def copy(options: argparse.Namespace, manifest: BinaryIO, summary: Summary) -> int:
    """Copy every row that is not there yet, and write down what became of each."""
    places = find_endpoints(summary.buckets)
    with redirect_stdout(sys.stderr) if options.json else nullcontext():
        path = seed_path("copy_results", options.results)
    client, patient = single_try_client(options.workers + LOOKING), patient_client()
    with open_results(path) as results, open_engine(options.engine, client, places, options.workers) as send:
        known = KnownCopies(summary)
        known.take_results(results.read())
        store = Store(client, place_canaries(patient, summary))
        known.take_listings(patient, summary, etags_tell=store.etags_tell)
        if not known.verified[: options.limit].all():
            check_source(patient, next(first_rows(manifest, 1)))
            check_store(send, summary.destination_prefixes)
        return carry_out(options, manifest, known, store, send=send, results=results)


def preview(options: argparse.Namespace, manifest: BinaryIO, summary: Summary) -> int:
    """Tell what `copy` would do now, and write nothing."""
    find_endpoints(summary.buckets)
    patient = patient_client()
    known = KnownCopies(summary)
    known.take_results(read_results(results_path(options)))
    store = Store(single_try_client(LOOKING), etags_tell(patient, set(summary.destination_prefixes)))
    known.take_listings(patient, summary, etags_tell=store.etags_tell)
    return carry_out(options, manifest, known, store, send=None, results=None)


def carry_out(
    options: argparse.Namespace,
    manifest: BinaryIO,
    known: KnownCopies,
    store: Store,
    *,
    send: Send | None,
    results: ResultsFile | None,
) -> int:
    """Decide the rows, tell what became of them, and give the exit code."""
    total = min(len(known.listed), options.limit or len(known.listed))
    with progress(total) as advance:
        recorder = Recorder(results, advance, log=options.json)
        refusal = run_rows(first_rows(manifest, total), known, store, recorder, send=send, workers=options.workers)
    if options.json:
        report_json(recorder.tally, LABELS)
    elif results:
        report(recorder.tally, LABELS, where_more=f": see {results.path}")
    else:
        report(recorder.tally, {**LABELS, "copied": "Would copy"})
    return exit_code(recorder.tally, refusal, total)


def verify(options: argparse.Namespace, manifest: BinaryIO, summary: Summary) -> int:
    """Tell whether the store holds what the manifest and the results say, and write nothing."""
    path = results_path(options)
    codes = []
    for title, audit in ((options.manifest, partial(audit_manifest, manifest, summary)), (path, audit_results)):
        found = audit(path, workers=options.workers, log=options.json)
        if options.json:
            report_json(found.tally, FINDINGS)
        else:
            report(found.tally, FINDINGS, title=f"{title}: ")
        codes.append(exit_code(found.tally, found.refusal, found.rows))
        if codes[-1] == STOPPED:
            break
    return max(codes)


def exit_code(tally: Tally, refusal: str, total: int) -> int:
    """The exit code of §9 after so many rows were asked for.

    Raises UnusableInput where S3 has refused these credentials.
    """
    if refusal:
        raise UnusableInput(
            f"S3 refuses these credentials ({refusal}); renew them, or see what they may do, and run the same command "
            "again to go on where this run ended"
        )
    if tally.outcomes.total() < total:
        print("stopped by Ctrl-C; run the same command again to go on where this run ended", file=sys.stderr)
        return STOPPED
    return 1 if tally.undone else 0


def parse_arguments() -> argparse.Namespace:
    """The command line; argparse ends with exit code 2 where it cannot be used."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("manifest", type=Path, help="manifest.csv, as dbt build writes it")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--dry-run", action="store_true", help="tell what a run would do now, and write nothing")
    mode.add_argument(
        "--verify", action="store_true", help="compare manifest and results with the store, and write nothing"
    )
    parser.add_argument("--limit", type=positive, metavar="N", help="only the first N rows")
    parser.add_argument(
        "--workers", type=positive, metavar="N", help="requests in flight (default 512; 32 threads with boto3)"
    )
    parser.add_argument("--results", type=Path, metavar="FILE", help="default: copy_results.csv in the data folder")
    parser.add_argument("--engine", choices=WORKERS, default="crt", help="what sends the copies (default crt)")
    parser.add_argument("--log-format", choices=("text", "json"), default="text", help="json: a line for each object")
    options = parser.parse_args()
    options.workers = options.workers or WORKERS[options.engine]
    options.json = options.log_format == "json"
    if options.verify and options.limit:
        parser.error("--verify looks at all rows; leave --limit out")
    return options


def positive(text: str) -> int:
    """A whole number above 0; else argparse's own error."""
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError("must be a whole number above 0")
    return int(text)


def results_path(options: argparse.Namespace) -> Path:
    """The results file to read; it need not exist."""
    return options.results or data_folder() / "copy_results.csv"


@contextmanager
def open_manifest(path: Path) -> Iterator[BinaryIO]:
    """The manifest as it is at this moment, so that what is copied is what was checked."""
    with tempfile.SpooledTemporaryFile(max_size=MANIFEST_IN_MEMORY) as manifest:
        try:
            with path.open("rb") as file:
                shutil.copyfileobj(file, manifest)
        except OSError as error:
            raise UnusableInput(
                f"cannot read the manifest {path}: {error.strerror}; dbt build writes one when all its tests pass"
            ) from None
        yield manifest


def first_rows(manifest: BinaryIO, count: int) -> Iterator[ManifestRow]:
    """The first rows of the manifest, in its order."""
    return (row for _, row in islice(read_manifest(manifest), count))


if __name__ == "__main__":
    run_script(main)
