"""Write the seed `filemaker_images_metadata.csv` from a FileMaker export, and report what the export looks like.

Every value stays as FileMaker wrote it; only the character encoding and FileMaker's own
separators are converted. See docs/specification.md, FileMaker export.
"""

import argparse
import csv
import os
from datetime import datetime
from itertools import islice
from pathlib import Path

import pandas as pd

from linkage.errors import UnusableInput
from linkage.filemaker.export.columns import EXPORT_COLUMNS, SEED, Columns, export_columns, parse_columns
from linkage.filemaker.export.date_order import configured_date_order, date_order_evidence
from linkage.filemaker.export.judgement import column_doubts, judge_columns
from linkage.filemaker.export.layout import find_layout
from linkage.filemaker.export.reading import read_text
from linkage.filemaker.export.records import as_frame, read_records
from linkage.filemaker.export.report import (
    describe_columns,
    describe_dates,
    describe_empty,
    describe_fill,
    describe_layout,
)
from linkage.files import csv_line, csv_lines, write_atomically
from linkage.paths import data_folder, place
from linkage.seeds import seed_path
from linkage.settings import today
from linkage.steps import run_script

# How many rows become CSV at a time: all at once would need more memory.
CHUNK = 10_000


def main() -> None:
    """Read the export, report what it looks like, write the seed.

    A clinic whose records are read by the Data API has no export: without one, and without any option, as
    `make decide` calls this, the seed that the importer wrote is left as it is.
    """
    arguments = parse_arguments()
    if os.environ.get("FILEMAKER_URL") and not (place("FILEMAKER_EXPORT") or any(vars(arguments).values())):
        print(describe_imported(data_folder() / f"{SEED}.csv"))
        return
    export = export_path(arguments.export)
    chosen_columns = columns_option(arguments.columns)

    text, encoding = read_text(export, arguments.encoding, chosen_columns)
    layout = find_layout(text, export.suffix, chosen_columns)
    columns = export_columns(layout.header, chosen_columns)
    fields, breaks = read_records(text, layout, columns)
    del text
    judgements = judge_columns(fields, columns, layout.header is not None)
    frame = as_frame(fields, columns)
    del fields
    configured = configured_date_order()
    evidence = date_order_evidence(frame["recid"], frame["date"], today())

    lines = [
        f"encoding          {encoding}",
        *describe_layout(layout),
        f"rows              {len(frame):,}",
        f"inside values     {breaks}",
        *describe_fill(frame),
        *describe_columns(layout.header, columns, judgements),
        *describe_empty(frame, columns),
        *describe_dates(evidence, configured),
        *column_doubts(frame, judgements, configured, layout.header is not None),
    ]
    print("\n".join(lines))
    if arguments.check:
        print("Nothing written (--check).")
        return
    target = arguments.output or data_folder() / f"{SEED}.csv"
    if target.resolve() == export.resolve():
        raise UnusableInput("the export itself would be overwritten; name another file with -o")
    target = seed_path(SEED, arguments.output)
    write_seed(frame, target)
    print(f"Wrote {target}")


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description="Convert a FileMaker export to the seed filemaker_images_metadata.csv."
    )
    parser.add_argument(
        "export",
        metavar="EXPORT",
        nargs="?",
        type=Path,
        help="FileMaker's .tab, .csv or .mer file (default: the environment variable FILEMAKER_EXPORT)",
    )
    parser.add_argument(
        "-o", "--output", metavar="OUT", type=Path, help="the file to write (default: the seed in the data folder)"
    )
    parser.add_argument(
        "--columns",
        metavar="a,b,c",
        help="the columns of an export without a header, in order, with - for one to drop "
        f"(default: the environment variable FILEMAKER_COLUMNS, or {','.join(EXPORT_COLUMNS)})",
    )
    parser.add_argument(
        "--encoding",
        metavar="E",
        help="the export's encoding, as Python names it, such as utf-8 or cp1252 (default: detected from the content)",
    )
    parser.add_argument("--check", action="store_true", help="report only, write nothing")
    return parser.parse_args()


def export_path(argument: Path | None) -> Path:
    """The export that the argument names, or else `FILEMAKER_EXPORT`. Raises UnusableInput if neither does."""
    export = argument or place("FILEMAKER_EXPORT")
    if export is None:
        raise UnusableInput("which export is to be converted? name its file, or set FILEMAKER_EXPORT")
    return export


def describe_imported(seed: Path) -> str:
    """Say how many records the importer has written, and when. Raises UnusableInput if there are none."""
    try:
        with seed.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            records = sum(1 for _ in csv.reader(file)) - 1
            written = datetime.fromtimestamp(os.fstat(file.fileno()).st_mtime)
    except FileNotFoundError:
        records = 0
    except (OSError, csv.Error) as error:
        raise UnusableInput(f"{seed} cannot be read: {error}; run import_filemaker_images.py again") from None
    if records < 1:
        raise UnusableInput(
            f"{seed} has no records: run import_filemaker_images.py, which reads them from FILEMAKER_URL, or name an "
            "export, for example in FILEMAKER_EXPORT"
        )
    return (
        "No export is named, and FILEMAKER_URL is set: the records are those that import_filemaker_images.py has read\n"
        f"{seed} has {records:,} records and is from {written:%Y-%m-%d %H:%M}; to read them again, run the importer"
    )


def columns_option(argument: str | None) -> Columns | None:
    """The columns in `--columns`, or else in `FILEMAKER_COLUMNS`; None if neither names any."""
    if argument is not None:
        return parse_columns(argument)
    variable = os.environ.get("FILEMAKER_COLUMNS")
    return parse_columns(variable, "FILEMAKER_COLUMNS") if variable else None


def write_seed(frame: pd.DataFrame, path: Path) -> None:
    """Write the seed as CSV."""
    with write_atomically(path) as file:
        file.write(csv_line(frame.columns))
        rows = zip(*(frame[name].to_list() for name in frame.columns), strict=True)
        while lines := csv_lines(islice(rows, CHUNK)):
            file.write(lines)


if __name__ == "__main__":
    run_script(main)
