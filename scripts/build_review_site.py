"""Make static pages that show what was linked, skipped and copied, with the pictures; marts and store are only read."""

import argparse
import os
import sys
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb

from linkage.errors import UnusableInput
from linkage.paths import PROJECT_ROOT, data_folder, outside_sample, warehouse_path
from linkage.review.folder import replaced_folder
from linkage.review.lists import write_lists
from linkage.review.pages import copy_assets, templates
from linkage.review.patients import write_patients
from linkage.review.pictures import make_thumbnails
from linkage.review.reading import WANTED, prepare, select
from linkage.review.report import write_report
from linkage.review.sample import write_sample
from linkage.review.site import Site
from linkage.review.start import write_start
from linkage.settings import project_version
from linkage.steps import run_script
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
            pictures = find_pictures(warehouse, options, new)
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


if __name__ == "__main__":
    run_script(main)
