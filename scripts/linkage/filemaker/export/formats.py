"""Which kind of file it is, if not text, or text of another kind: told by its first bytes, whatever its name is."""

import re

# Bytes at the file's beginning, after so many others, and what has them there. The first that is found counts.
SIGNATURES = (
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"PK\x05\x06", "a ZIP archive"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a document of an old Microsoft Office"),
    (15, b"HBAM7", "a FileMaker database"),
    (0, b"\x00\x01\x00\x00\x00\x02\x00\x01\x00\x05\x00\x02\x00\x02\xc0", "a FileMaker database"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (0, b"Rar!\x1a\x07", "a RAR archive"),
    (4, b"1AY&SY", "a bzip2 archive"),
    (0, b"\xfd7zXZ\x00", "an xz archive"),
    (0, b"\x28\xb5\x2f\xfd", "a Zstandard archive"),
    (257, b"ustar", "a tar archive"),
    (0, b"%PDF-", "a PDF document"),
    (0, b"{\\rtf", "an RTF document"),
    (0, b"\xff\xd8\xff", "a JPEG image"),
    (0, b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (0, b"GIF8", "a GIF image"),
    (0, b"II*\x00", "a TIFF image"),
    (0, b"MM\x00*", "a TIFF image"),
    (8, b"WEBP", "a WebP image"),
    (4, b"ftyp", "an image or a film"),
    (0, b"SQLite format 3\x00", "an SQLite database"),
    (8, b"DUCK", "a DuckDB database"),
    (0, b"PAR1", "a Parquet file"),
    (0, b"bplist", "a property list of macOS"),
    (0, b"\x00\x05\x16\x07", "macOS's attributes of a file: the file itself has the same name without ._"),
)
# What a ZIP archive or an old Office document contains (names in it are not compressed), and what it then is.
CONTENTS = {
    b"PK": (
        (rb"xl/work", "an Excel workbook"),
        (rb"word/document", "a Word document"),
        (rb"application/vnd\.oasis\.opendocument\.spreadsheet", "an OpenDocument spreadsheet"),
        (rb"application/vnd\.oasis\.opendocument", "an OpenDocument file"),
        (rb"Index/Document\.iwa", "a document of Apple's, such as of Numbers"),
    ),
    b"\xd0\xcf": ((rb"W\0o\0r\0k\0b\0o\0o\0k\0|B\0o\0o\0k\0\0", "an Excel workbook"),),
}
# Text that is not a table: patterns for its beginning, without white space before it.
TEXTS = (
    (rb"<\?xml.{0,500}<FMPXMLRESULT", "FileMaker's XML export"),
    (rb"<\?xml.{0,500}urn:schemas-microsoft-com:office:spreadsheet", "an Excel workbook in XML"),
    (rb"<!doctype html|<html|<head|<body|<table", "an HTML page"),
    (rb"<\?xml|<!--|<[a-z][a-z0-9:]*[ >]", "an XML file"),
    (rb"""\{\s*["}]|\[\s*["{\[\]]""", "a JSON file"),
)


def other_format(data: bytes) -> str | None:
    """What a file with these bytes is, such as "an Excel workbook"; None if it could be an export as text."""
    for offset, signature, name in SIGNATURES:
        # plain letters could also be text
        if data.startswith(signature, offset) and (b"\0" in data[:300] or not signature.isalnum()):
            inside = CONTENTS.get(signature[:2], ())
            return next((other for pattern, other in inside if re.search(pattern, data)), name)
    # UTF-16 without its zero bytes, and without a BOM
    start = data[:4000].replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n")
    return next((name for pattern, name in TEXTS if re.match(pattern, start, re.IGNORECASE | re.DOTALL)), None)
