"""What docs/findings.md says about each kind of finding, for the pages that list them."""

import re
from functools import cache

from markupsafe import Markup, escape

from linkage.paths import PROJECT_ROOT

PAGE = PROJECT_ROOT / "docs" / "findings.md"
INDENT = " " * 4  # of a line to copy
# Markdown, escaped, and what pages show of it: of a link its text, because the pages lead nowhere else.
MARKUP = {
    r"\[(.+?)\]\(.*?\)": r"\1",
    r"\*\*(.+?)\*\*": r"<strong>\1</strong>",
    r"`(.+?)`": r"<code>\1</code>",
}


@cache
def explanations() -> dict[str, tuple[list[Markup], bool]]:
    """By kind, its paragraphs, and whether the page has a line for held_images.csv (which is left out)."""
    _, *parts = re.split(r"^## (\w+)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    found = {kind: re.split(r"\n{2,}", text.strip()) for kind, text in zip(parts[::2], parts[1::2], strict=True)}
    return {
        kind: ([formatted(one) for one in texts if not one.startswith(INDENT)], any(one[:4] == INDENT for one in texts))
        for kind, texts in found.items()
    }


def formatted(paragraph: str) -> Markup:
    """A paragraph of Markdown as markup on one line."""
    text = str(escape(" ".join(paragraph.split())))
    for pattern, replacement in MARKUP.items():
        text = re.sub(pattern, replacement, text)
    return Markup(text)
