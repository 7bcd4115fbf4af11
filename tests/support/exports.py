"""FileMaker exports to convert, and what becomes of them."""

import csv
import re

import duckdb

import convert_fm_tab_to_csv as converter
from linkage.seeds import SEED_COLUMNS

SEED = SEED_COLUMNS["filemaker_images_metadata"]
UUID = "F0000000-0000-0000-0000-00000000000A"
COLUMNS = ("date", "fileName", "id", "id_Contact", "Name_of_file", "NexusExportDate", "recid", "Type")
DUCKDB = duckdb.connect()
BOMS = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}
# a record that reads, to whose kind most of a column must belong
GOOD_ROW = ("1/2/2020", "a.jpg", "", UUID, "", "", "1", "Dorsal")
# form: delimiter, whether values are quoted, whether there is a header
FORMS = {
    "tab": ("\t", False, False),
    "tab with header": ("\t", False, True),
    "csv": (",", True, False),
    "csv with header": (",", True, True),
    "mer": (",", True, True),
    "mer with semicolons": (";", True, True),
}


def as_seed(row):
    """A row of the export as the seed has it."""
    found = dict(zip(COLUMNS, row, strict=True))
    return tuple(found.get(name, "").replace("\x0b", "\n").replace("\x1d", "\n") for name in SEED)


def written(form, rows, end="\r", columns=COLUMNS):
    """The rows as FileMaker writes them in this form."""
    delimiter, is_quoted, has_header = FORMS[form]
    if is_quoted:
        rows = [['"' + value.replace('"', '""') + '"' for value in row] for row in rows]
    if has_header:
        rows = [[f'"{name}"' for name in columns] if form == "csv with header" else columns, *rows]
    return "".join(delimiter.join(row) + end for row in rows)


def tab(rows, end="\r"):
    return written("tab", rows, end)


class Folder:
    """A folder to convert in."""

    def __init__(self, path, run_here):
        self.path, self.run_here = path, run_here
        self.out, self.data = path / "out.csv", path / "data"

    def export(self, content, name="export.tab", encoding="utf-8"):
        path = self.path / name
        path.write_bytes(content if isinstance(content, bytes) else BOMS.get(encoding, b"") + content.encode(encoding))
        return path

    def run(self, *arguments, data=None, variables=None):
        """Run the script in this process: exit code, stdout, stderr."""
        environment = {"PYTHON_DOTENV_DISABLED": "1", "LINKAGE_DATA": str(data or self.data)} | (variables or {})
        done = self.run_here(converter.main, *arguments, environment=environment)
        return done.returncode, done.stdout, done.stderr

    def converted(self, content, *options, name="export.tab", encoding="utf-8"):
        """The rows made of `content`, which the csv module and DuckDB agree on, and what was printed."""
        code, out, err = self.run(self.export(content, name, encoding), "-o", self.out, *options)
        assert (code, err) == (0, "")
        return read_seed(self.out), out

    def refused(self, content, *options, name="export.tab", encoding="utf-8"):
        """The one line that refuses `content`; an older seed stays as it was."""
        self.out.write_text("older")
        before = sorted(self.path.iterdir())
        export = self.export(content, name, encoding)
        code, out, err = self.run(export, "-o", self.out, *options)
        assert (code, out) == (2, "")
        assert self.out.read_text() == "older"
        assert sorted(self.path.iterdir()) == sorted({*before, export})
        assert re.fullmatch("error: [^\n]+\n", err)
        return err


def read_seed(path):
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file, strict=True)
    assert tuple(header) == SEED
    by_duckdb = DUCKDB.execute(
        "select * from read_csv(?, header = true, all_varchar = true, auto_detect = false, delim = ',', quote = '\"', "
        "escape = '\"', nullstr = '', strict_mode = true, parallel = false, columns = "
        + "{" + ", ".join(f"'{name}': 'varchar'" for name in SEED) + "})",
        [str(path)],
    )  # fmt: skip
    rows = [tuple(row) for row in rows]
    assert [tuple(value or "" for value in row) for row in by_duckdb.fetchall()] == rows
    return rows
