"""List the objects of the dump, s3://BUCKET/PREFIX, in the seed s3_inventory.csv."""

import argparse
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from linkage.errors import UnusableInput
from linkage.files import csv_line, csv_lines, write_atomically
from linkage.progress import progress
from linkage.s3.clients import s3_client
from linkage.s3.errors import s3_errors
from linkage.s3.listing import ListedObject, list_objects
from linkage.s3.urls import add_url, parse_url
from linkage.seeds import SEED_COLUMNS, seed_path
from linkage.steps import run_script


def main() -> None:
    """List every object under the prefix, in S3's order, and replace the seed once the listing is complete.

    Nothing is written if the listing ends early, has no object, or has one without ETag.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    add_url(parser, "every object whose key begins with PREFIX")
    parser.add_argument("-o", dest="out", type=Path, metavar="OUT", help="default: s3_inventory.csv in the data folder")
    options = parser.parse_args()

    bucket, prefix = parse_url(options.url)
    pages = filter(None, list_pages(bucket, prefix))
    first = next(pages, None)  # before anything is written
    if not first:
        raise UnusableInput(f"no key in the bucket '{bucket}' begins with '{prefix}'; check the prefix")
    out = seed_path("s3_inventory", options.out)
    count = size = 0
    with write_atomically(out) as file, progress() as advance:
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
