"""The copy manifest in a DuckDB file: read once, and refused as a whole if one of its rows must not be copied."""

import codecs
import csv
import shutil
from pathlib import Path
from typing import NamedTuple

import duckdb

from linkage.copying.tables import Tables, csv_source
from linkage.errors import UnusableInput
from linkage.paths import data_folder
from linkage.seeds import SEED_COLUMNS

COLUMNS = (
    "image_id", "source_bucket", "source_key", "source_etag", "source_size", "destination_bucket", "destination_key",
)  # fmt: skip
LAST = 2**62  # above all row numbers
FOLDABLE = r"\\|//|^/|/$|(^|/)\.\.?(/|$)"
REJECTED = {
    "MISSING COLUMNS": "has too few fields",
    "TOO MANY COLUMNS": "has too many fields",
    "INVALID ENCODING": "is not UTF-8",
    "UNQUOTED VALUE": "has quotation marks that do not match",
}


class ManifestRow(NamedTuple):
    """One object to copy; the size in bytes, the ETag without quotation marks."""

    image_id: str
    source_bucket: str
    source_key: str
    source_etag: str
    source_size: int
    destination_bucket: str
    destination_key: str


def read_manifest(tables: Tables, path: Path) -> None:
    """Make the tables `manifest` (`row_number` from 1, and the columns) and `source_prefix`, and check every row.

    A destination may appear only once, and may not be under the prefix of any
    row's source, in any bucket. Keys are compared unchanged and folded,
    because some stores fold them.

    Raises UnusableInput, with the line, if one row must not be copied.
    """
    copy = tables.folder / "manifest.csv"
    try:
        source = path.open("rb")
    except OSError as error:
        raise UnusableInput(
            f"cannot read the manifest {path}: {error.strerror}; `dbt build` writes it when all its tests pass"
        ) from None
    with source, copy.open("wb") as target:
        shutil.copyfileobj(source, target)  # so that what is copied is what was checked
    load_records(tables, copy, read_header(copy))
    copy.unlink()
    empty = " ".join(f"when {column} is null then '{column} is empty'" for column in COLUMNS)
    not_a_size = "not regexp_full_match(source_size, '[0-9]{1,18}') then 'source_size is not a number of bytes'"
    refuse_first(
        tables,
        f"select row_number, case {empty} when {not_a_size} end as problem from manifest where problem is not null",
        "run `dbt build` again",
    )
    tables.run("alter table manifest alter source_size type bigint")
    make_source_prefixes(tables)
    check_destinations(tables)


def read_header(path: Path) -> list[str]:
    """The names in the first line: the columns, in any order."""
    with path.open("rb") as file:
        first = file.readline().removeprefix(codecs.BOM_UTF8)
    if not first:
        raise UnusableInput("the manifest is empty, without even a header line; run `dbt build` again")
    try:
        header = next(csv.reader([first.decode()]))
    except UnicodeDecodeError:
        raise UnusableInput("manifest line 1 is not UTF-8; run `dbt build` again") from None
    except csv.Error:
        header = []
    if sorted(header) != sorted(COLUMNS):
        raise UnusableInput(
            f"manifest line 1: the columns must be {','.join(COLUMNS)}, each once and no others; run `dbt build` again"
        )
    return header


def load_records(tables: Tables, path: Path, header: list[str]) -> None:
    """Make the table `manifest` from the file's records; every value is text, or null if it is empty."""
    malformed = UnusableInput(
        "the manifest's quotation marks or line ends are not those of a CSV file; run `dbt build` again"
    )
    lines = 0
    with path.open("rb") as file:
        for lines, content in enumerate(file, 1):
            if b"\0" in content:
                raise UnusableInput(f"manifest line {lines} has a NUL byte; run `dbt build` again")
    try:
        tables.run(
            f"create table manifest as select row_number() over () as row_number, {', '.join(COLUMNS)} "
            f"from {csv_source(header, 'header = true', 'store_rejects = true')}",
            str(path),
        )
    except duckdb.InvalidInputException:
        raise malformed from None
    rejected = "select error_type, line_byte_position from reject_errors order by 2, column_idx limit 1"
    with path.open("rb") as file:
        for kind, position in tables.run(rejected):
            line = 1
            while file.tell() + 1 < position and file.readline():
                line += 1
            what = REJECTED.get(kind, "is not a line of a CSV file")
            raise UnusableInput(f"manifest line {line} {what}; run `dbt build` again")
    if lines != lines_before(tables, LAST):
        raise malformed  # DuckDB leaves empty lines out, and some malformed ones, without reporting them


