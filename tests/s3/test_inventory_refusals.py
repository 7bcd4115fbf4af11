"""What is not whole, not what S3 delivered, or not about the dump is refused, and an older file stays."""

import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from list_s3_objects import main
from tests.support.inventories import OF_VERSIONS, change, objects, part, replace_part, save, write_delivery

SECRET = "mary-smith"  # in every key; no sentence shows it


@pytest.fixture
def refused(tmp_path, run_here) -> Callable[[Path, str], None]:
    """Callable: assert that this delivery is refused with one sentence that matches, and that an older file stays."""

    def check(manifest: Path, saying: str) -> None:
        out = tmp_path / "out.csv"
        out.write_text("older\n")
        run = run_here(main, "--inventory", manifest, "-o", out, environment={"LINKAGE_DATA": str(tmp_path / "data")})
        assert (run.returncode, run.stdout) == (2, "")
        assert re.fullmatch(r"error: [^\n]+\n", run.stderr), run.stderr
        assert re.search(saying, run.stderr), run.stderr
        assert SECRET not in run.stderr
        assert out.read_text() == "older\n"
        assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "out.csv"]

    return check


def edit(changing: Callable[[list[dict]], object]) -> Callable[[Path], None]:
    """A change to the list of files in a manifest."""

    def changed(manifest: Path) -> None:
        files = json.loads(manifest.read_text())["files"]
        changing(files)
        change(manifest, files=files)

    return changed


