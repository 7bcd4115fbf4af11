"""The tables of one run: a DuckDB file that is gone when the run has ended."""

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

from linkage.errors import UnusableInput
from linkage.files import FULL

MEMORY_LIMIT = "96MB"


class Tables(NamedTuple):
    """A DuckDB connection, to be used by one thread, and the private folder of its file, for what it is to read."""

    connection: duckdb.DuckDBPyConnection
    folder: Path

    def run(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        """The rows that a query gives."""
        return self.connection.execute(query, parameters).fetchall()


@contextmanager
def private_tables() -> Iterator[Tables]:
    """An empty DuckDB file in a new temporary folder (mode 0700), both removed at the end.

    What exceeds MEMORY_LIMIT is on disk there. Python dictionaries or NumPy
    arrays of a million keys would need either more memory or hashes of them.

    Raises UnusableInput if there is no room in it.
    """
    with tempfile.TemporaryDirectory(prefix="image-linkage-") as name:
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


def csv_source(columns: Iterable[str], *options: str) -> str:
    """SQL for the records of a CSV file, a parameter of the query, as texts in these columns."""
    types = ", ".join(f"'{column}': 'varchar'" for column in columns)
    dialect = "auto_detect = false, delim = ',', quote = '\"', escape = '\"', buffer_size = 8000000"
    return f"read_csv(?, columns = {{{types}}}, {', '.join([dialect, *options])})"