def refuse_first(tables: Tables, problems: str, remedy: str) -> None:
    """Raise UnusableInput for the first row that a query returns (row number, problem), with its line."""
    for row_number, problem in tables.run(f"{problems} order by row_number limit 1"):
        raise UnusableInput(f"manifest line {1 + lines_before(tables, row_number)}: {problem}; {remedy}")


def lines_before(tables: Tables, row_number: int) -> int:
    """How many lines come before a row; values may have line feeds."""
    texts = [name for name in COLUMNS if name != "source_size"]
    feeds = " + ".join(rf"coalesce(length({name}) - length(replace({name}, e'\n', '')), 0)" for name in texts)
    [(lines,)] = tables.run(f"select coalesce(sum(1 + {feeds}), 0) from manifest where row_number < ?", row_number)
    return 1 + int(lines)


def make_source_prefixes(tables: Tables) -> None:
    """Make the table `source_prefix` (`bucket`, `prefix`, `rows`): where the originals are, also folded (0 rows).

    An object's prefix is its key without `<recid>.<extension>`, or else its folder.
    """
    tables.run(
        r"""
        create table source_prefix as
        select
            source_bucket as bucket,
            if(
                regexp_matches(source_key, '[0-9]+\.[^/.]+$'),
                regexp_replace(source_key, '[0-9]+\.[^/.]+$', ''),
                regexp_extract(source_key, '(?s)^(.*/)?')
            ) as prefix,
            count(*) as rows,
        from manifest
        group by all
        """
    )
    prefixes = tables.run("select bucket, prefix from source_prefix where regexp_matches(prefix || 'x', ?)", FOLDABLE)
    folded = [fold(f"{prefix}x").removesuffix("x") for _, prefix in prefixes]
    tables.run(
        "insert into source_prefix select unnest(?::varchar[]), unnest(?::varchar[]), 0",
        [bucket for bucket, _ in prefixes], folded,
    )  # fmt: skip


def check_destinations(tables: Tables) -> None:
    """Raise UnusableInput for the first destination that is under a source prefix, or that appears twice."""
    keys = tables.run(
        "select row_number, destination_key from manifest where regexp_matches(destination_key, ?)", FOLDABLE
    )
    tables.run(
        "create table folded as select unnest(?::bigint[]) as row_number, unnest(?::varchar[]) as key",
        [row_number for row_number, _ in keys], [fold(key) for _, key in keys],
    )  # fmt: skip
    tables.run("""
        create view destination as
        select row_number, destination_bucket as bucket, destination_key as key from manifest
        union all
        select row_number, destination_bucket, key from manifest inner join folded using (row_number)
    """)
    # With a slash, because where keys are paths "a/b" hides everything under "a/b/".
    refuse_first(
        tables,
        """
        select row_number, 'the destination is under a source prefix, which is a backup and is never written to'
        from destination
        cross join (select distinct length(prefix) as characters from source_prefix)
        semi join source_prefix
            on source_prefix.prefix = left(key || '/', characters)
            and (source_prefix.prefix <> '' or source_prefix.bucket = destination.bucket)
        """,
        "set destination_key_template or destination_bucket, and run `dbt build` again",
    )
    refuse_first(
        tables,
        """
        with repeated as (select bucket, key from destination group by all having count(*) > 1)
        select row_number, 'the destination already appears in an earlier line'
        from (
            select row_number, min(row_number) over (partition by bucket, key) as first_row
            from destination semi join repeated using (bucket, key)
        )
        where row_number > first_row
        """,
        "set destination_key_template to a pattern that differs for each image, and run `dbt build` again",
    )


def input_paths() -> list[Path]:
    """The seeds in the data folder on which a manifest depends: all but the results of copying."""
    return [data_folder() / f"{seed}.csv" for seed in SEED_COLUMNS if seed != "copy_results"]


def find_buckets(tables: Tables) -> list[str]:
    """The buckets of the manifest's sources and destinations."""
    both = "select source_bucket from manifest union select destination_bucket from manifest order by 1"
    return [bucket for (bucket,) in tables.run(both)]


def fold(key: str) -> str:
    """The key as read by a store that treats keys as paths (SeaweedFS: `a//b` and `a\\b` are `a/b`)."""
    segments: list[str] = []
    for segment in key.replace("\\", "/").split("/"):
        if segment == "..":
            del segments[-1:]
        elif segment not in ("", "."):
            segments.append(segment)
    return "/".join(segments)
