"""A FileMaker export as text: its bytes, decoded."""

import re
from pathlib import Path

from linkage.errors import UnusableInput
from linkage.filemaker.export.columns import Columns
from linkage.filemaker.export.encodings import find_encoding
from linkage.filemaker.export.formats import other_format
from linkage.filemaker.export.layout import record_at


def read_text(export: Path, chosen: str | None, columns: Columns | None) -> tuple[str, str]:
    """The export's text, without BOM, and a description of its encoding with the evidence for it.

    The line end CR CR LF, which tools make that convert CRLF once more, becomes CRLF.

    `chosen` is the encoding named on the command line. `columns`, the names chosen
    there, help to number the record that an error is about.

    Raises UnusableInput for a file that cannot be read, is empty or is no text, an
    unknown encoding, bytes that the encoding does not have, and a NUL character.
    """
    data = read_bytes(export)
    other = other_format(data)
    if other:
        raise UnusableInput(
            f"{export} is {other}, not an export as text, whatever its name; "
            "export the records in FileMaker again, as tab-separated text"
        )
    encoding, description = find_encoding(data) if chosen is None else (chosen, f"{chosen} (named by --encoding)")
    try:
        text = data.decode(encoding).removeprefix("\ufeff")
        text.encode("utf-8")
    except LookupError:
        raise UnusableInput(
            f"'{encoding}' is not an encoding that Python knows; try utf-8, mac_roman or cp1252"
        ) from None
    except UnicodeError as error:
        where = "the file"
        if isinstance(error, UnicodeDecodeError):
            readable = data.decode(encoding, "replace").removeprefix("\ufeff")
            # in the error's own bytes: those of utf-8-sig begin after the BOM
            before = error.object[: error.start].decode(encoding, "replace").removeprefix("\ufeff")
            where = record_at(readable, len(before), export.suffix, columns)
        raise UnusableInput(
            f"{where} contains bytes that cannot be read as {encoding}; "
            "export again as UTF-8, or name the encoding with --encoding"
        ) from None
    if "\0" in text:
        where = record_at(text, text.index("\0"), export.suffix, columns)
        raise UnusableInput(
            f"{where} contains a NUL character, which never occurs in text; export again, or try --encoding utf-16-le"
        )
    if "\r\r\n" in text:
        return re.sub("\r+\n", "\r\n", text), f"{description}; each CR CR LF read as CRLF"
    return text, description


def read_bytes(export: Path) -> bytes:
    """The export's bytes, at least one of them."""
    try:
        data = export.read_bytes()
    except OSError as error:
        raise UnusableInput(f"cannot read {export}: {error.strerror}; give the path of FileMaker's export") from None
    if not data:
        raise UnusableInput(f"{export} is empty; export the records again")
    return data
