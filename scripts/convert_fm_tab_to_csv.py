"""Write the seed `filemaker_images_metadata.csv` from a FileMaker export, and say what the export looks like.

The export's forms and the seed's columns are fixed by the contract's §3 and §2. Every
value stays as FileMaker wrote it; only the character set and FileMaker's own
separators are undone. What is printed are counts and names of columns, never a value.
"""

import argparse
import csv
import re
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from linkage.errors import UnusableInput, run_script
from linkage.filemaker.date_order import ORDERS, WHITE_SPACE, date_order_evidence, supported_order, undecided_orders
from linkage.filemaker.encodings import BOMS, legacy_encoding
from linkage.files import write_atomically
from linkage.paths import data_folder
from linkage.seeds import SEED_COLUMNS, seed_path
from linkage.settings import project_var

SEED = "filemaker_images_metadata"
SEED_NAMES = {name.lower(): name for name in SEED_COLUMNS[SEED]}
EXPORT_COLUMNS = ("date", "fileName", "id", "id_Contact", "Name_of_file", "NexusExportDate", "recid", "Type")

SEPARATORS = {"\r\n": "CRLF", "\r": "CR", "\n": "LF"}
# Each separator where it is not part of another one.
ALONE = {"\r\n": r"\r\n", "\r": r"\r(?!\n)", "\n": r"(?<!\r)\n"}
# FileMaker's signs for a return inside a field and for the next repetition of one.
VT, GS = "\x0b", "\x1d"
NEEDS_QUOTES = re.compile('[",\r\n]')


class Form(NamedTuple):
    """A way to tell fields apart, and the file name endings that go with it."""

    name: str
    delimiter: str
    is_quoted: bool
    suffixes: tuple[str, ...]


FORMS = (
    Form("tab-separated, nothing quoted", "\t", False, (".tab", ".txt", ".tsv")),
    Form("comma-separated, quoted", ",", True, (".csv", ".mer")),
    Form("semicolon-separated, quoted", ";", True, (".mer", ".csv")),
)
# Enough characters to tell one form from another.
SAMPLE = 200_000


class Layout(NamedTuple):
    """How an export's text is laid out."""

    form: Form
    separator: str
    # the names in the header, plain (`plain_name`); None where there is no header
    header: list[str] | None


def main() -> None:
    """Read the export, tell what it is, write the seed."""
    arguments = parse_arguments()
    export: Path = arguments.export
    chosen_columns = parse_columns(arguments.columns)

    text, encoding = decode(read_bytes(export), arguments.encoding, export, chosen_columns)
    layout = find_layout(text, export, chosen_columns)
    columns = export_columns(layout, chosen_columns)
    frame, breaks = read_records(text, layout, columns)
    del text
    configured = configured_date_order()
    evidence = date_order_evidence(frame["recid"], frame["date"], today())

    lines = [
        f"encoding          {encoding}",
        f"format            {layout.form.name}",
        f"record separator  {SEPARATORS[layout.separator]}",
        f"header            {'none' if layout.header is None else 'yes, its names give the columns'}",
        f"rows              {len(frame):,}",
        f"inside values     {breaks}",
        *describe_fill(frame),
        *describe_dates(evidence, configured),
    ]
    print("\n".join(lines))
    if arguments.check:
        print("Nothing written (--check).")
        return
    target = arguments.output or data_folder() / f"{SEED}.csv"
    if target.resolve() == export.resolve():
        raise UnusableInput("the export itself would be overwritten; name another file with -o")
    target = seed_path(SEED, arguments.output)
    write_csv(frame, target)
    print(f"Wrote {target}")


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description="Convert a FileMaker export to the seed filemaker_images_metadata.csv."
    )
    parser.add_argument("export", metavar="EXPORT", type=Path, help="FileMaker's .tab, .csv or .mer file")
    parser.add_argument("-o", "--output", metavar="OUT", type=Path, help="write here, not to the data folder")
    parser.add_argument("--columns", metavar="a,b,c", help=f"the export's columns (default {','.join(EXPORT_COLUMNS)})")
    parser.add_argument(
        "--encoding", metavar="E", help="the export's character set, as Python names it (utf-8, cp1252)"
    )
    parser.add_argument("--check", action="store_true", help="report only, write nothing")
    return parser.parse_args()


def plain_name(name: str) -> str:
    """A column's name as it is compared: in lower case, without white space around it and `Table::` before it."""
    return name.rpartition("::")[2].strip(WHITE_SPACE).lower()


def parse_columns(option: str | None) -> list[str] | None:
    """The plain names in `--columns`; None where it is not given."""
    if option is None:
        return None
    columns = [plain_name(name) for name in option.split(",")]
    refuse_unusable_names(columns, "--columns")
    return columns


