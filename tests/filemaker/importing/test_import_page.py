"""docs/importing.md explains every outcome, and every word of the importer's own that an error can be."""

import re

from linkage.filemaker.importing.outcomes import CONFLICT, FAILED, NO_IMAGE, PRESENT, UPLOADED, Result
from linkage.filemaker.importing.reading import DUPLICATE, INVALID
from linkage.paths import PROJECT_ROOT

PAGE = (PROJECT_ROOT / "docs" / "importing.md").read_text(encoding="utf-8")
SOURCES = (PROJECT_ROOT / "scripts" / "linkage" / "filemaker").glob("*/*.py")


def test_every_word_that_an_error_can_be_is_explained():
    text = "".join(source.read_text(encoding="utf-8") for source in SOURCES)
    words = {INVALID, DUPLICATE, *re.findall(r'(?:NotNow\(|NotThisRecord\(|failed\(task, )"([A-Za-z0-9]+)"', text)}
    assert len(words) > 10
    rows = re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE)
    assert words - set(re.findall(r"`(\w+)`", "".join(rows))) == set()


def test_every_outcome_and_every_column_of_the_ledger_is_explained():
    assert all(f"\n| `{outcome}` |" in PAGE for outcome in (UPLOADED, PRESENT, CONFLICT, NO_IMAGE, FAILED))
    assert f"`{', '.join(Result._fields)}`" in PAGE
