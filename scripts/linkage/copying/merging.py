"""The results of several shards in one file, in an order in which the newest line about a destination is the last."""

import csv
import fcntl
import io
import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NamedTuple

from linkage.copying.results import COLUMNS, COPY_RESULTS, HEADER
from linkage.copying.shards import named_shard
from linkage.copying.tables import Tables
from linkage.errors import UnusableInput
from linkage.files import csv_line, write_atomically
from linkage.ledger import TIME_COLUMN, LedgerFile, Records, as_written
from linkage.seeds import CUT_OFF

MERGED = COPY_RESULTS._replace(elsewhere="name another file with -o")
SHARD = COPY_RESULTS._replace(elsewhere="merge the other files without this one")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
BATCH = 10_000  # lines that are in memory at a time
JOINED = 250_000  # lines that are joined at a time
NAMED = 10  # shards that a warning names


class Merged(NamedTuple):
    """How many lines the shards' files have, how many of them were added, and how many the merged file has now."""

    read: int
    added: int
    lines: int


@contextmanager
def open_shards(paths: list[Path]) -> Iterator[list[tuple[Path, BinaryIO]]]:
    """The shards' files, open for reading and locked against runs that write to them.

    Raises UnusableInput if a file cannot be read or is named twice, or if a run is writing to it.
    """
    with ExitStack() as stack:
        files: list[tuple[Path, BinaryIO]] = []
        for path in paths:
            try:
                file = stack.enter_context(path.open("rb"))
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UnusableInput(f"a run is writing to {path}; wait until it ends, and merge again") from None
            except OSError as error:
                raise UnusableInput(f"cannot read {path}: {error.strerror}; name the results files of shards") from None
            if any(os.path.sameopenfile(file.fileno(), other.fileno()) for _, other in files):
                raise UnusableInput(f"{path} is named twice; name each file once")
            files.append((path, file))
        yield files


def refuse_same(merged: Path, paths: list[Path]) -> None:
    """Raise UnusableInput if the file to write to is one of those to read."""
    for path in paths:
        if merged.exists() and merged.samefile(path):
            raise UnusableInput(f"{path} is the file to write to; name only the results files of shards")


def missing_shards(paths: list[Path]) -> Iterator[str]:
    """A sentence for each set of shards, by the names of their files, of which some are not among `paths`."""
    sets: dict[tuple[Path, int], set[int]] = {}
    for path in paths:
        if found := named_shard(path):
            base, shard = found
            sets.setdefault((base, shard.shards), set()).add(shard.number)
    for (_, shards), numbers in sorted(sets.items()):
        if missing := [number for number in range(1, shards + 1) if number not in numbers]:
            named = ", ".join(map(str, missing[:NAMED]))
            more = f" and {len(missing) - NAMED:,} more" if len(missing) > NAMED else ""
            are = "shard {} is" if len(missing) == 1 else "shards {} are"
            yield f"{are.format(named + more)} missing of {shards:,}; merge their files, too, once they have run"


def merge(tables: Tables, merged: LedgerFile, files: list[tuple[Path, BinaryIO]]) -> Merged:
    """Add to a results file, which is locked, the lines of shards' files that it does not have, and replace it at once.

    A line is the same if all its values are; a file that has it twice adds it twice. Lines of different
    files are in the order of their times, and those of one file in its own order: there the one that appears
    later is newer, even if a clock was set back. The file is not touched if there is nothing to add.

    Raises UnusableInput if a file cannot be read.
    """
    tables.run("create table line (file integer, position bigint, written_at text, record text)")
    take_lines(tables, 0, merged.read())
    for number, (path, file) in enumerate(files, 1):
        records = Records(path, file, SHARD)
        take_lines(tables, number, records)
        if records.is_torn:
            print(f"{path}: {CUT_OFF}", file=sys.stderr)
    find_new_lines(tables)
    [(old, read, added)] = tables.run(
        "select count(*) filter (file = 0), count(*) filter (file > 0), (select count(*) from new_line) from line"
    )
    if added:
        choose_lines(tables)
        ordered = tables.connection.execute("select record from chosen order by written_at, file, position")
        with write_atomically(merged.path) as target:
            target.write(HEADER.decode())
            while page := ordered.fetchmany(BATCH):
                target.writelines(record for (record,) in page)
    return Merged(int(read), int(added), int(old + added))


def take_lines(tables: Tables, file: int, records: Iterable[bytes]) -> None:
    """Put a file's records into the table `line`, each with the latest time that the file has up to it."""
    latest = ""
    time_column = COLUMNS.index(TIME_COLUMN)
    with tables.connection.cursor() as cursor:
        appender = cursor.appender("line")
        numbered = enumerate(records)
        while batch := list(islice(numbered, BATCH)):
            rows = []
            for position, record in batch:
                text = record.decode()
                if '"' in text:
                    values = next(csv.reader(io.StringIO(text, newline="")))
                    text = csv_line(values)
                else:
                    values = text.split(",", time_column + 1)
                time = values[time_column]
                latest = max(latest, time if TIME.fullmatch(time) else as_written(time))
                rows.append((file, position, latest, text))
            appender.append_rows(rows)
        appender.flush()


def find_new_lines(tables: Tables) -> None:
    """Make the table `new_line` (`file`, `position`) of the lines that file 0 does not have, each of one file only.

    Lines are compared by MD5 of 128 bits, so that ten million fit into little memory.
    """
    tables.run("create table digested as select file, position, md5_number(record) as digest from line")
    tables.run("""
        create table identified as
        select file, position, digest, row_number() over (partition by digest, file order by position) as repetition
        from digested
    """)
    tables.run("drop table digested")
    tables.run("""
        create table new_line as
        select min(file) as file, arg_min(position, file) as position
        from identified
        group by digest, repetition
        having min(file) > 0
    """)
    tables.run("drop table identified")


def choose_lines(tables: Tables) -> None:
    """Make the table `chosen` of the lines of file 0 and the new ones of the others.

    They are joined a part at a time: with all of ten million at once, DuckDB exceeds its memory limit.
    """
    tables.run("create table chosen as from line where file = 0")
    for file, last in tables.run("select file, max(position) from line where file > 0 group by file order by file"):
        for first in range(0, last + 1, JOINED):
            part = f"file = {file} and position between {first} and {first + JOINED - 1}"
            tables.run(
                f"insert into chosen from (from line where {part}) as part "
                f"semi join (from new_line where {part}) as new using (position)"
            )
