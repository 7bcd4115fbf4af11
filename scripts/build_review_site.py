"""Make static pages that show what was linked, skipped and copied, with the pictures; marts and store are only read."""

import argparse
import os
import sys
from datetime import datetime
from pathlib import Path

import duckdb

from linkage.errors import UnusableInput
from linkage.paths import PROJECT_ROOT, data_folder, outside_sample, warehouse_path
from linkage.review.folder import replaced_folder
from linkage.review.lists import write_lists
from linkage.review.pages import copy_assets, templates
from linkage.review.patients import write_patients
from linkage.review.pictures import Source, make_thumbnails
from linkage.review.reading import WANTED, prepare, select
from linkage.review.report import write_report
from linkage.review.sample import write_sample
from linkage.review.site import Pictures, Site, shown
from linkage.review.start import write_start
from linkage.settings import project_version
from linkage.steps import run_script
from linkage.warehouse.marts import open_warehouse

MOST_PICTURES = 50_000  # that are read without being asked for


def main() -> None:
    """Read everything, make the pictures, write the pages, and put the site in the place of the one before."""
    os.umask(0o077)
    options = parse_arguments()
    data = data_folder()
    folder = options.output or outside_sample(data / "review")
    with open_warehouse(warehouse_path()) as (warehouse, settings):
        check_data_folder(data, settings)
        prepare(warehouse, settings, data, sample=options.sample)
        with replaced_folder(folder) as new:
            pictures = find_pictures(warehouse, options, data / "thumbnails", new / "pictures")
            site = Site(
                new, data, warehouse, settings, pictures, templates(), datetime.now().astimezone(), project_version()
            )
            copy_assets(new)
            write_start(site)
            write_report(site)
            write_lists(site)
            write_patients(site)
            if options.sample:
                write_sample(site)
    print(f"The review site is ready: open {(folder / 'index.html').resolve().as_uri()}")


def parse_arguments() -> argparse.Namespace:
    """Parse the command line; argparse exits with code 2 if it cannot be used."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FOLDER", help="where the site goes (default: review/ in the data folder)"
    )
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--patient", metavar="ID", help="read only this patient's pictures (Nexus or FileMaker id)")
    chosen.add_argument(
        "--sample", type=positive, metavar="N", help="read only N pictures, of all patients, and show them on one page"
    )
    chosen.add_argument("--no-pictures", action="store_true", help="read no pictures")
    return parser.parse_args()


def positive(text: str) -> int:
    """A number from 1 on; argparse reports any other text."""
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def check_data_folder(data: Path, settings: dict[str, str]) -> None:
    """Raise UnusableInput if the marts were built from another folder than the one whose files the pages show."""
    built_from = PROJECT_ROOT / settings["data_folder"]
    if built_from.resolve() != data.resolve():
        raise UnusableInput(
            f"the warehouse was built from {settings['data_folder']}, and the data folder in use is {data}: run "
            "`dbt build` with the same LINKAGE_DATA"
        )


def find_pictures(
    warehouse: duckdb.DuckDBPyConnection, options: argparse.Namespace, cache: Path, folder: Path
) -> Pictures:
    """Put thumbnails into `folder`: of those chosen by options, and of others that have been read before.

    Raises UnusableInput if the store cannot be read, or if no row is about the patient of `--patient`.
    """
    if options.no_pictures:
        return {}
    chosen: set[Source] = set()
    others: set[Source] = set()
    patient = (options.patient or "").strip().lower()
    for wanted in select(warehouse, WANTED):
        source = Source(wanted["bucket"], wanted["key"], wanted["etag"] or "", wanted["size"] or 0, wanted["extension"])
        is_chosen = (
            patient in (wanted["person"], wanted["patient_id"], wanted["filemaker_patient_id"])
            if patient
            else bool(wanted["place"]) or not options.sample
        )
        (chosen if is_chosen else others).add(source)
    if patient and not chosen:
        raise UnusableInput("no picture is of the patient that --patient names: give an id of Nexus or FileMaker")
    if len(chosen) > MOST_PICTURES and not options.sample:
        print(
            f"{len(chosen):,} pictures are too many to read all of them: --sample N or --patient ID reads some",
            file=sys.stderr,
        )
        others, chosen = others | chosen, set()
    made = make_thumbnails([*chosen, *others], cache, folder, read=chosen.__contains__)
    return {(source.bucket, source.key): shown(result) for source, result in made.items()}


if __name__ == "__main__":
    run_script(main)
