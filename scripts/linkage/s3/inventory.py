"""The objects in an S3 Inventory delivery: what a listing of the bucket would have given when S3 scanned it."""

import gzip
import zlib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import duckdb

from linkage.errors import UnusableInput
from linkage.progress import Advance
from linkage.s3.inventory_delivery import CHUNK, open_delivery
from linkage.s3.inventory_manifest import FIELDS, OF_VERSIONS, Manifest
from linkage.s3.listing import ListedObject
from linkage.seeds import escaped, find_malformed_line, literal

# DuckDB sorts on disk what exceeds it. It would read a whole row group at once, which S3 makes as large as 128 MB.
MEMORY_LIMIT = "160MB"
SETTINGS = f"set memory_limit = '{MEMORY_LIMIT}'; set disable_parquet_prefetching = true"
FETCHED = 10_000  # rows at a time
ANOTHER_DAY = "use another day's delivery"
TEXTS = ("bucket", "key", "e_tag", "storage_class")
TIME = "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]+)?Z"
CSV_KEY = "case when regexp_full_match(key, '([^%]|%[0-9A-Fa-f]{2})*') then try(url_decode(replace(key, '+', ' '))) end"
PARQUET_TIME = "strftime(make_timestamp_ms(epoch_ms(last_modified_date)), '%Y-%m-%dT%H:%M:%S.%gZ')"  # as S3 lists it
TABLE = """
create table listed (
    part integer, line bigint, key varchar, latest boolean, marker boolean, size bigint, etag varchar,
    modified varchar, storage_class varchar, problem varchar
)
"""
# One file: its columns as texts, then as what they should be, then what is wrong with a row. A delete marker has
# neither size nor ETag, and of an older version only the key counts.
LOAD = """
insert into listed
with delivered as (
    select {line} as line, bucket, {key} as key, cast(size as varchar) as size, e_tag, {modified} as modified,
        {storage_class} as storage_class, {latest} as latest, {marker} as marker
    from {source}
),
read as (
    select line, bucket, nullif(key, '') as key,
        case lower(latest) when 'true' then true when 'false' then false end as latest,
        case lower(marker) when 'true' then true when 'false' then false end as marker,
        case when regexp_full_match(size, '[0-9]{{1,18}}') then cast(size as bigint) end as size,
        nullif(trim(e_tag, '"'), '') as etag,
        case when regexp_full_match(modified, '{time}') then modified end as modified,
        storage_class
    from delivered
)
select {part}, line, key, latest, marker, size, etag, modified, storage_class,
    case
        when bucket is distinct from {bucket} then 'is about another bucket than the manifest'
        when key is null then 'has no key that can be decoded'
        when latest is null or marker is null then 'does not say whether it is the current version'
        when marker or not latest then null
        when size is null then 'has no size in bytes'
        when etag is null then 'has no ETag, by which copies are verified'
        when modified is null then 'has no LastModifiedDate that can be read'
    end as problem
from read
"""
COUNTS = """
select
    count(*) filter (where latest and not marker),
    count(*) filter (where not latest and not marker),
    count(*) filter (where marker)
from listed
"""


class Inventory(NamedTuple):
    """An inventory of `bucket` when S3 began to scan it, at `created` (UTC), with the number of its rows of each kind.

    `files` are the names of its files, and `row` is what one of their rows is called.
    """

    bucket: str
    created: datetime
    files: list[str]
    row: str
    objects: int
    older_versions: int
    delete_markers: int


def load_inventory(connection: duckdb.DuckDBPyConnection, folder: Path, manifest: str, advance: Advance) -> Inventory:
    """Load a whole delivery, verified, into the new table `listed`, for `current_objects`.

    `manifest` is the path of its manifest.json, or `s3://BUCKET/KEY`. One file at a
    time is in `folder`, which is private, and the table is in the file of the
    `connection`. `advance` is called with the number of rows of each file.

    An inventory without StorageClass leaves that column empty: nothing is decided by
    it, and the objects may well be archived. An empty value is STANDARD, as in a
    listing.

    Raises UnusableInput if anything in the delivery is missing, is not what S3
    delivered or cannot be read, or if a row is about another bucket.
    """
    connection.execute(SETTINGS)
    connection.execute(TABLE)
    found, fetch = open_delivery(manifest, folder)
    path, files = folder / "delivered", []
    for part in found.parts:
        files.append(fetch(part, path))
        advance((load_parquet if found.parquet else load_csv)(connection, found, path, files))
        path.unlink()
    counts = connection.execute(COUNTS).fetchone()
    assert counts is not None
    return Inventory(found.bucket, found.created, files, "row" if found.parquet else "line", *counts)


def current_objects(connection: duckdb.DuckDBPyConnection, inventory: Inventory) -> Iterator[list[ListedObject]]:
    """The current objects of a loaded inventory in S3's order, which is by the UTF-8 bytes of the key; page by page.

    Raises UnusableInput if a key has two current versions, or versions of which none is current.
    """
    cursor = connection.execute(
        "select key, size, etag, modified, storage_class, latest, marker, part, line from listed"
        " order by key, latest desc, part, line"
    )
    before, place = None, (0, 0)
    while rows := cursor.fetchmany(FETCHED):
        page = []
        for *values, latest, marker, part, line in rows:
            if latest == (values[0] == before):
                raise UnusableInput(contradiction(inventory, place, (part, line), twice=latest))
            before, place = values[0], (part, line)
            if latest and not marker:
                page.append(ListedObject(*values))
        yield page


