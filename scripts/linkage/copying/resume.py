"""What earlier results and S3's listings say about the manifest's rows, before any object is asked for."""

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from linkage.copying.manifest import COLUMNS, ManifestRow, count_rows
from linkage.copying.results import COLUMNS as RESULT_COLUMNS
from linkage.copying.rules import DONE
from linkage.copying.tables import CSV, Tables
from linkage.s3.listing import list_objects
from linkage.seeds import newest_copy_results

COPY, LOOK, VERIFIED = "copy", "look", "verified"
LISTED_PREFIXES = 100  # of sources: those with the most rows
LISTERS = 8  # threads
ROWS_OF_A_LISTER = 4_000  # at least, where several share a prefix
SAMPLE = 1_000  # rows, to divide a prefix by
MOST_PAGES = (
    10,
    10,
)  # of one listing: this many, and one more for this many rows; HEADs would be fewer
PAGE = 5_000  # rows of a plan that are in memory at a time


class Listing(NamedTuple):
    """A listing to make: of a prefix, or of the part of it between two keys."""

    bucket: str
    prefix: str
    after: str = ""
    until: str = ""


class Plan(NamedTuple):
    """What S3 said: whether etags show what the bytes are, and whether what is not listed does not exist."""

    etags_tell: bool
    listings_complete: bool


class PlannedRow(NamedTuple):
    """A row of the manifest and its next step; `etag` is the listed one of a copy that was verified before."""

    row: ManifestRow
    step: str
    etag: str


def take_results(tables: Tables, records: Iterable[bytes]) -> None:
    """Make the table `newest_result`: the newest record about each destination; it is `done` if it was verified."""
    path = tables.folder / "results.csv"
    with path.open("wb") as file:
        file.writelines(records)
    types = ", ".join(f"'{column}': 'varchar'" for column in RESULT_COLUMNS)
    tables.run(
        "create table result as select row_number() over () as record_number, "
        f"* replace (coalesce(try_cast(size as bigint), -1) as size) "
        f"from read_csv(?, columns = {{{types}}}, header = false, {CSV})",
        str(path),
    )
    # To render the macro, jinja2 is imported, which takes a sixth of a second.
    newest = newest_copy_results("result") if path.stat().st_size else "select * from result"
    path.unlink()
    tables.run(f"create table newest_result as select *, outcome in {DONE} as done from ({newest})")
    tables.run("drop table result")


def compare_with_results(tables: Tables) -> None:
    """Make the table `verified_before`: the rows of the manifest whose copy an earlier run verified."""
    tables.run(f"""
        create table verified_before as
        select row_number, destination_etag as etag, size, {second_of("recorded_at")} as verified_at
        from manifest
        inner join newest_result using (source_bucket, source_key, source_etag, destination_bucket, destination_key)
        where done and size = source_size
    """)


def second_of(time: str) -> str:
    """SQL for a time, as the results and S3 write it, to the second; null if it is not one."""
    return f"try_strptime({time}[:19], '%Y-%m-%dT%H:%M:%S')"


def make_plan(tables: Tables, client: Any, ask_etags: Callable[[], bool], *, sources: bool) -> Plan:
    """Make the table `plan`, the next step of each row, from the results and from S3's listings.

    `ask_etags` is called while S3 lists: it returns whether etags show what the
    bytes are. The originals are listed only if `sources`. `client` is used by
    several threads at once.

    Raises UnusableInput if S3 does not provide a listing.
    """
    listings = [*destination_listings(tables), *(source_listings(tables) if sources else [])]
    least, rows_of_a_page = MOST_PAGES
    most_pages = least + count_rows(tables) // rows_of_a_page
    tables.run("create table listed (bucket text, key text, size bigint, etag text, modified text, storage_class text)")
    failed, lock = threading.Event(), threading.Lock()
    with tables.connection.cursor() as cursor, ThreadPoolExecutor(LISTERS) as pool:
        cursor.begin()
        appender = cursor.appender("listed")

        def take(listing: Listing) -> bool:
            bucket, prefix, after, until = listing
            for number, page in enumerate(list_objects(client, bucket, prefix, after=after, until=until)):
                if failed.is_set() or number == most_pages:
                    return False
                with lock:
                    appender.append_rows([(bucket, *found) for found in page])
                    appender.flush()
            return True

        begun = [pool.submit(take, listing) for listing in listings]
        try:
            etags_tell = ask_etags()
            complete = [one.result() for one in begun]
        except BaseException:
            failed.set()
            raise
        cursor.commit()
    find_verified(tables, etags_tell)
    find_next_steps(tables)
    tables.run("drop table listed")
    return Plan(etags_tell, all(complete))


