"""What earlier results and S3's listings show about the manifest's rows, before any request about one object."""

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import count, pairwise
from typing import Any, NamedTuple

from linkage.copying.manifest import COLUMNS, ManifestRow, refuse_first
from linkage.copying.results import COLUMNS as RESULT_COLUMNS
from linkage.copying.rules import DONE, HELD_BACK
from linkage.copying.tables import Tables, csv_source
from linkage.macros import macro_sql
from linkage.s3.listing import list_objects

COPY, LOOK, VERIFIED, HELD = "copy", "look", "verified", "held"
VERIFY = "verify"
LISTED_PREFIXES = 100  # of sources: those with the most rows
LISTERS = 8  # threads
ROWS_OF_A_PART = 4_000  # of a prefix that several threads list, at least
LEAST_PAGES, ROWS_OF_A_PAGE = 10, 10  # a longer listing is abandoned: single requests would be fewer
# The same for a shard, which lists twice: before its copies, and after them. As all shards list, each must make few
# requests: 3 pages, and half as many again as the objects of its own rows take (1,000 each).
SHARD_PAGES, SHARD_ROWS_OF_A_PAGE = 3, 666
OBJECTS_OF_A_PAGE = 1_000
PAGE = 5_000  # rows of a plan that are in memory at a time
UNLINKED = "unlinked/"  # where copies without a patient are, in the order of their types
PlannedRow = tuple[ManifestRow, str, str]
Listing = tuple[str, str, str, str]  # bucket and prefix; after which key, and until which


class Plan(NamedTuple):
    """Whether ETags show what the bytes are, whether the listings are complete, and whether nothing is left to do.

    `blind`: rows are to be copied whose source no listing has shown, so that S3's answer does not prove their size.
    """

    etags_tell: bool
    listings_complete: bool
    finished: bool
    blind: bool


def take_results(tables: Tables, *files: Iterable[bytes]) -> None:
    """Make the table `newest_result`: each file's newest record of each destination, `done` if it was verified.

    A record of any file may prove a copy: only if the listing still shows what it says.
    """
    for number, records in enumerate(files):
        take_file(tables, records, "insert into newest_result" if number else "create table newest_result as")


def latest_time(tables: Tables) -> str:
    """The latest time in the table `newest_result`, as a ledger has it; empty if there is none."""
    times = "'[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}[.][0-9]{6}Z'"
    [(latest,)] = tables.run(
        f"select coalesce(max(recorded_at), '') from newest_result where regexp_full_match(recorded_at, {times})"
    )
    return str(latest)


def take_file(tables: Tables, records: Iterable[bytes], into: str) -> None:
    """Put one file's newest record of each destination into the table `newest_result`.

    The clocks of its runs are judged by this file alone: runs of several shards may well overlap.
    """
    path = tables.folder / "results.csv"
    with path.open("wb") as file:
        file.writelines(records)
    tables.run(
        "create table result as select row_number() over () as record_number, "
        f"* replace (coalesce(try_cast(size as bigint), -1) as size) from {csv_source(RESULT_COLUMNS)}",
        str(path),
    )
    # To render the macro, jinja2 is imported, which takes a sixth of a second.
    newest = macro_sql("newest_copy_results", "result") if path.stat().st_size else "from result"
    path.unlink()
    # A line about a held record has an ETag if the copy that it names was verified before.
    tables.run(f"""
        {into}
        select
            *,
            outcome in {DONE} or (outcome = '{HELD_BACK}' and destination_etag is not null) as done,
            if(coalesce(run_id in ({runs_of_wrong_clocks()}), true), null, {second_of("recorded_at")}) as verified_at,
        from ({newest})
    """)
    tables.run("drop table result")


def runs_of_wrong_clocks() -> str:
    """SQL for the runs in the table `result` whose times may be later than the moments that they are about.

    That is so if a clock was ahead: then a run ends later than the next one
    begins, or than now. As times in the file never go back, the next run writes
    the last line's time until its own clock has passed it; so it is one of them.
    """
    now = datetime.now(UTC).isoformat(timespec="microseconds")
    return f"""
        select run_id
        from (
            select run_id, min(recorded_at) as began, max(recorded_at) as ended, min(record_number) as first_record
            from result
            group by run_id
        )
        qualify
            ended >= lead(began, 1, '{now}') over (order by first_record)
            or began <= lag(ended) over (order by first_record)
    """


def take_held(tables: Tables, held: Iterable[int]) -> None:
    """Make the table `held`: the manifest's rows (`row_number`) whose record is held back.

    The record is the number in the name of the source's object.

    Raises UnusableInput for a row without one if any record is held.
    """
    recid = r"try_cast(regexp_extract(source_key, '([0-9]+)\.[^/.]+$', 1) as bigint)"
    tables.run("create table held_record as select unnest(?::bigint[]) as recid", list(held))
    refuse_first(
        tables,
        f"""
        select row_number, 'source_key does not end in a record number, which held_images.csv could name' as problem
        from manifest
        where {recid} is null and exists (from held_record)
        """,
        "run `dbt build` again",
    )
    tables.run(f"create table held as select row_number from manifest semi join held_record on recid = {recid}")