def flip(path: Path) -> None:
    """Change one bit in the middle of a file."""
    contents = bytearray(path.read_bytes())
    contents[len(contents) // 2] ^= 1
    path.write_bytes(contents)


def another_days(manifest: Path) -> bytes:
    """A file of another day, of the same bucket."""
    return part(write_delivery(manifest.parents[4] / "another day", objects(f"{SECRET}/5"))).read_bytes()


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {  # to a delivery, and what must be said
    "no manifest": (lambda manifest: manifest.unlink(), "manifest.json is missing"),
    "no checksum": (lambda manifest: manifest.with_name("manifest.checksum").unlink(), "manifest.checksum is missing"),
    "wrong checksum": (
        lambda manifest: manifest.with_name("manifest.checksum").write_text("0" * 32),
        "MD5 differs from manifest.checksum",
    ),
    "changed manifest": (
        lambda manifest: manifest.write_text(manifest.read_text().replace("dump", "other")),
        "MD5 differs from manifest.checksum",
    ),
    "cut manifest": (
        lambda manifest: manifest.write_bytes(manifest.read_bytes()[:-2]), "MD5 differs from manifest.checksum"
    ),
    "not JSON": (lambda manifest: save(manifest, b"{"), "not the manifest of an S3 Inventory"),
    "not an object": (lambda manifest: save(manifest, b"[]"), "not the manifest of an S3 Inventory"),
    "not UTF-8": (lambda manifest: save(manifest, b"\xff\xfe\xff"), "not the manifest of an S3 Inventory"),
    "no bucket": (lambda manifest: change(manifest, sourceBucket=None), "not the manifest of an S3 Inventory"),
    "no time": (lambda manifest: change(manifest, creationTimestamp="today"), "not the manifest of an S3 Inventory"),
    "ORC": (lambda manifest: change(manifest, fileFormat="ORC"), "in ORC, .*; choose CSV or Parquet"),
    "another format": (lambda manifest: change(manifest, fileFormat="XML"), "in an unknown format"),
    "a field twice": (lambda manifest: change(manifest, fileSchema="Bucket, Key, key"), "names a field twice"),
    "no file listed": (lambda manifest: change(manifest, files=[]), "lists no file"),
    "a file without MD5": (edit(lambda files: files[1].pop("MD5checksum")), "MD5checksum for file 2"),
    "a file of no size": (edit(lambda files: files[1].update(size="many")), "size or MD5checksum for file 2"),
    "a file twice": (edit(lambda files: files.append(files[0])), "lists a file twice"),
    "a file elsewhere": (
        edit(lambda files: files[1].update(key="inventories/dump/daily/data/../../x")),
        r"outside of the delivery's folder \(file 2\)",
    ),
    "a file above": (edit(lambda files: files[1].update(key="../x")), "outside of the delivery's folder"),
    "a foreign file": (edit(lambda files: files[1].update(key="other/data/x.gz")), "data/x.gz is missing"),
    "a file with a line feed": (edit(lambda files: files[1].update(key="a/b\nc")), "outside of the delivery's folder"),
    "missing": (lambda manifest: part(manifest, 1).unlink(), "data/1.csv.gz is missing"),
    "cut": (
        lambda manifest: part(manifest).write_bytes(part(manifest).read_bytes()[:-1]),
        r"data/0.csv.gz has \d+ bytes, not",
    ),
    "altered": (lambda manifest: flip(part(manifest)), "data/0.csv.gz is not the file that S3 delivered"),
    "another day's": (
        lambda manifest: part(manifest).write_bytes(another_days(manifest)), "data/0.csv.gz (has|is not the file)"
    ),
    "a folder": (
        lambda manifest: (part(manifest).unlink(), part(manifest).mkdir()), "data/0.csv.gz cannot be read"
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", CHANGES)
def test_a_delivery_that_is_not_what_s3_delivered_is_refused(tmp_path, refused, what):
    manifest = write_delivery(tmp_path / "1", objects(*(f"{SECRET}/{number}" for number in range(4))))
    change_delivery, saying = CHANGES[what]
    change_delivery(manifest)
    refused(manifest, saying)


@pytest.mark.parametrize(
    ("field", "kind"),
    [
        *((field, "CSV") for field in ("Bucket", "Key", "Size", "LastModifiedDate", "ETag", *OF_VERSIONS)),
        ("ETag", "Parquet"),
        ("IsLatest", "Parquet"),
    ],
)
def test_an_inventory_without_a_field_that_is_needed_is_refused(tmp_path, refused, field, kind):
    of_versions = field in OF_VERSIONS
    manifest = write_delivery(tmp_path / "1", objects(SECRET), kind, versions=of_versions, without=(field,))
    refused(
        manifest,
        "not all of VersionId, IsLatest" if of_versions else f"without {field}; choose Size, LastModifiedDate and ETag",
    )


ROWS: dict[str, tuple[dict[str, str], str]] = {  # what the third row has in place of its values, and what must be said
    "another bucket": ({"Bucket": "other"}, "is about another bucket"),
    "no bucket": ({"Bucket": ""}, "is about another bucket"),
    "no key": ({"Key": ""}, "has no key"),
    "no size": ({"Size": ""}, "has no size"),
    "a negative size": ({"Size": "-1"}, "has no size"),
    "no ETag": ({"ETag": ""}, "has no ETag"),
    "an empty ETag": ({"ETag": '""'}, "has no ETag"),
    "no time": ({"LastModifiedDate": ""}, "has no LastModifiedDate"),
    "perhaps current": ({"IsLatest": ""}, "does not say whether it is the current version"),
    "perhaps deleted": ({"IsDeleteMarker": ""}, "does not say whether it is the current version"),
}


@pytest.mark.parametrize("kind", ["CSV", "Parquet"])
@pytest.mark.parametrize("what", ROWS)
def test_a_row_that_is_not_as_it_should_be_is_refused(tmp_path, refused, kind, what):
    rows = objects(*(f"{SECRET}/{number}" for number in range(6)))
    values, saying = ROWS[what]
    rows[2] |= values
    manifest = write_delivery(tmp_path / "1", rows, kind, versions=True)
    refused(manifest, rf"data/0.(csv.gz|parquet), (line|row) 2, {saying}")


CURRENT: dict[str, tuple[list[dict[str, str]], str]] = {  # changes to three versions of one key, and what must be said
    "twice": ([{}, {"IsLatest": "false"}, {}], r"(line|row) 1 of .*data/0.* and (line|row) 2 of .*data/0.* are both"),
    "and deleted": ([{}, {"IsDeleteMarker": "true"}, {"IsLatest": "false"}], "are both the current version"),
    "never": ([{"IsLatest": "false"}] * 3, r"(line|row) 1 of .*data/0.* is a version .* no version is the current one"),
}


@pytest.mark.parametrize("kind", ["CSV", "Parquet"])
@pytest.mark.parametrize("what", CURRENT)
def test_a_key_has_one_current_version(tmp_path, refused, kind, what):
    changes, saying = CURRENT[what]
    rows = [objects(f"{SECRET}/1")[0] | values for values in changes]
    manifest = write_delivery(tmp_path / "1", [*rows, *objects(f"{SECRET}/2", f"{SECRET}/0")], kind, versions=True)
    refused(manifest, saying)


@pytest.mark.parametrize("kind", ["CSV", "Parquet"])
def test_a_key_twice_is_refused_where_only_current_versions_are_listed(tmp_path, refused, kind):
    refused(write_delivery(tmp_path / "1", objects(SECRET, "b", "c", SECRET), kind), "(line|row) 1 of .*data/0.* and ")


@pytest.mark.parametrize("kind", ["CSV", "Parquet"])
def test_an_inventory_without_a_current_object_is_refused(tmp_path, refused, kind):
    rows = [row | {"IsDeleteMarker": "true", "Size": "", "ETag": ""} for row in objects(SECRET, "b")]
    refused(write_delivery(tmp_path / "1", rows, kind, versions=True), "has no current object")


LINE = f'"dump","{SECRET}","3","2026-01-02T03:04:05.000Z","{"0" * 32}","STANDARD","false"\n'
LINES: dict[str, tuple[str | bytes, str]] = {  # the second line of a CSV file, and what must be said
    "a key that is not encoded": (LINE.replace(SECRET, SECRET + "%zz"), ", line 2, has no key that can be decoded"),
    "a key that is cut": (LINE.replace(SECRET, SECRET + "%C3%A"), ", line 2, has no key that can be decoded"),
    "a key that is not UTF-8": (LINE.replace(SECRET, SECRET + "%ff"), ", line 2, has no key that can be decoded"),
    "another form of time": (LINE.replace("T03", " 03"), ", line 2, has no LastModifiedDate"),
    "a field less": (LINE.replace('"STANDARD",', ""), "line 2 has 6 fields, not 7"),
    "a field more": (LINE.replace('"STANDARD"', '"STANDARD",""'), "line 2 has more than 7 fields"),
    "a quotation mark": (LINE.replace(SECRET, SECRET + '"'), "line 2"),
    "an open quotation mark": (LINE.replace('3"', "3"), "line 2"),
    "bytes that are not UTF-8": (LINE.encode().replace(b"mary", b"mary\xff"), "line 2 is not UTF-8"),
    "an empty line": ("\n", "3 lines but 2 rows"),
    "a line feed in a key": (LINE.replace("-", "\n", 1), "has 4 lines but 3 rows"),
    "half a line": (LINE[:40], "line 2"),
}


@pytest.mark.parametrize("what", LINES)
def test_a_malformed_line_is_refused(tmp_path, refused, what):
    manifest = write_delivery(tmp_path / "1", objects("1", "2"))
    line, saying = LINES[what]
    lines = [LINE.encode(), line if isinstance(line, bytes) else line.encode(), LINE.replace(SECRET, "3").encode()]
    replace_part(manifest, gzip.compress(b"".join(lines)))
    refused(manifest, f"data/0.csv.gz.* {saying.lstrip(', ')}")


@pytest.mark.parametrize("change_packed", [lambda packed: packed[:-9], lambda packed: b"x" + packed, gzip.decompress])
def test_a_csv_file_that_is_not_whole_gzip_is_refused(tmp_path, refused, change_packed):
    manifest = write_delivery(tmp_path / "1", objects(SECRET, "2"))
    replace_part(manifest, change_packed(part(manifest).read_bytes()))
    refused(manifest, "data/0.csv.gz is not a whole file in gzip format")


TABLES: dict[str, tuple[str, str]] = {  # what a Parquet file has in place of its columns, and what must be said
    "a column less": ("* exclude (e_tag)", "differs from fileSchema in the column e_tag"),
    "columns of versions": ("*, true as is_latest", "differs from fileSchema in the column is_latest"),
    "keys that are not text": ("* replace (encode(key) as key)", "a column key that is not text"),
    "a size that is not whole": ("* replace (size + 0.5 as size)", "row 1, has no size"),
}


@pytest.mark.parametrize("what", TABLES)
def test_a_parquet_file_with_other_columns_is_refused(tmp_path, refused, what):
    manifest = write_delivery(tmp_path / "1", objects(SECRET, "2"), "Parquet")
    columns, saying = TABLES[what]
    other = tmp_path / "other.parquet"
    duckdb.execute(f"copy (select {columns} from '{part(manifest)}') to '{other}'")
    replace_part(manifest, other.read_bytes())
    other.unlink()
    refused(manifest, f"data/0.parquet,? .*{saying}")


@pytest.mark.parametrize("damage", [lambda whole: whole[:-1], lambda whole: b"x" * 99, lambda whole: b"PAR1" * 9])
def test_a_parquet_file_that_cannot_be_read_is_refused(tmp_path, refused, damage):
    manifest = write_delivery(tmp_path / "1", objects(SECRET, "2"), "Parquet")
    replace_part(manifest, damage(part(manifest).read_bytes()))
    refused(manifest, "data/0.parquet is not a Parquet file that can be read")


def test_keys_in_parquet_that_are_not_utf_8_are_refused(tmp_path, refused):
    manifest = write_delivery(tmp_path / "1", objects(SECRET, "2"), "Parquet")
    contents = part(manifest).read_bytes().replace(b"mary-smith", b"mary\xffsmith")
    replace_part(manifest, contents)
    refused(manifest, "data/0.parquet is not a Parquet file that can be read")


def test_a_full_temporary_folder_is_said(tmp_path, refused, monkeypatch):
    manifest = write_delivery(tmp_path / "1", objects(SECRET, "2"))
    monkeypatch.setattr("linkage.s3.inventory.load_csv", no_room)
    refused(manifest, "no room in the temporary folder")


def no_room(*_: object) -> int:
    """What DuckDB says where the disk is full."""
    raise duckdb.IOException(f"could not write: {SECRET}")
