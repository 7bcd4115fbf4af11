"""Export the patients, image batches and images that Nexus holds to the three nexus_*.csv seeds.

NEXUS_DATABASE_URL names the database. Only two identifiers of a patient leave
it: the patient's own id and FileMaker's, which the database itself finds in the
patient's notes.
"""

import argparse
from collections.abc import Iterable
from typing import Any, TextIO

from linkage.files import csv_line, write_whole
from linkage.nexus.connection import nexus_connection
from linkage.nexus.export import read_records
from linkage.nexus.mapping import SETTINGS, read_mapping
from linkage.seeds import SEED_COLUMNS, seed_path
from linkage.settings import project_var
from linkage.steps import run_script

SEEDS = ("nexus_patients", "nexus_image_batches", "nexus_images")


def main() -> None:
    """Write the three seeds from one snapshot of the database."""
    options = parse_arguments()
    # The export comes before the build, so it uses the settings that the next build will have.
    mapping = read_mapping(options.mapping, {name: project_var(name) for name in SETTINGS})
    unclear: list[tuple[str, str]] = []
    with nexus_connection(snapshot=True) as connection:
        tables = read_records(connection, mapping, options.json_column, unclear)
        folder = seed_path(SEEDS[0]).parent
        paths = [folder / f"{seed}.csv" for seed in SEEDS]
        with write_whole(paths) as files:
            counts = [write_seed(*each) for each in zip(SEEDS, tables, files, strict=True)]
            connection.commit()  # the database can no longer fail once the files take their names
    for patient_id, problem in unclear:
        print(f"patient {patient_id}: {problem}; no FileMaker id is written")
    for count, path in zip(counts, paths, strict=True):
        print(f"{count:>10,} rows -> {path}")


def parse_arguments() -> argparse.Namespace:
    """Parse the command line; argparse exits with code 2 if it cannot be used."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mapping", default="plan", help="plan (default), generic, or a .yml file of your own")
    parser.add_argument(
        "--json-column", metavar="COLUMN", help="a JSON column of the patients with the key filemaker_id"
    )
    return parser.parse_args()


def write_seed(seed: str, rows: Iterable[tuple[Any, ...]], file: TextIO) -> int:
    """Write a seed's header and `rows`; returns the number of rows."""
    file.write(csv_line(SEED_COLUMNS[seed]))
    count = 0
    for row in rows:
        file.write(csv_line(row))
        count += 1
    return count


if __name__ == "__main__":
    run_script(main)
