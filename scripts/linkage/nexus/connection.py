"""Connecting to the clinic's own database, which `NEXUS_DATABASE_URL` names."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from threading import Event, Thread
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

from linkage.errors import UnusableInput
from linkage.nexus.postgres_errors import database_errors

CONNECT_SECONDS = 10
LOCK = 0x545CF1367F554C09  # the first eight bytes of the project's UUID namespace
WATCHED = 1  # seconds between two looks at what a query waits for
# The same for every database and role, regardless of its settings. Dates and times are read and written as text. Rows
# that row-level security hides would look absent: with this setting, a query that it concerns fails. While the store
# is listed, the session is idle, and no other session is to end it for that.
SETTINGS = """
set local timezone to 'UTC';
set local datestyle to 'ISO, YMD';
set local application_name to 'image-linkage';
set local row_security to off;
set local idle_in_transaction_session_timeout to 0;
"""
# The tables that the session with a process id waits for; advisory locks are our own. Who waits for another session to
# end its transaction has locked the row itself, with a lock of the type `tuple`.
WAITED_FOR = """
select coalesce(
    string_agg(distinct cast(cast(relation as regclass) as text), ', ')
        filter (where not granted or locktype = 'tuple'),
    'a row'
)
from pg_locks
where pid = {}
having bool_or(not granted and locktype <> 'advisory')
"""


@contextmanager
def nexus_connection(snapshot: bool = False) -> Iterator[psycopg.Connection]:
    """Open a connection with one transaction: committed at the end, rolled back on any exception.

    With `snapshot` the transaction only reads, and sees the database as it is at its first query; without, each query
    sees what other sessions have committed before it. A wait of a second for a lock is printed.

    Raises UnusableInput, in one sentence, for every error of the database.
    """
    url = os.environ.get("NEXUS_DATABASE_URL", "")
    if not url.startswith(("postgres://", "postgresql://")):
        raise UnusableInput("set NEXUS_DATABASE_URL to Nexus's database: postgresql://user:password@host:5432/database")
    with database_errors("Nexus"), connect(url) as connection, lock_waits_said(url, connection):
        connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
        if snapshot:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.read_only = True
        connection.execute(SETTINGS)
        yield connection


def connect(url: str) -> psycopg.Connection:
    """A new connection; raises UnusableInput for a host that is not a host name, such as one with two dots in a row."""
    try:
        return psycopg.connect(url, connect_timeout=CONNECT_SECONDS, client_encoding="utf8", prepare_threshold=None)
    except UnicodeError:
        raise UnusableInput("the host in NEXUS_DATABASE_URL is not a host name; correct it") from None


@contextmanager
def lock_waits_said(url: str, connection: psycopg.Connection) -> Iterator[None]:
    """Print what a query of `connection` waits for, once for each table.

    A thread asks the server, in a second connection that is made only for a query that takes long. PostgreSQL's own
    lock_timeout ends the query, and with it the transaction or what was done since a savepoint.
    """
    ended = Event()
    thread = Thread(target=say_lock_waits, args=(url, connection, ended), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def say_lock_waits(url: str, connection: psycopg.Connection, ended: Event) -> None:
    """Print each table that `connection` waits for until `ended` is set; without a second connection, do nothing."""
    query = psycopg.sql.SQL(WAITED_FOR).format(connection.info.backend_pid)
    watching, said = None, set()
    with suppress(psycopg.Error, UnusableInput, OSError):  # OSError: nobody reads the output any more
        while not ended.wait(WATCHED):
            if connection.info.transaction_status != TransactionStatus.ACTIVE:
                continue
            watching = watching or connect(url)
            watching.autocommit = True
            found = watching.execute(query).fetchone()
            if found and not ended.is_set() and found not in said:
                said.add(found)
                print(f"waiting for a lock that another session holds on {found[0]}", flush=True)
    if watching:
        watching.close()


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


@contextmanager
def savepoint(connection: psycopg.Connection) -> Iterator[None]:
    """Undo on any exception what was done in it, including one that a trigger has deferred to the commit."""
    with connection.transaction():
        yield
        connection.execute("set constraints all immediate")


def first_row(cursor: psycopg.Cursor) -> tuple[Any, ...]:
    """The first row of a query that always has one."""
    row = cursor.fetchone()
    assert row is not None
    return row
