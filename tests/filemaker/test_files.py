"""What tools leave in files: other formats under an export's name, line ends, what comes after the last record."""

import gzip
import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.support.exports import GOOD_ROW, as_seed, read_seed, tab, written

CASES = Path(__file__).parents[1] / "cases"
RECORDS = [(*GOOD_ROW[:6], str(n), text) for n, text in enumerate(["Dorsal", "a\x0bb", 'x "y"  '], 1)]
SEED_ROWS = [as_seed(record) for record in RECORDS]


def zipped(*names):
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(
                name, "application/vnd.oasis.opendocument.spreadsheet" if name == "mimetype" else tab(RECORDS)
            )
    return memory.getvalue()


def stored_mimetype():
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
    return memory.getvalue()


def tarred():
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("export.tab"))
    return memory.getvalue()


OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(512)
FILEMAKER = b"\x00\x01\x00\x00\x00\x02\x00\x01\x00\x05\x00\x02\x00\x02\xc0"
FORMATS = {
    "an Excel workbook": [zipped("[Content_Types].xml", "xl/workbook.xml"), OLE + "Workbook".encode("utf-16-le")],
    "a Word document": [zipped("word/document.xml")],
    "an OpenDocument spreadsheet": [stored_mimetype()],
    "a document of Apple's, such as of Numbers": [zipped("Index/Document.iwa")],
    "a document of an old Microsoft Office": [OLE],
    "a ZIP archive": [zipped("export.tab"), zipped()],
    "a gzip archive": [gzip.compress(tab(RECORDS).encode())],
    "a 7-Zip archive": [b"7z\xbc\xaf\x27\x1c\x00\x04"],
    "a RAR archive": [b"Rar!\x1a\x07\x01\x00"],
    "a bzip2 archive": [b"BZh91AY&SY\x00"],
    "an xz archive": [b"\xfd7zXZ\x00\x00\x04"],
    "a tar archive": [tarred()],
    "a FileMaker database": [FILEMAKER + b"HBAM7" + bytes(1000), FILEMAKER + bytes(1000)],
    "a PDF document": [b"%PDF-1.7\r%\xe2\xe3\xcf\xd3"],
    "a JPEG image": [b"\xff\xd8\xff\xe0\x00\x10JFIF"],
    "a PNG image": [b"\x89PNG\r\n\x1a\n\x00"],
    "an image or a film": [b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00"],
    "macOS's attributes of a file: the file itself has the same name without ._": [b"\x00\x05\x16\x07\x00\x02\x00\x00"],
    "an RTF document": [rb"{\rtf1\ansi 10/18/2016}"],
    "an HTML page": [b"<!DOCTYPE html><p>Sign in", b"\xef\xbb\xbf\r\n <HTML>", b"<table><tr><td>recid"],
    "FileMaker's XML export": [
        b'<?xml version="1.0"?>\n<FMPXMLRESULT xmlns="x">',
        "<?xml ?><FMPXMLRESULT>".encode("utf-16"),
    ],
    "an Excel workbook in XML": [b'<?xml ?><Workbook xmlns="urn:schemas-microsoft-com:office:spreadsheet">'],
    "an XML file": [b"<?xml version='1.0'?><a/>", b"<Error><Code>AccessDenied</Code></Error>"],
    "a JSON file": [b'{"recid": 7}', b'[\n  {"recid": 7}]', b"[[7]]"],
}


@pytest.mark.parametrize("name", ["export.tab", "export.csv", "export"])
def test_a_file_of_another_format_is_called_what_it_is(folder, name):
    for kind, contents in FORMATS.items():
        for content in contents:
            message = folder.refused(content, name=name)
            assert f"{name} is {kind}, not an export as text, whatever its name; export the records" in message
            assert message == folder.refused(content, "--encoding", "cp1252", name=name)


@pytest.mark.parametrize(
    "word", ["PAR1", "GIF8", "1234ftyp", "%", "7z", "PK", "{F0}", "[x]", "<5 mm", "Rar!", "bplist", "BZh"]
)
def test_a_text_that_begins_like_another_format_is_read(folder, word):
    found, _ = folder.converted(tab([(word, str(n)) for n in (7, 8)]), "--columns", "Type,recid")
    assert [row[3] for row in found] == [word, word]


@pytest.mark.parametrize("content", [bytes(1000), tab(RECORDS).encode() + bytes(4000)])
def test_a_file_full_of_nul_bytes_is_called_damaged(folder, content):
    assert "full of NUL bytes, so it is damaged or not text" in folder.refused(content)


# --- Line ends, and what comes after the last record ---


@pytest.mark.parametrize("form", ["tab", "tab with header", "csv", "mer"])
@pytest.mark.parametrize("times", [2, 3])
def test_cr_cr_lf_ends_a_record_and_no_cr_stays(folder, form, times):
    whole = written(form, RECORDS, "\r" * times + "\n")
    some = whole.replace("\r" * times + "\n", "\r\n", 2)
    for content in (whole, some, whole.rstrip("\r\n"), whole + "\r\n"):
        found, out = folder.converted(content)
        assert found == SEED_ROWS
        assert "each CR CR LF read as CRLF" in out and "record separator  CRLF\n" in out
        assert b"\r" not in folder.out.read_bytes()


@pytest.mark.parametrize("rest", ["\n", "\r\n", " ", "  \n", "\x1a", "\r\n\x1a", "\n\n \x1a\r\n", "\x1a\x1a", "\x1a "])
@pytest.mark.parametrize("end", ["\r", "\r\n", "\n"])
def test_what_comes_after_the_last_record_is_no_record(folder, end, rest):
    for form in ("tab", "tab with header", "csv", "mer"):
        assert folder.converted(written(form, RECORDS, end) + rest)[0] == SEED_ROWS


@pytest.mark.parametrize("form", ["tab", "csv"])
def test_ctrl_z_right_after_the_last_value_is_not_part_of_it(folder, form):
    for rest in ("\x1a", "\x1a\r\n"):
        assert folder.converted(written(form, RECORDS, "\r").removesuffix("\r") + rest)[0] == SEED_ROWS


def test_blanks_and_empty_values_at_the_end_of_the_last_record_stay(folder):
    for last in (" ", "", 'a"  ', "  "):
        record = (*RECORDS[0][:-1], last)
        for content in (tab([record]), tab([record]).removesuffix("\r"), tab([record]) + "\n\x1a"):
            assert folder.converted(content)[0] == [as_seed(record)]
    assert folder.converted(written("csv", [RECORDS[0]]).removesuffix("\r") + "  ")[0] == [as_seed(RECORDS[0])]


def test_an_empty_record_before_the_last_one_is_still_refused(folder):
    assert "record 2 has 1 field, not 8" in folder.refused(tab(RECORDS[:1]) + "\r" + tab(RECORDS[1:]))


# --- The cases in tests/cases ---


def converted_case(folder, name, code=0):
    ended, out, err = folder.run(CASES / name, "-o", folder.out)
    assert ended == code, err
    return read_seed(folder.out) if code == 0 else err, out


def test_a_header_with_blanks_keeps_the_column_that_says_what_was_exported(folder):
    rows, _ = converted_case(folder, "header-names-with-blanks.tab")
    assert [row[8] for row in rows] == ["", "1"] * 10
    assert {row[6] for row in rows} == {"a.jpg"}


@pytest.mark.parametrize("name", ["crcrlf.csv", "cr-with-final-lf.tab", "windows-1252-trademark.tab"])
def test_twenty_records_are_read_and_no_cr_stays_in_a_value(folder, name):
    rows, _ = converted_case(folder, name)
    assert [row[0] for row in rows] == [str(n) for n in range(10, 30)]
    assert "\r" not in "".join(value for row in rows for value in row)


def test_dates_with_a_time_are_refused_with_their_shape(folder):
    message, _ = converted_case(folder, "dates-with-time.tab", code=2)
    assert "99/99/9999 9:99:99 AA (20 of 20" in message and "have FileMaker export a date instead" in message


def test_a_workbook_under_another_name_is_refused(folder):
    assert "workbook-named.tab is an Excel workbook" in converted_case(folder, "workbook-named.tab", code=2)[0]


def test_a_trademark_in_windows_1252_is_not_taken_for_a_letter(folder):
    rows, out = converted_case(folder, "windows-1252-trademark.tab")
    assert "Cam Walker™" in {row[3] for row in rows}
    assert "encoding          Windows-1252 (" in out and "undecided" not in out


def test_records_with_dots_for_thousands_are_refused(folder):
    message, _ = converted_case(folder, "dot-thousands/export.tab", code=2)
    assert "recid: 0 of 21 values" in message and "dots for thousands" in message