def make_plan(
    tables: Tables,
    client: Any,
    ask_etags: Callable[[], bool],
    *,
    list_sources: bool = True,
    sharded: bool = False,
    blindly: bool = False,
) -> Plan:
    """Make the table `plan`, the next step of each row of the part, from the results, what is held, and S3's listings.

    `ask_etags` is called while S3 lists: it returns whether ETags show what the
    bytes are. The originals are listed only if the results do not verify all rows
    that are not held. `client` is used by several threads at once.

    If the run is `sharded`, only the part's own range of destinations is listed, and
    the originals only if they are few: those of a part lie anywhere in the dump.
    Where they are not listed, each is checked; or else, `blindly`, a row whose
    destination is free is copied at once, under the conditions of every copy.

    Raises UnusableInput if S3 does not provide a listing.
    """
    tables.run("create table if not exists held (row_number bigint)")
    tables.run("""
        create view verified_before as
        select part.*, destination_etag, verified_at
        from part
        inner join newest_result using (source_bucket, source_key, source_etag, destination_bucket, destination_key)
        where done and newest_result.size = source_size
    """)
    [(unknown,)] = tables.run(
        "select count(*) from part anti join verified_before using (row_number) anti join held using (row_number)"
    )
    listings = destination_ranges(tables) if sharded else destination_listings(tables)
    pages = most_pages(tables, sharded)
    listing_sources = list_sources and unknown and not (sharded and source_pages(tables) > pages)
    if listing_sources:
        listings += source_listings(tables)
    etags_tell, complete = take_listings(tables, client, listings, ask_etags, pages, together=sharded)
    blind = blindly and bool(unknown) and not listing_sources and complete
    find_next_steps(tables, etags_tell, blind)
    [(unfinished,)] = tables.run(f"select count(*) from plan where step not in ('{VERIFIED}', '{HELD}')")
    return Plan(etags_tell, complete, not unfinished, blind)


def most_pages(tables: Tables, sharded: bool) -> int:
    """How many pages of a listing, or of all listings of a shard, are worth more than single requests."""
    least, rows_of_a_page = (SHARD_PAGES, SHARD_ROWS_OF_A_PAGE) if sharded else (LEAST_PAGES, ROWS_OF_A_PAGE)
    [(rows,)] = tables.run("select count(*) from part")
    return least + int(rows) // rows_of_a_page


def source_pages(tables: Tables) -> int:
    """How many pages a listing of the originals has at least: they are those of the whole manifest."""
    [(pages,)] = tables.run(f"select coalesce(sum(rows // {OBJECTS_OF_A_PAGE}), 0) from source_prefix")
    return int(pages)


def take_listings(
    tables: Tables,
    client: Any,
    listings: list[Listing],
    ask_etags: Callable[[], bool],
    most_pages: int,
    *,
    together: bool = False,
) -> tuple[bool, bool]:
    """Make the table `listed`; return the result of `ask_etags`, and whether the listings are complete.

    A listing of more than `most_pages` is abandoned; with `together`, all of them have so many pages.

    DuckDB's appender takes 3 s for a million objects, a CSV file in between 5 s.
    """
    tables.run("create table listed (bucket text, key text, size bigint, etag text, modified text, storage_class text)")
    failed, lock, shared = threading.Event(), threading.Lock(), count(1)
    with tables.connection.cursor() as cursor, ThreadPoolExecutor(LISTERS) as pool:
        cursor.begin()
        appender = cursor.appender("listed")

        def take(listing: Listing) -> bool:
            numbers = shared if together else count(1)
            for page in list_objects(client, *listing):
                if failed.is_set() or next(numbers) > most_pages:
                    return False
                with lock:
                    appender.append_rows([(listing[0], *found) for found in page])
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
    return etags_tell, all(complete)


def destination_listings(tables: Tables) -> list[Listing]:
    """One listing per destination bucket, of the folder that all of its keys share."""
    ends = tables.run(
        "select destination_bucket, min(destination_key), max(destination_key) from part group by all order by 1"
    )
    return [(bucket, shared_folder(first, last), "", "") for bucket, first, last in ends]


def destination_ranges(tables: Tables) -> list[Listing]:
    """Listings per destination bucket from the part's first key to its last, in and outside UNLINKED.

    As the manifest is in the order of patients, there is little else between the two if keys
    begin with the patient; with another destination_key_template there may be everything.
    """
    ends = tables.run(
        "select destination_bucket, min(destination_key), max(destination_key) from part "
        "group by destination_bucket, starts_with(destination_key, ?) order by all",
        UNLINKED,
    )
    # A key without its last character is before it, and hardly any other is between the two.
    return [(bucket, shared_folder(first, last), first[:-1], last) for bucket, first, last in ends]