def refuse_unusable_names(names: Sequence[str], place: str) -> None:
    """Raise UnusableInput for a name that stands twice, or where there is no recid."""
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        known = [SEED_NAMES[name] for name in twice if name in SEED_NAMES]
        which = f" ({', '.join(known)})" if known else ""
        raise UnusableInput(f"{place} has the same column name twice{which}; give each column a name of its own")
    if "recid" not in names:
        raise UnusableInput(f"{place} has no recid column, and without it no image can be found; export recid too")


def read_bytes(export: Path) -> bytes:
    """The export's bytes; UnusableInput where there are none."""
    try:
        data = export.read_bytes()
    except OSError as error:
        raise UnusableInput(f"cannot read {export}: {error.strerror}; name FileMaker's export file") from None
    if not data:
        raise UnusableInput(f"{export} is empty; export the records again")
    return data


def decode(data: bytes, chosen: str | None, export: Path, columns: Sequence[str] | None) -> tuple[str, str]:
    """The export's text, without BOM, and a description of its encoding with the evidence for it.

    `export` and `columns` serve to find a record's number for an error.

    Raises UnusableInput for an unknown encoding and for bytes that cannot be read.
    """
    encoding, description = (chosen, f"{chosen} (named by --encoding)") if chosen is not None else find_encoding(data)
    try:
        text = data.decode(encoding).removeprefix("\ufeff")
        text.encode("utf-8")
    except LookupError:
        raise UnusableInput(f"'{chosen}' is no encoding that Python knows; try utf-8, mac_roman or cp1252") from None
    except UnicodeError as error:
        where = "the file"
        if isinstance(error, UnicodeDecodeError):
            readable = data.decode(encoding, "replace").removeprefix("\ufeff")
            # the error's own object: for utf-8-sig its positions are those behind the BOM
            before = error.object[: error.start].decode(encoding, "replace")
            position = len(before.removeprefix("\ufeff"))
            where = record_at(readable, position, export, columns)
        raise UnusableInput(
            f"{where} holds bytes that are not {encoding}; export again as UTF-8, or name the encoding with --encoding"
        ) from None
    if "\0" in text:
        where = record_at(text, text.index("\0"), export, columns)
        raise UnusableInput(
            f"{where} holds a NUL character, which no text has; export again, or try --encoding utf-16-le"
        )
    return text, description


def find_encoding(data: bytes) -> tuple[str, str]:
    """Python's name for the encoding of `data`, and a description of it with the evidence.

    In turn: a BOM; ASCII; UTF-8; MacRoman or Windows-1252. Where most of what is
    above ASCII is UTF-8 it is UTF-8 with some bytes broken, not one of the last two.

    Raises UnusableInput for what looks like UTF-16 without a BOM.
    """
    for bom, encoding, description in BOMS:
        if data.startswith(bom):
            return encoding, description
    nul_bytes = data.count(0)
    if 4 * nul_bytes > len(data):
        byte_order = "le" if data[1::2].count(0) >= data[::2].count(0) else "be"
        raise UnusableInput(
            f"the file is full of NUL bytes, as UTF-16 without a BOM is; try --encoding utf-16-{byte_order}"
        )
    if data.isascii():
        return "ascii", "ASCII"
    as_utf8 = data.decode("utf-8", "replace")
    broken = as_utf8.count("\ufffd") - data.count("\ufffd".encode())
    whole = len(re.findall(r"[^\x00-\x7f]", as_utf8)) - broken
    if whole > broken:
        return "utf-8", f"UTF-8 ({whole:,} characters above ASCII, all valid)"
    return legacy_encoding(data, likeliest_line_end(data))


def likeliest_line_end(data: bytes) -> bytes:
    """The commonest of CRLF, CR and LF."""
    crlf = data.count(b"\r\n")
    counts = {b"\r\n": crlf, b"\r": data.count(b"\r") - crlf, b"\n": data.count(b"\n") - crlf}
    return max(counts, key=lambda line_end: counts[line_end])


def find_layout(text: str, export: Path, columns: Sequence[str] | None) -> Layout:
    """How the export's `text` is laid out, told from its content.

    The form and the separator are those that give most records the expected number
    of fields, or, where none gives it to half of them, the same number. The form is
    found in the file's first part, the separator in the whole of it.
    """
    expected = len(columns or EXPORT_COLUMNS)

    def form_key(form: Form) -> tuple[bool, float, bool]:
        sample = outside_quotes(text[:SAMPLE], form)
        fits, good, total = max(agreement(sample, form, separator, expected) for separator in SEPARATORS)
        return fits, good / total, export.suffix.lower() in form.suffixes

    form = max(FORMS, key=form_key)
    structure = outside_quotes(text, form)

    def separator_key(separator: str) -> tuple[bool, int, bool]:
        return *agreement(structure, form, separator, expected)[:2], structure.endswith(separator)

    separator = max(SEPARATORS, key=separator_key)
    return Layout(form, separator, find_header(text, form, separator, columns))


