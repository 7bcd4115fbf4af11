"""The files of an S3 Inventory delivery, on S3 or on disk: where they are, and how they are fetched and verified.

S3 delivers, below an optional prefix of the destination bucket:

    SOURCE-BUCKET/CONFIG-ID/2026-11-26T01-00Z/manifest.json, manifest.checksum
    SOURCE-BUCKET/CONFIG-ID/data/*.csv.gz or *.parquet

The files of all days share the folder `data/`; only a manifest says which of them belong to its day.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError, HTTPClientError, IncompleteReadError

from linkage.errors import UnusableInput
from linkage.s3.clients import retrying_client
from linkage.s3.errors import s3_errors
from linkage.s3.inventory_manifest import Manifest, Part, check_manifest, place, read_manifest

CHUNK = 1024 * 1024  # bytes
ATTEMPTS = 4  # to download a file, each beginning with its first byte
S3 = "s3://"
FETCH_AGAIN = "fetch the whole delivery again, or use another day's"
Read = Callable[[str], Iterator[bytes]]


class Interrupted(Exception):
    """A download broke off."""


def open_delivery(manifest: str, folder: Path) -> tuple[Manifest, Callable[[Part, Path], str]]:
    """The verified manifest of a delivery, and a function that fetches one of its files.

    `manifest` is its path, or `s3://BUCKET/KEY`; `folder` is a private folder for
    temporary files. The function copies a file to a path, and returns the file's name
    for sentences. Each file is read once, so the bytes that are verified are the bytes
    that are used, whatever becomes of the delivery meanwhile.

    Both raise UnusableInput if something is missing or cannot be read, or if its size
    or MD5 differs from what S3 delivered.
    """
    if manifest.rpartition("/")[2] != "manifest.json":
        raise UnusableInput(
            "--inventory takes the manifest.json of a delivery of S3 Inventory, as s3://BUCKET/…/manifest.json or as "
            "a path"
        )
    read: Read = read_file
    if manifest.startswith(S3):
        with s3_errors(split(manifest)[0]):
            read = partial(read_object, retrying_client())
    manifest = manifest if manifest.startswith(S3) else str(Path(manifest).absolute())
    temporary = folder / "manifest"
    download(read, manifest, temporary)
    contents = temporary.read_bytes()
    download(read, manifest.removesuffix("json") + "checksum", temporary)
    check_manifest(manifest, contents, temporary.read_bytes())
    return read_manifest(manifest, contents), partial(fetch, read, manifest)


def fetch(read: Read, manifest: str, part: Part, target: Path) -> str:
    """Copy a file of the delivery of this manifest to `target`; its name. Raises UnusableInput unless it is right."""
    name = find_part(manifest, part)
    size, md5 = download(read, name, target)
    if size != part.size:
        raise UnusableInput(f"{name} has {size:,} bytes, not the {part.size:,} of the manifest; {FETCH_AGAIN}")
    if md5 != part.md5:
        raise UnusableInput(f"{name} is not the file that S3 delivered: its MD5 is another one; {FETCH_AGAIN}")
    return name


def find_part(manifest: str, part: Part) -> str:
    """Where a file of the delivery with this manifest should be, near the manifest.

    A delivery can be copied to another bucket, prefix or disk, so the destination
    bucket that the manifest names does not count, and the file's key only if the
    manifest is below the same folder; else the file is in `data/` beside the
    manifest's folder or, on disk, somewhere else close by. That it is the right file is
    proved by its MD5.
    """
    if not manifest.startswith(S3):
        here, *above = Path(manifest).parents
        folders = [*above[:1], here, *above[1:2]]
        places = [*(folder / place(part) for folder in folders), here / Path(part.key).name]
        return str(next((found for found in places if found.is_file()), places[0]))
    bucket, key = split(manifest)
    folder = part.key.removesuffix(place(part))
    if not (folder and key.startswith(folder)):
        folder = "".join(key.rpartition("/")[0].rpartition("/")[:2])
    return f"{S3}{bucket}/{folder}{place(part)}"


def download(read: Read, name: str, target: Path) -> tuple[int, str]:
    """Copy what `read` yields to the path `target`; returns the number of bytes and their MD5."""
    for _ in range(ATTEMPTS):
        size, md5 = 0, hashlib.md5(usedforsecurity=False)
        try:
            with target.open("wb") as file:
                for chunk in read(name):
                    size += file.write(chunk)
                    md5.update(chunk)
            return size, md5.hexdigest()
        except Interrupted:
            continue
    raise UnusableInput(f"the download of {name} broke off {ATTEMPTS} times; a retry may succeed")


def read_file(name: str) -> Iterator[bytes]:
    """The bytes of a file; raises UnusableInput if it is missing or cannot be read."""
    try:
        with Path(name).open("rb") as file:
            while chunk := file.read(CHUNK):
                yield chunk
    except FileNotFoundError:
        raise UnusableInput(missing(name)) from None
    except OSError as error:
        raise UnusableInput(f"{name} cannot be read ({error.strerror}); check who may read it") from None


def read_object(client: Any, name: str) -> Iterator[bytes]:
    """The bytes of the object `s3://BUCKET/KEY`; raises Interrupted if they end early, else as `read_file` does."""
    bucket, key = split(name)
    with s3_errors(bucket):
        try:
            body = client.get_object(Bucket=bucket, Key=key)["Body"]
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") != "NoSuchKey":
                raise
            raise UnusableInput(missing(name)) from None
        with closing(body):
            try:
                yield from body.iter_chunks(CHUNK)
            except (HTTPClientError, IncompleteReadError):
                raise Interrupted from None


def missing(name: str) -> str:
    """The sentence about a file of a delivery that is not there."""
    return f"{name} is missing; {FETCH_AGAIN}"


def split(address: str) -> tuple[str, str]:
    """Bucket and key of `s3://BUCKET/KEY`."""
    bucket, _, key = address.removeprefix(S3).partition("/")
    return bucket, key