def shared_folder(first: str, last: str) -> str:
    """The folder that two keys share, with its `/`; empty if there is none."""
    prefix = os.path.commonprefix([first, last])  # noqa: RUF071 (characters are meant)
    return prefix[: prefix.rfind("/") + 1]


def source_listings(tables: Tables) -> list[Listing]:
    """Listings of the originals' prefixes; a large one is divided, because its pages come only one after the other.

    If a store's order differs from S3's, objects may be left out; each row
    whose source is not listed is checked.
    """
    listings: list[Listing] = []
    prefixes = "select bucket, prefix, rows from source_prefix where rows > 0 order by rows desc, 1, 2 limit ?"
    for bucket, prefix, rows in tables.run(prefixes, LISTED_PREFIXES):
        parts = min(LISTERS - 1, rows // ROWS_OF_A_PART) or 1
        sample = tables.run(
            "select source_key from (from manifest using sample reservoir(1000 rows) repeatable (1)) "
            "where source_bucket = ? and starts_with(source_key, ?) order by 1",
            bucket, prefix,
        )  # fmt: skip
        ends = ["", *(sample[len(sample) * part // parts][0] for part in range(1, parts) if sample), ""]
        listings += [(bucket, prefix, after, until) for after, until in pairwise(ends)]
    return listings


def second_of(time: str) -> str:
    """SQL for a time, as the results and S3 write it, to the second; null if it is not one."""
    return f"try_strptime({time}[:19], '%Y-%m-%dT%H:%M:%S')"


def find_next_steps(tables: Tables, etags_tell: bool, blind: bool) -> None:
    """Make the table `plan`: whether each row is held back, verified, must be copied, or must be checked.

    It is verified if its destination is listed with the ETag and the size that
    an earlier run verified, and, where ETags do not show what the bytes are, if
    it has not been written since. It is to be copied if its source is listed with
    the manifest's ETag and size, or the run is `blind`, and its destination is not listed.
    """
    unchanged = "true" if etags_tell else f"{second_of('modified')} <= verified_at"
    tables.run(f"""
        create table plan as
        with verified as (
            select row_number, max(destination_etag) as destination_etag
            from verified_before
            semi join listed
                on bucket = destination_bucket and key = destination_key
                and etag = destination_etag and size = source_size and {unchanged}
            group by row_number
        ),
        source_listed as (
            select row_number
            from part
            semi join listed
                on bucket = source_bucket and key = source_key and etag = source_etag and size = source_size
        ),
        destination_listed as (
            select row_number from part semi join listed on bucket = destination_bucket and key = destination_key
        )
        select
            row_number,
            case
                when held.row_number is not null then '{HELD}'
                when verified.row_number is not null then '{VERIFIED}'
                when
                    (source_listed.row_number is not null or {blind}) and destination_listed.row_number is null
                    then '{COPY}'
                else '{LOOK}'
            end as step,
            coalesce(destination_etag, '') as etag,
        from part
        left join held using (row_number)
        left join verified using (row_number)
        left join source_listed using (row_number)
        left join destination_listed using (row_number)
    """)
    tables.run("drop table listed")


def planned_rows(tables: Tables) -> Iterator[PlannedRow]:
    """The part's rows in the manifest's order, each with its step and, if it is verified, its listed ETag."""
    page = f"""
        select {", ".join(COLUMNS)}, step, etag
        from part
        inner join plan using (row_number)
        where row_number between ? and ?
        order by row_number
    """
    [(first, last)] = tables.run("select coalesce(min(row_number), 1), coalesce(max(row_number), 0) from part")
    for start in range(first, last + 1, PAGE):
        for *values, step, etag in tables.run(page, start, start + PAGE - 1):
            yield ManifestRow(*values), step, etag


def count_planned(tables: Tables) -> int:
    """How many rows the plan has."""
    [(rows,)] = tables.run("select count(*) from plan")
    return int(rows)


def unlisted_copies(tables: Tables, client: Any, records: Iterable[bytes], run_id: str) -> Iterator[PlannedRow]:
    """The rows that a run has copied, by its `records`, and that S3 does not list with the manifest's ETag and size.

    Each is to be verified. After a blind run, S3's answers prove every copy but for its size.

    Raises UnusableInput if S3 does not provide a listing.
    """
    started = f"{run_id},".encode()
    tables.run("drop table newest_result")
    take_file(tables, (record for record in records if record.startswith(started)), "create table newest_result as")
    take_listings(
        tables, client, destination_ranges(tables), lambda: True, most_pages(tables, sharded=True), together=True
    )
    tables.run(f"""
        create or replace table plan as
        select row_number, '{VERIFY}' as step, '' as etag
        from part
        inner join newest_result using (destination_bucket, destination_key)
        anti join listed
            on bucket = destination_bucket and key = destination_key
            and etag = destination_etag and listed.size = source_size
        where outcome = 'copied'
    """)
    tables.run("drop table listed")
    return planned_rows(tables)
