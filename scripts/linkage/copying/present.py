"""Which copies the store still shows, now that others rely on them."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import duckdb

from linkage.copying.resume import LISTERS, Listing
from linkage.s3.clients import retrying_client
from linkage.s3.errors import s3_errors
from linkage.s3.listing import list_objects

# In one bucket: so few copies are looked up one by one, which takes fewer requests than their folder may have pages.
LOOKED_UP = 1_000


def list_copies(connection: duckdb.DuckDBPyConnection, copies: str) -> None:
    """Make the table `memory.listed` of what the store shows now in the places of `copies`: bucket, key, size, etag.

    `copies` is a relation with the columns `bucket`, `key`, `etag` and `size`. Up to LOOKED_UP
    keys of a bucket are listed one by one; else the folder that they share, divided
    among several threads. If a copy is not found, it is listed once more as a whole: in a
    store whose order differs from S3's, a division may leave objects out.

    Raises UnusableInput if the store does not list them.
    """
    connection.execute("create or replace table memory.listed (bucket text, key text, size bigint, etag text)")
    buckets = connection.execute(
        f"select bucket, count(*), min(key), max(key) from {copies} group by all order by 1"
    ).fetchall()
    for bucket, count, first, last in buckets:
        if count <= LOOKED_UP:
            take_listings(
                connection, [(bucket, key, "", key) for key in keys_at_ends(connection, copies, bucket, count)]
            )
            continue
        shared = os.path.commonprefix([first, last])  # noqa: RUF071 (characters are meant)
        folder = shared[: shared.rfind("/") + 1]
        ends = ["", *keys_at_ends(connection, copies, bucket, LISTERS)[1:], ""]
        take_listings(connection, [(bucket, folder, after, until) for after, until in pairwise(ends)])
        missing = connection.execute(
            f"select count(*) from {copies} anti join memory.listed using (bucket, key) where bucket = ?", [bucket]
        ).fetchone()
        if missing and missing[0]:
            take_listings(connection, [(bucket, folder, "", "")])


def keys_at_ends(connection: duckdb.DuckDBPyConnection, copies: str, bucket: str, parts: int) -> list[str]:
    """The first key of each of so many parts of a bucket's copies, in order."""
    query = f"""
        select min(key)
        from (select key, ntile({parts}) over (order by key) as part from {copies} where bucket = ?)
        group by part
        order by 1
    """
    return [key for (key,) in connection.execute(query, [bucket]).fetchall()]


def take_listings(connection: duckdb.DuckDBPyConnection, listings: list[Listing]) -> None:
    """Add what the store lists to the table `memory.listed`, with several threads."""
    with s3_errors(listings[0][0]):
        client = retrying_client()
    failed, lock = threading.Event(), threading.Lock()
    with connection.cursor() as cursor, ThreadPoolExecutor(LISTERS) as pool:
        cursor.execute("use memory")
        cursor.begin()
        appender = cursor.appender("listed")

        def take(listing: Listing) -> None:
            for page in list_objects(client, *listing):
                if failed.is_set():
                    return
                with lock:
                    appender.append_rows([(listing[0], found.key, found.size, found.etag) for found in page])
                    appender.flush()

        begun = [pool.submit(take, listing) for listing in listings]
        try:
            for one in begun:
                one.result()
        except BaseException:
            failed.set()
            raise
        cursor.commit()