def contradiction(inventory: Inventory, first: tuple[int, int], second: tuple[int, int], *, twice: bool) -> str:
    """The sentence about a key that is current `twice`, or never; places are file and row."""
    places = [f"{inventory.row} {line:,} of {inventory.files[part]}" for part, line in (first, second)]
    if twice:
        return f"{places[0]} and {places[1]} are both the current version of one key; {ANOTHER_DAY}"
    return f"{places[1]} is a version of a key of which no version is the current one; {ANOTHER_DAY}"


def load_parquet(connection: duckdb.DuckDBPyConnection, manifest: Manifest, path: Path, files: list[str]) -> int:
    """Load the file at `path`, the last of `files`, as `load` does."""
    source = f"read_parquet({literal(escaped(path))}, hive_partitioning = false, file_row_number = true)"
    try:
        described = connection.execute(f"describe select * from {source}").fetchall()
        types = {column: type_name for column, type_name, *_ in described}
        expected = {field for field in FIELDS.values() if field in manifest.fields}
        unexpected = {FIELDS[field] for field in OF_VERSIONS} & types.keys() - expected
        if wrong := sorted((expected - types.keys()) | unexpected):
            raise UnusableInput(f"{files[-1]} differs from fileSchema in the column {wrong[0]}; {ANOTHER_DAY}")
        if wrong := [column for column in TEXTS if types.get(column, "VARCHAR") != "VARCHAR"]:
            raise UnusableInput(f"{files[-1]} has a column {wrong[0]} that is not text (UTF8); {ANOTHER_DAY}")
        is_time = types["last_modified_date"].startswith("TIMESTAMP")
        modified = PARQUET_TIME if is_time else "cast(last_modified_date as varchar)"
        return load(connection, manifest, files, source, line="file_row_number + 1", key="key", modified=modified)
    except duckdb.OutOfMemoryException:
        raise UnusableInput(
            f"{files[-1]} has row groups that need more memory than {MEMORY_LIMIT}; choose CSV in the inventory's "
            "configuration, and use the first delivery after that"
        ) from None
    except duckdb.IOException:  # no room
        raise
    except duckdb.Error:
        raise UnusableInput(f"{files[-1]} is not a Parquet file that can be read; {ANOTHER_DAY}") from None


def load_csv(connection: duckdb.DuckDBPyConnection, manifest: Manifest, path: Path, files: list[str]) -> int:
    """Load the file at `path`, the last of `files`, as `load` does; its keys are decoded."""
    text, lines, last = path.with_suffix(".csv"), 0, b"\n"
    try:
        with gzip.open(path) as packed, text.open("wb") as file:
            while chunk := packed.read(CHUNK):
                file.write(chunk)
                lines, last = lines + chunk.count(b"\n"), chunk[-1:]
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise UnusableInput(f"{files[-1]} is not a whole file in gzip format; {ANOTHER_DAY}") from None
    types = ", ".join(f"{literal(field)}: 'varchar'" for field in manifest.fields)
    arguments = (
        f"{literal(escaped(text))}, columns = {{{types}}}, header = false, all_varchar = true, auto_detect = false, "
        "delim = ',', quote = '\"', escape = '\"', nullstr = '', hive_partitioning = false, "
        "buffer_size = 8000000"
    )
    source, line, modified = f"read_csv({arguments})", "row_number() over ()", "last_modified_date"
    try:
        rows = load(connection, manifest, files, source, line=line, key=CSV_KEY, modified=modified)
    except duckdb.InvalidInputException:
        problem = find_malformed_line(text, arguments, len(manifest.fields))
        raise UnusableInput(f"{files[-1]} cannot be read: {problem}; {ANOTHER_DAY}") from None
    lines += last != b"\n"
    if rows != lines:  # in a key, S3 encodes a line feed
        raise UnusableInput(f"{files[-1]} has {lines:,} lines but {rows:,} rows; {ANOTHER_DAY}")
    text.unlink()
    return rows


def load(
    connection: duckdb.DuckDBPyConnection,
    manifest: Manifest,
    files: list[str],
    source: str,
    *,
    line: str,
    key: str,
    modified: str,
) -> int:
    """Add the rows of the last of `files` to the table `listed`; returns their number.

    `source` is SQL for them, and `line`, `key` and `modified` are SQL for their number,
    decoded key and time. Raises UnusableInput for the first row that is not as it should be.
    """
    part = len(files) - 1
    has_class = FIELDS["StorageClass"] in manifest.fields
    connection.execute(
        LOAD.format(
            part=part,
            line=line,
            key=key,
            modified=modified,
            storage_class="coalesce(nullif(storage_class, ''), 'STANDARD')" if has_class else "''",
            latest="cast(is_latest as varchar)" if manifest.versions else "'true'",
            marker="cast(is_delete_marker as varchar)" if manifest.versions else "'false'",
            source=source,
            time=TIME,
            bucket=literal(manifest.bucket),
        )
    )
    found = connection.execute(
        "select line, problem from listed where part = ? and problem is not null order by line limit 1", [part]
    ).fetchone()
    if found:
        row = "row" if manifest.parquet else "line"
        raise UnusableInput(f"{files[-1]}, {row} {found[0]:,}, {found[1]}; {ANOTHER_DAY}")
    rows = connection.execute("select count(*) from listed where part = ?", [part]).fetchone()
    assert rows is not None
    return int(rows[0])
