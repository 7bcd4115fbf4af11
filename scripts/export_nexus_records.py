"""Export the patients, image batches and images that Nexus holds to the three nexus_*.csv seeds.

NEXUS_DATABASE_URL names the database, NEXUS_MAPPING or --mapping how it is read.
Only two identifiers of a patient leave it: the patient's own id and FileMaker's,
which the database itself finds in the patient's notes, or where the mapping says.
"""

import argparse
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, TextIO

from linkage.errors import UnusableInput
from linkage.files import csv_line, write_whole
from linkage.nexus.connection import nexus_connection
from linkage.nexus.export import Found, read_records
from linkage.nexus.fitting import check_sql
from linkage.nexus.mapping import SETTINGS, Mapping, default_mapping, read_mapping
from linkage.nexus.tables import open_nexus
from linkage.seeds import SEED_COLUMNS, seed_path
from linkage.settings import project_var
from linkage.steps import run_script

EXAMPLES = 3  # patients that are named for a fault that many may have
SEEDS = ("nexus_patients", "nexus_image_batches", "nexus_images")


def main() -> None:
    """Write the three seeds from one snapshot of the database."""
    options = parse_arguments()
    # The export comes before the build, so it uses the settings that the next build will have.
    mapping = read_mapping(options.mapping, {name: project_var(name) for name in SETTINGS})
    found = Found()
    with nexus_connection(snapshot=True) as connection:
        nexus = open_nexus(connection, mapping, published_at=datetime.now(UTC))
        missing_privileges = check_sql(nexus)
        tables = read_records(nexus, options.json_column, found)
        folder = seed_path(SEEDS[0]).parent
        paths = [folder / f"{seed}.csv" for seed in SEEDS]
        with write_whole(paths) as files:
            counts = []
            for seed, rows, file in zip(SEEDS, tables, files, strict=True):
                counts.append(write_seed(seed, rows, file))
                if not found.with_id:
                    raise UnusableInput(without_any_id(found, mapping))
            connection.commit()  # the database can no longer fail once the files take their names
    show(found)
    if missing_privileges:
        print(f"This role may not yet publish: it lacks the privilege {', '.join(missing_privileges)}")
    for count, path in zip(counts, paths, strict=True):
        print(f"{count:>10,} rows -> {path}")


def without_any_id(found: Found, mapping: Mapping) -> str:
    """The sentence for a database in which no patient has a FileMaker id that can be used."""
    table = mapping.tables["patients"].table
    if not found.patients:
        return f"{table} has no patients; set NEXUS_DATABASE_URL to Nexus's database, or correct the mapping"
    return (
        f"none of the {found.patients:,} patients in {table} has a FileMaker id that can be used "
        f"({len(found.unreadable):,} have one that is not a UUID, {len(found.unclear):,} one that is not clear); "
        f"say where it is with notes, json or filemaker_id under patients in a copy of the mapping {mapping.name}, "
        "and name that with --mapping"
    )


def show(found: Found) -> None:
    """Print how many patients have a FileMaker id, and what could not be read."""
    for patient_id, problem in found.unclear:
        print(f"patient {shown(patient_id)}: {problem}; no FileMaker id is written")
    print(f"{found.patients:>10,} patients, {found.with_id:,} of them with a FileMaker id")
    if found.unreadable:
        examples = ", ".join(map(shown, found.unreadable[:EXAMPLES]))
        print(
            f"{len(found.unreadable):>10,} patients have a FileMaker id that does not read, because it is not a UUID "
            f"(8-4-4-4-12 hexadecimal digits, without braces): correct it in Nexus; for example patient {examples}"
        )
    if found.unreadable_dates:
        print(
            f"{found.unreadable_dates:>10,} image batches have a captured date that does not read, because it is not "
            "YYYY-MM-DD: new images do not join them; if these are all, correct batches.read.captured_date"
        )


def shown(patient_id: str) -> str:
    """Nexus's id of a patient, if it is a number or a UUID; anything else could say who it is."""
    return patient_id if re.fullmatch(r"[0-9]+|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", patient_id) else "(hidden)"


def parse_arguments() -> argparse.Namespace:
    """Parse the command line; argparse exits with code 2 if it cannot be used."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--mapping",
        default=default_mapping(),
        help="plan, generic, or a .yml file of your own (default: NEXUS_MAPPING, or else plan)",
    )
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
