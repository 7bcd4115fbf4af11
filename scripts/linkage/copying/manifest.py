"""The copy manifest: read as a stream, and refused as a whole where it must not be copied."""

import codecs
import csv
import os
import re
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any, BinaryIO, NamedTuple

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # no threads for what is not used: a tenth of a second of each start
import numpy as np

from linkage.errors import UnusableInput

COLUMNS = (
    "image_id", "source_bucket", "source_key", "source_etag", "source_size", "destination_bucket", "destination_key",
)  # fmt: skip
SIZE = re.compile("[0-9]{1,18}")
RECORD_NAME = re.compile(r"[0-9]+\.[^/.]+\Z")


class ManifestRow(NamedTuple):
    """One object to copy (§8); the size in bytes, the etag without quote marks."""

    image_id: str
    source_bucket: str
    source_key: str
    source_etag: str
    source_size: int
    destination_bucket: str
    destination_key: str


@dataclass
class Summary:
    """What a checked manifest holds: its number of rows, its buckets, and by row what to find it by in listings.

    `sources` and `destinations` are hashes of this process, `source_prefixes`
    counts the rows under each, `destination_prefixes` has the beginning that
    all keys of a destination bucket share.
    """

    rows: int = 0
    buckets: set[str] = field(default_factory=set)
    sources: "array[int]" = field(default_factory=lambda: array("q"))
    destinations: "array[int]" = field(default_factory=lambda: array("q"))
    source_prefixes: Counter[tuple[str, str]] = field(default_factory=Counter)
    destination_prefixes: dict[str, str] = field(default_factory=dict)

    def add(self, row: ManifestRow) -> None:
        """Take one row in."""
        self.rows += 1
        self.buckets |= {row.source_bucket, row.destination_bucket}
        self.sources.append(source_identity(row))
        self.destinations.append(hash((row.destination_bucket, row.destination_key)))
        self.source_prefixes[row.source_bucket, prefix_of(row.source_key)] += 1
        shorten(self.destination_prefixes, row.destination_bucket, row.destination_key)


def shorten(prefixes: dict[str, str], bucket: str, key: str) -> None:
    """Make the beginning that all keys of a bucket share one of this key, too."""
    shared = prefixes.setdefault(bucket, key)
    if not key.startswith(shared):
        same = takewhile(lambda pair: pair[0] == pair[1], zip(shared, key, strict=False))
        prefixes[bucket] = shared[: sum(1 for _ in same)]


def source_identity(row: Any) -> int:
    """A hash of the version of the source that a row of the manifest, or of the results, is about."""
    return hash((row.source_bucket, row.source_key, row.source_etag, row.source_size))


def check_manifest(manifest: BinaryIO, source_prefix: str) -> Summary:
    """Read all of `manifest` and refuse it where one row must not be copied.

    A destination may stand there once only, and may neither lie under the
    prefix of a source object of its bucket (which the object itself does), nor
    under `source_prefix` in any bucket. Keys are compared as they are and
    folded, for some stores fold them.

    Raises UnusableInput with the line.
    """
    summary = Summary()
    folded_prefixes: dict[str, str] = {}
    folded = array("q")
    for _, row in read_manifest(manifest):
        summary.add(row)
        bucket, key = folded_destination(row)
        shorten(folded_prefixes, bucket, key)
        folded.append(hash((bucket, key)))
    dumps = {*summary.source_prefixes, *((bucket, source_prefix) for bucket, _ in summary.source_prefixes)}
    if source_prefix:
        dumps |= {(bucket, source_prefix) for bucket in summary.buckets}
    dumps |= {(bucket, fold_prefix(prefix)) for bucket, prefix in dumps}
    if any(
        prefix.startswith(shared) or shared.startswith(prefix)
        for bucket, prefix in dumps
        for shared in (summary.destination_prefixes.get(bucket), folded_prefixes.get(bucket))
        if shared is not None
    ):
        refuse_dump(manifest, dumps)
    values, counts = np.unique(np.frombuffer(folded, dtype=np.int64), return_counts=True)
    refuse_repeated(manifest, set(values[counts > 1].tolist()))
    return summary


