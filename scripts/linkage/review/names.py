"""The name under which a person downloads a picture. This module imports nothing of the project: it may be copied."""

import re
import unicodedata
from datetime import date

LONGEST_CATEGORY = 80  # characters; a whole name has at most 136
EXTENSION = re.compile("[A-Za-z0-9]{1,16}")


def download_name(captured_date: date | None, category: str | None, recid: int, extension: str) -> str:
    """A picture's file name, such as `2016-10-18_Left-Dorsal_228.jpg`: date, category, record number, extension.

    It is ASCII, can be used on every file system, and its parts contain no underscore. Without a
    date it begins with `undated`. Of the category (see `slug`) at most 80 characters are taken;
    if nothing is left, it is `untyped`. The extension is as the object has it, or `bin` if it is
    not a word of up to 16 ASCII letters and digits.
    """
    day = date.isoformat(captured_date) if captured_date else "undated"  # of a datetime, too, only the date
    part = slug(category or "")[:LONGEST_CATEGORY].rstrip("-") or "untyped"
    return f"{day}_{part}_{recid}.{extension if EXTENSION.fullmatch(extension) else 'bin'}"


def slug(text: str) -> str:
    """A text in ASCII letters, digits and hyphens.

    Letters lose their accents and compatibility forms become plain ones (Unicode's NFKD: `é` is
    `e`, `ﬁ` is `fi`). Each run of other characters, such as blanks, `ß` or an emoji, is one
    hyphen, and there is none at the ends.
    """
    plain = "".join(one for one in unicodedata.normalize("NFKD", text) if not unicodedata.combining(one))
    return re.sub("[^A-Za-z0-9]+", "-", plain).strip("-")