def outside_quotes(text: str, form: Form) -> str:
    """The text without what stands between quotation marks, where the form has them."""
    return '"'.join(text.split('"')[::2]) if form.is_quoted else text


def agreement(structure: str, form: Form, separator: str, expected: int) -> tuple[bool, int, int]:
    """How records cut at `separator` agree in their number of fields.

    Whether at least half have the `expected` number; how many have that, or else
    the commonest one; how many records there are (at least 1). A single field is
    no agreement.
    """
    records = re.split(ALONE[separator], structure) if separator in structure else [structure]
    counts = Counter(record.count(form.delimiter) + 1 for record in records if record)
    total = max(counts.total(), 1)
    fits = expected > 1 and 2 * counts[expected] >= total
    fields = expected if fits else max(counts, key=lambda number: counts[number], default=1)
    return fits, counts[fields] if fields > 1 else 0, total


def find_header(text: str, form: Form, separator: str, columns: Sequence[str] | None) -> list[str] | None:
    """The plain names in the first record; None where less than two, or less than half, are names we know."""
    first = text.partition(separator)[0]
    try:
        cells = (
            next(csv.reader([first], delimiter=form.delimiter), []) if form.is_quoted else first.split(form.delimiter)
        )
    except csv.Error:
        return None
    names = [plain_name(cell) for cell in cells]
    known = sum(name in SEED_NAMES or name in (columns or ()) for name in names if name)
    return names if known >= 2 and 2 * known >= len(names) else None


def record_at(text: str, position: int, export: Path, columns: Sequence[str] | None) -> str:
    """What to call the record of the character at `position`."""
    layout = find_layout(text, export, columns)
    return record_name(outside_quotes(text[:position], layout.form).count(layout.separator), layout)


def record_name(index: int, layout: Layout) -> str:
    """What to call the file's record number `index`, counted from 0: data records are counted from 1."""
    if layout.header is None:
        return f"record {index + 1}"
    return f"record {index} ({index + 1} of the file, with its header)" if index else "the header"


def export_columns(layout: Layout, chosen: list[str] | None) -> list[str]:
    """The plain names of the export's columns: the header's, else the chosen, else FileMaker's usual ones.

    Raises UnusableInput where the header cannot be used or disagrees with `chosen`.
    """
    if layout.header is None:
        return chosen or [plain_name(name) for name in EXPORT_COLUMNS]
    refuse_unusable_names(layout.header, "the header")
    if chosen and [SEED_NAMES.get(name) for name in chosen] != [SEED_NAMES.get(name) for name in layout.header]:
        raise UnusableInput(
            "the file's own header disagrees with --columns; leave --columns away, the header is enough"
        )
    return layout.header


def read_records(text: str, layout: Layout, columns: Sequence[str]) -> tuple[pd.DataFrame, str]:
    """The export as the seed's columns, all text, and a description of the line breaks found inside values.

    Columns that the seed does not have are dropped; those that the export lacks are
    empty. A VT and a GS each become a line feed; any other character stays.

    Raises UnusableInput where a record has a wrong number of fields, or there is none.
    """
    delimiter, separator = layout.form.delimiter, layout.separator
    if layout.form.is_quoted:
        text, delimiter, separator = without_quotes(text, layout)
    records = text.split(separator)
    del text
    while records and not records[-1]:
        records.pop()
    for index, record in enumerate(records):
        fields = record.count(delimiter) + 1
        if fields != len(columns):
            own_columns = "" if layout.header else ", or name the export's own columns, in their order, with --columns"
            raise UnusableInput(
                f"{record_name(index, layout)} has {fields} {'field' if fields == 1 else 'fields'}, "
                f"not {len(columns)}; export again{own_columns}"
            )
    if layout.header is not None:
        del records[0]
    if not records:
        raise UnusableInput("the export holds no records; export them again")

    rows = len(records)
    joined = delimiter.join(records)
    del records
    breaks = (
        f"{joined.count(VT):,} VT and {joined.count(GS):,} GS, each now a line feed; "
        f"{joined.count(chr(13)):,} CR and {joined.count(chr(10)):,} LF, kept"
    )
    cells = joined.replace(VT, "\n").replace(GS, "\n").split(delimiter)
    del joined
    found = {SEED_NAMES.get(name): cells[place :: len(columns)] for place, name in enumerate(columns)}
    frame = pd.DataFrame({name: found.get(name) or [""] * rows for name in SEED_COLUMNS[SEED]}, dtype=object)
    return frame, breaks