def destination_listings(tables: Tables) -> list[Listing]:
    """One for each destination bucket: of the folder that all of its keys share."""
    ends = tables.run(
        "select destination_bucket, min(destination_key), max(destination_key) from manifest group by all order by 1"
    )
    shared = [(bucket, os.path.commonprefix(keys)) for bucket, *keys in ends]  # noqa: RUF071 (characters are meant)
    return [Listing(bucket, prefix[: prefix.rfind("/") + 1]) for bucket, prefix in shared]


def source_listings(tables: Tables) -> list[Listing]:
    """Of the prefixes of the originals; a large one is divided, because its pages can only be asked for in turn.

    If a store's order differs from S3's, objects may be left out: each row
    whose source is not listed is looked at.
    """
    listings = []
    places = "select bucket, prefix, rows from source_prefix where rows > 0 order by rows desc, 1, 2 limit ?"
    for bucket, prefix, rows in tables.run(places, LISTED_PREFIXES):
        parts = min(LISTERS - 1, rows // ROWS_OF_A_LISTER) or 1
        sample = tables.run(
            f"select source_key from (from manifest using sample reservoir({SAMPLE} rows) repeatable (1)) "
            "where source_bucket = ? and starts_with(source_key, ?) order by source_key",
            bucket, prefix,
        )  # fmt: skip
        keys = [key for (key,) in sample]
        ends = [keys[len(keys) * part // parts] for part in range(1, parts)] if keys else []
        listings += [Listing(bucket, prefix, *part) for part in zip(["", *ends], [*ends, ""], strict=True)]
    return listings


def all_in(tables: Tables, table: str, limit: int) -> bool:
    """Whether all of the first `limit` rows are in `table`: `verified_before` or `verified`."""
    [(found,)] = tables.run(f"select count(*) from {table} where row_number <= ?", limit)
    return bool(found == limit)


def find_verified(tables: Tables, etags_tell: bool) -> None:
    """Make the table `verified`: the rows whose copy is listed with the etag and size that an earlier run verified.

    Where etags do not show what the bytes are, it must not have been written since.
    """
    unchanged = "true" if etags_tell else f"{second_of('modified')} <= verified_at"
    tables.run(f"""
        create table verified as
        select row_number, etag
        from (
            select row_number, destination_bucket, destination_key, etag, verified_before.size, verified_at
            from verified_before
            inner join manifest using (row_number)
        ) as before
        semi join listed
            on bucket = destination_bucket and key = destination_key
            and listed.etag = before.etag and listed.size = before.size and {unchanged}
    """)


def find_next_steps(tables: Tables) -> None:
    """Make the table `plan`: nothing for a verified row, else to copy it or to look at it.

    It is copied if its source is listed with the manifest's etag and size, and
    its destination is not listed.
    """
    tables.run(f"""
        create table plan as
        with source_listed as (
            select row_number
            from manifest
            semi join listed
                on bucket = source_bucket and key = source_key and etag = source_etag and size = source_size
        ),
        destination_listed as (
            select row_number
            from manifest
            semi join listed on bucket = destination_bucket and key = destination_key
        )
        select
            row_number,
            case
                when verified.row_number is not null then '{VERIFIED}'
                when source_listed.row_number is not null and destination_listed.row_number is null then '{COPY}'
                else '{LOOK}'
            end as step,
            coalesce(verified.etag, '') as etag,
        from manifest
        left join verified using (row_number)
        left join source_listed using (row_number)
        left join destination_listed using (row_number)
    """)


def planned_rows(tables: Tables, limit: int) -> Iterator[PlannedRow]:
    """The first `limit` rows in the manifest's order, each with its step."""
    page = f"""
        select {", ".join(COLUMNS)}, step, etag
        from manifest
        inner join plan using (row_number)
        where row_number between ? and ?
        order by row_number
    """
    for first in range(1, limit + 1, PAGE):
        for *values, step, etag in tables.run(page, first, min(first + PAGE - 1, limit)):
            yield PlannedRow(ManifestRow(*values), step, etag)