def refuse_dump(manifest: BinaryIO, dumps: set[tuple[str, str]]) -> None:
    """Raise UnusableInput for the first row whose destination lies under one of these prefixes."""
    lengths = {len(prefix) for _, prefix in dumps}
    for line, row in read_manifest(manifest):
        # With the slash, for "a/b" stands in the way of all under "a/b/" where keys are paths.
        for key in {f"{row.destination_key}/", f"{fold(row.destination_key)}/"}:
            if any((row.destination_bucket, key[:length]) in dumps for length in lengths):
                raise UnusableInput(
                    f"manifest line {line}: the destination lies under a source prefix, which is a backup and only "
                    "ever read; set destination_key_template or destination_bucket, and run dbt build again"
                )


def refuse_repeated(manifest: BinaryIO, hashes: set[int]) -> None:
    """Raise UnusableInput for the first row whose destination an earlier one has; only those with these hashes may."""
    seen = set()
    for line, row in read_manifest(manifest) if hashes else ():
        destination = folded_destination(row)
        if destination in seen:
            raise UnusableInput(
                f"manifest line {line}: the destination stands in an earlier line too; set destination_key_template "
                "to a pattern that differs for each image, and run dbt build again"
            )
        if hash(destination) in hashes:
            seen.add(destination)


def read_manifest(manifest: BinaryIO) -> Iterator[tuple[int, ManifestRow]]:
    """The rows of `manifest` from its beginning, each with its line number.

    Raises UnusableInput for what is no manifest: another header, a wrong number
    of fields, an empty value, a size that is no number, malformed CSV.
    """
    manifest.seek(0)
    records = csv.reader((line.decode() for line in without_bom(manifest)), strict=True)
    line = 1
    try:
        header = next(records, None)
        if header is None:
            raise UnusableInput("the manifest is empty, without even a header line; run dbt build again")
        positions = column_positions(header)
        line = records.line_num + 1
        for values in records:
            yield line, parse_row(line, values, positions)
            line = records.line_num + 1
    except UnicodeDecodeError:
        raise UnusableInput(f"manifest line {line}: this is not UTF-8; run dbt build again") from None
    except csv.Error as error:
        raise UnusableInput(f"manifest line {line}: malformed CSV ({error}); run dbt build again") from None


def without_bom(manifest: BinaryIO) -> Iterator[bytes]:
    """The lines of `manifest`; a BOM before the first is dropped."""
    for number, line in enumerate(manifest):
        yield line if number else line.removeprefix(codecs.BOM_UTF8)


def column_positions(header: list[str]) -> list[int]:
    """Where each of the seven columns stands in `header`."""
    if sorted(header) != sorted(COLUMNS):
        raise UnusableInput(
            f"manifest line 1: the columns must be {','.join(COLUMNS)}, each once and no other; run dbt build again"
        )
    return [header.index(column) for column in COLUMNS]


def parse_row(line: int, values: list[str], positions: list[int]) -> ManifestRow:
    """The record at `line`, checked on its own."""
    if len(values) != len(COLUMNS):
        raise UnusableInput(
            f"manifest line {line}: {len(values)} fields instead of {len(COLUMNS)}; run dbt build again"
        )
    image_id, source_bucket, source_key, source_etag, size, bucket, key = (values[position] for position in positions)
    if not all(values):
        empty = next(column for column, position in zip(COLUMNS, positions, strict=True) if not values[position])
        raise UnusableInput(f"manifest line {line}: {empty} is empty; run dbt build again")
    if not SIZE.fullmatch(size):
        raise UnusableInput(f"manifest line {line}: source_size is no number of bytes; run dbt build again")
    return ManifestRow(image_id, source_bucket, source_key, source_etag, int(size), bucket, key)


def prefix_of(source_key: str) -> str:
    """The prefix that a source object lies under: its key without `<recid>.<extension>`, else its folder."""
    prefix, found = RECORD_NAME.subn("", source_key)
    return prefix if found else source_key[: source_key.rfind("/") + 1]


def fold(key: str) -> str:
    """The key as a store reads it that takes keys for paths (SeaweedFS: `a//b` and `a\\b` are `a/b`)."""
    segments: list[str] = []
    for segment in key.replace("\\", "/").split("/"):
        if segment == "..":
            del segments[-1:]
        elif segment not in ("", "."):
            segments.append(segment)
    return "/".join(segments)


def fold_prefix(prefix: str) -> str:
    """`prefix` folded; one that ends a folder still does."""
    folded = fold(prefix)
    return f"{folded}/" if folded and prefix.endswith(("/", "\\")) else folded


def folded_destination(row: ManifestRow) -> tuple[str, str]:
    """What a destination is to a store that takes keys for paths."""
    return row.destination_bucket, fold(row.destination_key)
