"""List the objects of the dump, s3://BUCKET/PREFIX, in the seed s3_inventory.csv."""

import argparse
import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path

from linkage.copying.tables import private_tables
from linkage.errors import UnusableInput
from linkage.files import csv_line, csv_lines, write_atomically
from linkage.progress import progress
from linkage.s3.clients import s3_client
from linkage.s3.errors import s3_errors
from linkage.s3.inventory import current_objects, load_inventory
from linkage.s3.listing import ListedObject, list_objects
from linkage.s3.urls import add_url, parse_url
from linkage.seeds import SEED_COLUMNS, seed_path
from linkage.steps import run_script

OLD = timedelta(hours=48)  # the first delivery of an inventory may take as long


def main() -> None:
    """List every object under the prefix, in S3's order, and replace the seed once the listing is complete.

    With --inventory, the objects come from a delivery of S3 Inventory, all of which is verified first.

    Nothing is written if the listing ends early, has no object, or has one without ETag.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    add_url(parser, "every object whose key begins with PREFIX")
    parser.add_argument(
        "--inventory",
        metavar="MANIFEST",
        help="take all objects from a delivery of S3 Inventory instead: its manifest.json, as s3://… or a path",
    )
    parser.add_argument("-o", dest="out", type=Path, metavar="OUT", help="default: s3_inventory.csv in the data folder")
    options = parser.parse_args()

    if options.inventory is None:
        if not options.url:
            raise UnusableInput(
                "name the dump, as s3://BUCKET/PREFIX or in the environment variable DUMP, or an inventory of it with "
                "--inventory"
            )
        bucket, prefix = parse_url(options.url)
        nothing = f"no key in the bucket '{bucket}' begins with '{prefix}'; check the prefix"
        write_seed(options.out, bucket, list_pages(bucket, prefix), nothing)
    elif options.url != os.environ.get("DUMP", ""):
        raise UnusableInput("name either s3://BUCKET/PREFIX or --inventory MANIFEST, not both; an inventory is whole")
    else:
        take_inventory(options.out, options.inventory, options.url)


def take_inventory(out: Path | None, manifest: str, dump: str) -> None:
    """Write the seed from a delivery of S3 Inventory, and say how old that is; `dump` is DUMP, or empty.

    Raises UnusableInput, and writes nothing, if the delivery is not whole and right, has no
    current object, or is about another bucket than DUMP.
    """
    with private_tables() as tables:
        with progress() as advance:
            inventory = load_inventory(tables.connection, tables.folder, manifest, advance)
        if dump and parse_url(dump)[0] != inventory.bucket:
            raise UnusableInput(
                f"this is an inventory of the bucket '{inventory.bucket}', and DUMP names the bucket "
                f"'{parse_url(dump)[0]}'; name an inventory of that bucket, or change DUMP"
            )
        nothing = f"this inventory of the bucket '{inventory.bucket}' has no current object; check its prefix filter"
        write_seed(out, inventory.bucket, current_objects(tables.connection, inventory), nothing, inventory.objects)
    print(
        f"inventory of the bucket '{inventory.bucket}' as of {inventory.created:%Y-%m-%d %H:%M} UTC; left out: "
        f"{inventory.older_versions:,} older versions, {inventory.delete_markers:,} delete markers"
    )
    age = datetime.now(UTC) - inventory.created
    if age > OLD:
        print(
            f"warning: this inventory is {age.days:,} days old, so newer objects are missing from it; use the newest "
            "delivery, or list the bucket",
            file=sys.stderr,
        )


def write_seed(
    chosen: Path | None, bucket: str, pages: Iterator[list[ListedObject]], nothing: str, total: int | None = None
) -> None:
    """Write the objects of all pages to the seed, or the `chosen` file, and say how many; `total` is for the progress.

    Raises UnusableInput with the sentence `nothing`, and writes nothing, if there is no object.
    """
    pages = filter(None, pages)
    first = next(pages, None)  # before anything is written
    if not first:
        raise UnusableInput(nothing)
    out = seed_path("s3_inventory", chosen)
    count = size = 0
    with write_atomically(out) as file, progress(total) as advance:
        file.write(csv_line(SEED_COLUMNS["s3_inventory"]))
        for page in chain([first], pages):
            file.write(csv_lines(inventory_row(bucket, found) for found in page))
            count += len(page)
            size += sum(found.size for found in page)
            advance(len(page))
    print(f"{count:,} objects, {size:,} bytes -> {out}")


def list_pages(bucket: str, prefix: str) -> Iterator[list[ListedObject]]:
    """S3's own listing, at most 1,000 objects at a time; one empty page if there is nothing."""
    with s3_errors(bucket):
        client = s3_client(connect_timeout=5, read_timeout=20, retries={"total_max_attempts": 3})
    return list_objects(client, bucket, prefix)


def inventory_row(bucket: str, found: ListedObject) -> tuple[object, ...]:
    """One object in the columns of the seed."""
    return bucket, found.key, found.size, found.etag, found.modified, found.storage_class


if __name__ == "__main__":
    run_script(main)
