"""The clinic's own database, by `NEXUS_DATABASE_URL`."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from linkage.errors import UnusableInput
from linkage.nexus.postgres_errors import database_errors

CONNECT_SECONDS = 10


@contextmanager
def nexus_connection(snapshot: bool = False) -> Iterator[psycopg.Connection]:
    """A connection with one transaction, which is committed at the end, or rolled back on any exception.

    `snapshot`: it only reads, and sees the database as it is at its first query.

    Raises UnusableInput, in one sentence, for all that the database says no to.
    """
    url = os.environ.get("NEXUS_DATABASE_URL", "")
    if not url.startswith(("postgres://", "postgresql://")):
        raise UnusableInput("set NEXUS_DATABASE_URL to Nexus's database: postgresql://user:password@host:5432/database")
    with database_errors("Nexus"):
        try:
            opened = psycopg.connect(
                url, connect_timeout=CONNECT_SECONDS, client_encoding="utf8", prepare_threshold=None
            )
        except UnicodeError:  # two dots in a row, for example
            raise UnusableInput("the host in NEXUS_DATABASE_URL is no host name; correct it") from None
        with opened as connection:
            if snapshot:
                connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
                connection.read_only = True
            # Dates and times are read and written as text: alike whatever the role's own settings.
            connection.execute("set local timezone to 'UTC'")
            connection.execute("set local datestyle to 'ISO, YMD'")
            connection.execute("set local application_name to 'image-linkage'")
            yield connection
