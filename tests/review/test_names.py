"""A download's name says date, category and record, whatever FileMaker's text is, and can be used everywhere."""

import ast
import re
from datetime import date, datetime
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from linkage.review import names
from linkage.review.names import download_name

DAY = date(2016, 10, 18)
RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\.|$)", re.IGNORECASE)


@pytest.mark.parametrize(
    ("category", "expected"),
    [
        ("Left Dorsal", "Left-Dorsal"),
        ("Café-au-lait spot L ankle", "Cafe-au-lait-spot-L-ankle"),
        ("Pre–op R hallux", "Pre-op-R-hallux"),
        ('Left "turf toe" ', "Left-turf-toe"),
        ("90° ﬁrst ½", "90-first-1-2"),
        ("../../x", "x"),
        ("=cmd|' /C calc'!A0", "cmd-C-calc-A0"),
        ("<script>alert(1)</script>", "script-alert-1-script"),
        ("a\u202egpj.exe", "a-gpj-exe"),
        ("snake_case", "snake-case"),
        ("🦶", "untyped"),
        ("左足", "untyped"),
        ("\u0301", "untyped"),
        ("", "untyped"),
        (None, "untyped"),
        ("x" * 79 + " y", "x" * 79),
        ("x" * 500, "x" * 80),
    ],
)
def test_the_category_is_folded_to_letters_digits_and_hyphens(category, expected):
    assert download_name(DAY, category, 228, "jpg") == f"2016-10-18_{expected}_228.jpg"


@pytest.mark.parametrize(
    ("extension", "expected"),
    [
        ("JPG", "JPG"), ("heic", "heic"), ("", "bin"), ("jp g", "bin"), ("../x", "bin"), ("jpg\n", "bin"),
        ("jpé", "bin"), ("٣", "bin"), ("x" * 17, "bin"),
    ],
)  # fmt: skip
def test_the_extension_is_the_objects_own_if_it_is_a_plain_word(extension, expected):
    assert download_name(DAY, "Dorsal", 228, extension) == f"2016-10-18_Dorsal_228.{expected}"


def test_a_date_is_written_with_four_digits_of_the_year_and_without_a_time():
    assert download_name(date(1, 2, 3), "a", 1, "jpg") == "0001-02-03_a_1.jpg"
    assert download_name(datetime(2016, 10, 18, 4, 5), "a", 1, "jpg") == "2016-10-18_a_1.jpg"
    assert download_name(None, "a", 1, "jpg") == "undated_a_1.jpg"


@given(st.dates() | st.none(), st.text() | st.none(), st.integers(1, 10**18 - 1), st.text())
@example(None, "CON", 1, "NUL")
@example(None, "\u202e-.", 1, ".")
@settings(database=None, deadline=None)
def test_every_name_can_be_used_on_every_system(captured_date, category, recid, extension):
    name = download_name(captured_date, category, recid, extension)
    assert re.fullmatch(r"([0-9]{4}-[0-9]{2}-[0-9]{2}|undated)_[A-Za-z0-9]+(-[A-Za-z0-9]+)*_[0-9]+\.[A-Za-z0-9]+", name)
    assert len(name.encode()) <= 255
    assert not RESERVED.match(name)
    assert name.split("_")[-1].split(".")[0] == str(recid)


def test_the_module_can_be_copied_into_another_application():
    nodes = list(ast.walk(ast.parse(Path(names.__file__).read_text(encoding="utf-8"))))
    imported = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    assert imported == {"datetime", "re", "unicodedata"}
