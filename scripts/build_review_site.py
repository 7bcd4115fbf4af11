"""Make static pages that show what was linked, skipped and copied, with the pictures; marts and store are only read."""

import argparse
import os
from datetime import datetime
from pathlib import Path

from linkage.errors import UnusableInput
from linkage.paths import PROJECT_ROOT, data_folder, outside_sample, warehouse_path
from linkage.review.choosing import find_pictures
from linkage.review.folder import replaced_folder
from linkage.review.lists import write_lists
from linkage.review.pages import copy_assets, templates
from linkage.review.patients import write_patients
from linkage.review.reading import prepare
from linkage.review.report import write_report
from linkage.review.sample import write_sample
from linkage.review.site import Pictures, Site
from linkage.review.start import write_start
from linkage.settings import project_version
from linkage.steps import positive, run_script
from linkage.warehouse.marts import open_warehouse


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
            pictures: Pictures = {}
            if not options.no_pictures:
                cache = outside_sample(data / "thumbnails")
                pictures = find_pictures(warehouse, cache, new / "pictures", options.patient, options.sample)
            site = Site(
                folder=new,
                data=data,
                warehouse=warehouse,
                settings=settings,
                pictures=pictures,
                templates=templates(),
                made_at=datetime.now().astimezone(),
                version=project_version(),
                has_sample=bool(options.sample),
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
    parser.add_argument("--patient", metavar="ID", help="read only this patient's pictures (Nexus or FileMaker id)")
    parser.add_argument(
        "--sample", type=positive, metavar="N", help="read only N pictures, of all patients, and show them on one page"
    )
    parser.add_argument("--no-pictures", action="store_true", help="read no pictures")
    return parser.parse_args()


def check_data_folder(data: Path, settings: dict[str, str]) -> None:
    """Raise UnusableInput if the marts were built from another folder than the one whose files the pages show."""
    built_from = PROJECT_ROOT / settings["data_folder"]
    if built_from.resolve() != data.resolve():
        raise UnusableInput(
            f"the warehouse was built from {settings['data_folder']}, and the data folder in use is {data}: run "
            "`dbt build` with the same LINKAGE_DATA"
        )


if __name__ == "__main__":
    run_script(main)
