"""Connecting to the clinic's own database, which `NEXUS_DATABASE_URL` names."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import psycopg

from linkage.errors import UnusableInput
from linkage.nexus.postgres_errors import database_errors

CONNECT_SECONDS = 10
LOCK = 0x545CF1367F554C09  # the first eight bytes of the project's UUID namespace


@contextmanager
def nexus_connection(snapshot: bool = False) -> Iterator[psycopg.Connection]:
    """Open a connection with one transaction: committed at the end, rolled back on any exception.

    With `snapshot` the transaction only reads, and sees the database as it is at its first query.

    Raises UnusableInput, in one sentence, for every error of the database.
    """
    url = os.environ.get("NEXUS_DATABASE_URL", "")
    if not url.startswith(("postgres://", "postgresql://")):
        raise UnusableInput("set NEXUS_DATABASE_URL to Nexus's database: postgresql://user:password@host:5432/database")
    with database_errors("Nexus"):
        try:
            opened = psycopg.connect(
                url, connect_timeout=CONNECT_SECONDS, client_encoding="utf8", prepare_threshold=None
            )
        except UnicodeError:  # for example two dots in a row
            raise UnusableInput("the host in NEXUS_DATABASE_URL is not a host name; correct it") from None
        with opened as connection:
            if snapshot:
                connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
                connection.read_only = True
            # Dates and times are read and written as text: the same for every role, regardless of its settings.
            connection.execute("set local timezone to 'UTC'")
            connection.execute("set local datestyle to 'ISO, YMD'")
            connection.execute("set local application_name to 'image-linkage'")
            # Rows that a policy hides are then an error: they must not look like rows that do not exist.
            connection.execute("set local row_security to off")
            yield connection


def begin_publishing(connection: psycopg.Connection, say: Callable[[str], None]) -> datetime:
    """Wait until no other run is publishing; returns the time of this run, the timestamp of all its rows.

    `say` is called with a sentence if there is a run to wait for.
    """
    (is_free,) = first_row(connection.execute("select pg_try_advisory_xact_lock(%s)", [LOCK]))
    if not is_free:
        say("another run is publishing: waiting until it ends")
        connection.execute("select pg_advisory_xact_lock(%s)", [LOCK])
    # A violated rule is then an error of the statement whose rows violate it, not of the commit.
    connection.execute("set constraints all immediate")
    (moment,) = first_row(connection.execute("select clock_timestamp()"))
    return moment


def first_row(cursor: psycopg.Cursor) -> tuple[Any, ...]:
    """The first row of a query that always has one."""
    row = cursor.fetchone()
    assert row is not None
    return row
