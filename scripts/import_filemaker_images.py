"""Import images from FileMaker's containers into the dump, s3://BUCKET/PREFIX, and mark each record that is safe."""

import argparse
import signal
import sys
from pathlib import Path

from linkage.errors import UnusableInput
from linkage.filemaker.data_api.account import read_account
from linkage.filemaker.data_api.records import read_fields, read_first
from linkage.filemaker.data_api.session import Session, open_session
from linkage.filemaker.importing.dump import Dump
from linkage.filemaker.importing.layout import MARK, check_layout, find_layout
from linkage.filemaker.importing.outcomes import IMPORT_RESULTS
from linkage.filemaker.importing.preview import WOULD, describe_layout, describe_record, preview
from linkage.filemaker.importing.reading import Work, find_work, write_metadata
from linkage.filemaker.importing.record import Source, import_record
from linkage.filemaker.importing.report import Recorder, describe_containers
from linkage.filemaker.importing.run import ImportRun
from linkage.files import csv_lines, write_atomically
from linkage.ledger import open_ledger
from linkage.progress import progress
from linkage.s3.clients import retrying_client
from linkage.s3.errors import s3_errors
from linkage.s3.urls import add_url, parse_url
from linkage.seeds import data_file, seed_path
from linkage.steps import positive, run_script, stopping

STOPPED = 130  # the exit code after Ctrl-C, as in a shell
ENDING = (signal.SIGTERM, signal.SIGHUP)


def main() -> int:
    """Sign in, find the records that are not marked, import each, and write the metadata of all records.

    The exit code is 0 if every record is in the dump, and marked unless `--no-mark` is given; 1 if some record is
    not; 2 if the run cannot go on; 130 after Ctrl-C. However it ends, the session at the server is closed.
    """
    options = parse_arguments()
    account = read_account()
    for number in ENDING:  # like Ctrl-C, so that the session is closed
        signal.signal(number, signal.default_int_handler)
    with open_session(account) as session:
        if options.probe:
            return probe(session, options.layout)
        with s3_errors(options.bucket):
            dump = Dump(retrying_client(), options.bucket, options.prefix)
        dump.check()
        return dry_run(session, options, dump) if options.dry_run else import_images(session, options, dump)


def import_images(session: Session, options: argparse.Namespace, dump: Dump) -> int:
    """Import what is to do, and report it."""
    layout = find_layout(options.layout, read_fields(session, options.layout))
    check_layout(layout)
    metadata, results = seed_path("filemaker_images_metadata", options.out), data_file("import_results.csv")
    with open_ledger(results, IMPORT_RESULTS) as ledger:
        for _ in ledger.read():  # up to its end, where this run continues
            pass
        work = find_work(session, layout)
        tasks = work.to_do[: options.limit]
        say_work(work, len(tasks))
        source = Source(session, layout, dump, marks=not options.no_mark)
        with progress(len(tasks)) as advance, stopping(*ENDING) as stop:
            recorder = Recorder(ledger, options.bucket, advance)
            run = ImportRun(lambda task: import_record(source, task), recorder.record, options.workers, stop)
            run.finish(iter(tasks))
    recorder.report(results)
    if options.no_mark:
        write_to_mark(recorder.to_mark)
    if run.ended:
        raise UnusableInput(run.ended)
    if recorder.outcomes.total() < len(tasks):
        print("stopped; run the same command again to continue where this run ended", file=sys.stderr)
        return STOPPED
    print(f"{write_metadata(session, layout, metadata):,} records -> {metadata}")
    return 0 if recorder.is_done else 1


def dry_run(session: Session, options: argparse.Namespace, dump: Dump) -> int:
    """Report what a run would do, and write nothing; the exit code is what a run's would be, as far as that shows."""
    layout = find_layout(options.layout, read_fields(session, options.layout))
    check_layout(layout)
    work = find_work(session, layout)
    tasks = work.to_do[: options.limit]
    say_work(work, len(tasks))
    outcomes, containers = preview(dump, tasks, options.workers)
    print("   ".join(f"{label} {outcomes[outcome]:,}" for outcome, label in WOULD.items()))
    for line in describe_containers(containers):
        print(line)
    return 0 if containers.total() == len(tasks) else 1


def probe(session: Session, name: str) -> int:
    """Report what the layout has, and what is in the containers of one record, and write nothing."""
    types = read_fields(session, name)
    layout = find_layout(name, types)
    for line in describe_layout(layout, types):
        print(line)
    check_layout(layout)
    record = read_first(session, name, layout.fields[MARK])
    for line in describe_record(session, layout, record) if record else ["the layout has no record"]:
        print(line)
    return 0


def say_work(work: Work, taken: int) -> None:
    """Print how many records there are, and how many are to be imported now."""
    to_do = len(work.to_do)
    some = f", of which {taken:,} now (--limit)" if taken < to_do else ""
    print(f"{work.records:,} records: {work.records - to_do:,} marked, {to_do:,} to import{some}", flush=True)


def write_to_mark(recids: list[int]) -> None:
    """Write the list of the records that are in the dump and not marked."""
    path = data_file("to_mark.csv")
    with write_atomically(path) as file:
        file.write(csv_lines([["recid"], *([recid] for recid in sorted(recids))]))
    print(f"{len(recids):,} records to mark -> {path}")


def parse_arguments() -> argparse.Namespace:
    """Parse the command line; argparse exits with code 2 if it cannot be used."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_url(parser, "the dump")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument(
        "--probe", action="store_true", help="report what the layout and one record have, and write nothing"
    )
    mode.add_argument("--dry-run", action="store_true", help="report what a run would do now, and write nothing")
    parser.add_argument("--layout", default="API_Images", help="FileMaker's layout (default API_Images)")
    parser.add_argument("--limit", type=positive, metavar="N", help="only the first N records that are not marked")
    parser.add_argument(
        "--no-mark", action="store_true", help="upload, do not mark, and write to_mark.csv in the data folder"
    )
    parser.add_argument("--workers", type=positive, default=3, metavar="N", help="records at once (default 3)")
    parser.add_argument(
        "-o", dest="out", type=Path, metavar="OUT", help="default: filemaker_images_metadata.csv in the data folder"
    )
    options = parser.parse_args()
    options.bucket, options.prefix = parse_url(options.url)
    if not options.prefix.endswith("/"):
        raise UnusableInput("the dump must be a folder, so that its address ends with /")
    return options


if __name__ == "__main__":
    run_script(main)
