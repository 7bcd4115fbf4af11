"""Reading a page of the review site, as another program would."""

from html.parser import HTMLParser
from pathlib import Path
from xml.etree.ElementTree import Element, TreeBuilder

VOID = {"img", "input", "link", "meta", "br", "wbr", "hr"}


def read_page(path: Path) -> Element:
    """The page as a tree; fails if an element is not closed where it should be."""
    builder, open_tags = TreeBuilder(), []

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attributes):
            builder.start(tag, {name: value or "" for name, value in attributes})
            if tag in VOID:
                builder.end(tag)
            else:
                open_tags.append(tag)

        def handle_startendtag(self, tag, attributes):
            builder.start(tag, {name: value or "" for name, value in attributes})
            builder.end(tag)

        def handle_endtag(self, tag):
            assert open_tags.pop() == tag, f"{path}: </{tag}> at {self.getpos()}"
            builder.end(tag)

        def handle_data(self, data):
            if open_tags:
                builder.data(data)

    reader = Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    reader.close()
    assert not open_tags
    return builder.close()


def text(element: Element) -> str:
    """What an element says, with single blanks."""
    return " ".join("".join(element.itertext()).split())


def number(element: Element) -> int:
    """The number that is all that an element says."""
    return int(text(element).replace(",", ""))
