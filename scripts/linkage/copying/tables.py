"""The tables of one run: a DuckDB file that is removed when the run ends."""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

from linkage.errors import UnusableInput
from linkage.files import FULL

MEMORY_LIMIT = "96MB"
FOLDER = "image-linkage-"  # and something random
ABANDONED = 3600  # seconds, at least, since a folder was made or used last


class Tables(NamedTuple):
    """A DuckDB connection for one thread, and the private folder of its file, for other files that it reads."""

    connection: duckdb.DuckDBPyConnection
    folder: Path

    def run(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        """The rows that a query returns."""
        return self.connection.execute(query, parameters).fetchall()


@contextmanager
def private_tables() -> Iterator[Tables]:
    """An empty DuckDB file in a new temporary folder (mode 0700), both removed at the end.

    What exceeds MEMORY_LIMIT is on disk there. Python dictionaries or NumPy
    arrays of a million keys would need either more memory or hashes of them.

    Raises UnusableInput if there is no room in it.
    """
    remove_abandoned(Path(tempfile.gettempdir()))
    with tempfile.TemporaryDirectory(prefix=FOLDER) as name, locked(Path(name)):
        folder = Path(name)
        try:
            with duckdb.connect(
                folder / "run.duckdb",
                config={"memory_limit": MEMORY_LIMIT, "threads": 1, "temp_directory": str(folder / "spilled")},
            ) as connection:
                yield Tables(connection, folder)
        except (duckdb.IOException, duckdb.OutOfMemoryException, OSError) as error:
            if isinstance(error, OSError) and error.errno not in FULL:
                raise
            raise UnusableInput(
                f"no room in the temporary folder {folder.parent}; make room, or name another folder with TMPDIR"
            ) from None


def remove_abandoned(temporary: Path) -> None:
    """Remove what killed runs have left there: folders of ours that no process has locked."""
    for folder in temporary.glob(f"{FOLDER}*"):
        with suppress(OSError):  # such as that of another user
            if time.time() - folder.stat().st_mtime > ABANDONED:
                with locked(folder):
                    shutil.rmtree(folder)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep a folder locked, at most until this process ends; raises BlockingIOError if another has locked it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def csv_source(columns: Iterable[str], *options: str) -> str:
    """SQL for the records of a CSV file, a parameter of the query, as text in these columns."""
    types = ", ".join(f"'{column}': 'varchar'" for column in columns)
    dialect = "auto_detect = false, delim = ',', quote = '\"', escape = '\"', buffer_size = 8000000"
    return f"read_csv(?, columns = {{{types}}}, {', '.join([dialect, 'hive_partitioning = false', *options])})"