def without_quotes(text: str, layout: Layout) -> tuple[str, str, str]:
    """The text with its quoting undone, and the signs that now separate its fields and its records: ones it lacked.

    Raises UnusableInput where a quotation mark stands in the middle of a value, or is never closed.
    """
    edges = (layout.form.delimiter, layout.separator)
    free = (
        chr(code) for code in range(1, sys.maxunicode) if chr(code) not in text and chr(code) not in f"{VT}{GS}\r\n"
    )
    delimiter, separator = next(free), next(free)
    # every second piece stands between quotation marks; nothing between two such pieces is a doubled mark
    pieces = text.split('"')
    outside = pieces[::2]
    last = len(outside) - 1
    sound = {piece for piece in set(outside) if not piece or (piece.startswith(edges) and piece.endswith(edges))}
    for place, piece in enumerate(outside):
        if piece in sound:
            continue
        begins_well = place == 0 or piece.startswith(edges)
        ends_well = place == last or piece.endswith(edges)
        if not (begins_well and ends_well):
            before = "".join(outside[: place + 1] if begins_well else outside[:place])
            raise UnusableInput(
                f"{record_name(before.count(layout.separator), layout)} has a quotation mark in the middle of a value; "
                "double it, or use FileMaker's .tab form"
            )
    if len(pieces) % 2 == 0:
        index = "".join(outside).count(layout.separator)
        raise UnusableInput(f"{record_name(index, layout)} opens a quotation mark that is never closed; export again")

    plain = {
        piece: piece.replace(layout.separator, separator).replace(layout.form.delimiter, delimiter)
        for piece in set(outside)
    }
    pieces[::2] = [plain[piece] or '"' for piece in outside]
    pieces[0], pieces[-1] = plain[outside[0]], plain[outside[-1]]
    return "".join(pieces), delimiter, separator


def describe_fill(frame: pd.DataFrame) -> list[str]:
    """How many rows have something in each column, as lines to print."""
    lines = []
    for name in frame.columns:
        filled = sum(1 for value in frame[name] if value.strip(WHITE_SPACE))
        lines.append(f"  {name:<16}{filled:>11,}  {filled / len(frame):>6.1%}")
    return ["filled columns", *lines]


def configured_date_order() -> str:
    """The var `filemaker_date_order`; UnusableInput where it is no order."""
    order = project_var("filemaker_date_order")
    if order not in ORDERS:
        raise UnusableInput("filemaker_date_order in dbt_project.yml is not mdy, dmy or ymd; set it to one of them")
    return order


def today() -> date:
    """The var `today`, or else the machine's local date."""
    setting = project_var("today")
    try:
        return date.fromisoformat(setting) if setting else date.today()
    except ValueError:
        raise UnusableInput("today in dbt_project.yml is no date; write it as YYYY-MM-DD") from None


def describe_dates(evidence: pd.DataFrame, configured: str) -> list[str]:
    """The evidence for each date order and what follows from it, as lines to print."""
    lines = ["date order      readable  impossible   in future  steps back     misfits    weekends"]
    for order in ORDERS:
        row = evidence.loc[order]
        weekends = f"{row['weekends'] / row['readable']:.1%}" if row["readable"] else "-"
        kinds = ("readable", "impossible_here_readable_elsewhere", "in_future", "steps_back", "misfits")
        lines.append(f"  {order:<10}" + "".join(f"{row[kind]:>12,}" for kind in kinds) + f"{weekends:>12}")
    supported = supported_order(evidence, configured)
    if not evidence["readable"].any():
        lines.append("No value of the column date reads as a date in any order.")
    elif supported == configured:
        lines.append(f"The dates support {supported}, as filemaker_date_order says.")
    elif supported is None:
        rivals = " or ".join(undecided_orders(evidence, configured))
        lines.append(
            f"UNDECIDED: filemaker_date_order is {configured}, but the dates would do as {rivals} too. "
            "Few are at work at weekends: the order with the smaller share of them is the likelier one."
        )
    else:
        lines.append(
            f"CONTRADICTED: filemaker_date_order is {configured}, but the dates support {supported}: dbt build fails. "
            f"Set `filemaker_date_order: {supported}` in dbt_project.yml, or give dbt "
            f"--vars '{{filemaker_date_order: {supported}}}'."
        )
    return lines


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """Write the seed (§1: CSV everywhere).

    Not with pandas's `to_csv`: before Python 3.13 the csv module below it leaves a
    value with a lone CR unquoted, and readers take that for the end of a row.
    """
    with write_atomically(path) as file:
        file.write(",".join(frame.columns) + "\n")
        columns = [quoted(frame[name].to_list()) for name in frame.columns]
        file.writelines(",".join(row) + "\n" for row in zip(*columns, strict=True))


def quoted(values: list[str]) -> list[str]:
    """The values of a column as RFC 4180 writes them."""
    if not NEEDS_QUOTES.search("\0".join(values)):
        return values
    return ['"' + value.replace('"', '""') + '"' if NEEDS_QUOTES.search(value) else value for value in values]


if __name__ == "__main__":
    run_script(main)
