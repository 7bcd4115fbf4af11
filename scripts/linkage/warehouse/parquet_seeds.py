"""The seeds as Parquet files for Spark, whose own CSV reader takes files that must be refused.

It lets a quotation mark that is never closed swallow the rest of a file, and reads bytes that are not UTF-8 as another
character. So the seeds are read here, by the rules of the build on DuckDB.
"""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import duckdb
import yaml

from linkage.errors import UnusableInput
from linkage.files import lock, make_temporary, sync_folder, take_names
from linkage.paths import PROJECT_ROOT, data_folder, data_folder_name
from linkage.seeds import SEED_COLUMNS, literal, load_seed
from linkage.warehouse.marts import LIMITS

DECLARED = PROJECT_ROOT / "models" / "staging" / "seeds.yml"
# Written last: where it is missing, the folder's seeds do not belong together.
STAGED = "staged.parquet"
WORK = ".staging-"


class Seed(NamedTuple):
    """A seed as models/staging/seeds.yml declares it; `appended`: a step may be appending to the file just now."""

    name: str
    columns: list[str]
    record_number: bool
    appended: bool

    @property
    def path(self) -> Path:
        """The CSV file, as macros/data_folder.sql finds it: in the data folder, or a list of the project's own."""
        folder = data_folder() if self.name in SEED_COLUMNS else PROJECT_ROOT / "seeds" / "reference"
        return folder / f"{self.name}.csv"


def declared_seeds() -> list[Seed]:
    """All seeds of the project: those of the data folder and those of seeds/reference."""
    seeds = []
    for declared in yaml.safe_load(DECLARED.read_text(encoding="utf-8"))["seeds"]:
        meta = declared.get("config", {}).get("meta", {})
        columns = [column["name"] for column in declared["columns"]]
        seeds.append(
            Seed(declared["name"], columns, meta.get("record_number", False), meta.get("appended", False)),
        )
    return seeds


def stage_seeds(folder: Path) -> dict[str, int]:
    """Write each seed to `{seed}.parquet` in `folder`, which is made (0700), and `staged.parquet` last.

    Every column is text, but for the number of the record where a seed has one;
    rows keep their order. `staged.parquet` has a row per seed: its rows, the SHA-256
    (hex) of the CSV file as it was read, the data folder as `build_settings` spells
    it, and the time (UTC). It is removed first, so that a run that ends early leaves
    none. Memory does not grow with the seeds.

    Returns the number of rows by seed.

    Raises UnusableInput if a seed cannot be read or changes meanwhile, the folder
    cannot be written to, or another run is writing to it.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(folder), TemporaryDirectory(dir=folder, prefix=WORK) as work:
            (folder / STAGED).unlink(missing_ok=True)
            sync_folder(folder)
            with duckdb.connect(config={**LIMITS, "temp_directory": f"{work}/spilled"}) as connection:
                connection.execute(
                    "create table staged (seed varchar, row_count bigint, sha256 varchar, data_folder varchar,"
                    " staged_at varchar)"
                )
                now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
                for seed in declared_seeds():
                    sha256 = load(connection, seed, Path(work))
                    count = write_parquet(connection, "seed", folder / f"{seed.name}.parquet")
                    row = [seed.name, count, sha256, data_folder_name(), now]
                    connection.execute("insert into staged values (?, ?, ?, ?, ?)", row)
                write_parquet(connection, "staged", folder / STAGED)
                return dict(connection.execute("select seed, row_count from staged").fetchall())
    except OSError as error:
        raise UnusableInput(
            f"cannot write to {folder}: {error.strerror}; correct that, or name another folder"
        ) from None
    except duckdb.Error as error:  # its own words may have values of a row
        raise UnusableInput(
            f"the seeds cannot be written to {folder} ({type(error).__name__}): make sure that the disk has room, and "
            "run again"
        ) from None


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other runs out of a folder; raises UnusableInput if one is in it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if not lock(descriptor):
            raise UnusableInput(f"another run is writing to {folder}: wait until it ends, then run again")
        for leftover in folder.glob(f"{WORK}*"):  # of a run that was killed
            shutil.rmtree(leftover)
        yield
    finally:
        os.close(descriptor)


def load(connection: duckdb.DuckDBPyConnection, seed: Seed, work: Path) -> str | None:
    """Load a seed's file into the table `seed`; returns the SHA-256 (hex) of what was read.

    A file that is appended to is copied to the folder `work` first, and the copy is read.
    """
    path = seed.path
    if seed.appended:
        with suppress(OSError):  # about which load_seed has a sentence
            path = Path(shutil.copyfile(path, work / path.name))
    before = digest(path)
    problem = load_seed(
        connection, path, "seed", seed.columns, record_number=seed.record_number, appended=seed.appended
    )
    if problem:
        raise UnusableInput(problem)
    if digest(path) != before:
        raise UnusableInput(f"{path.name} changed while it was read: wait until nothing writes to it, then run again")
    return before


def digest(path: Path) -> str | None:
    """The SHA-256 (hex) of a file; None if it cannot be opened."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def write_parquet(connection: duckdb.DuckDBPyConnection, table: str, path: Path) -> int:
    """Write a table, in its order, to the private file `path`, which appears whole; returns the number of rows."""
    descriptor, temporary = make_temporary(path)
    try:
        target = literal(str(temporary))
        written = connection.execute(
            f"copy {table} to {target} (format parquet, compression zstd, use_tmp_file false)"
        ).fetchone()
        os.fsync(descriptor)
        take_names([temporary], [path])
    finally:
        temporary.unlink(missing_ok=True)
        os.close(descriptor)
    sync_folder(path.parent)
    return written[0] if written else 0
