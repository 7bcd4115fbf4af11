"""Reading the review site as a program does: its pages as elements, texts and links."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

VOID = {"br", "hr", "img", "input", "link", "meta", "wbr"}


@dataclass
class Element:
    """An element with its attributes, its children (elements and texts), and the element around it."""

    tag: str
    attributes: dict[str, str | None]
    around: "Element | None" = None
    children: "list[Element | str]" = field(default_factory=list)

    def all(self, tag: str = "", **attributes: str | None) -> "list[Element]":
        """The elements within, in their order, of this tag and with these attributes (`_` for a hyphen; None: any)."""
        wanted = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items()}
        found = []
        for child in self.children:
            if isinstance(child, Element):
                if tag in ("", child.tag) and all(
                    name in child.attributes and value in (None, child.attributes[name])
                    for name, value in wanted.items()
                ):
                    found.append(child)
                found += child.all(tag, **attributes)
        return found

    @property
    def text(self) -> str:
        """All text within, with single blanks."""
        texts = (child.text if isinstance(child, Element) else child for child in self.children)
        return " ".join(" ".join(texts).split())


class Reader(HTMLParser):
    """Makes a tree of elements; raises AssertionError for a page whose elements do not close as they should."""

    def __init__(self) -> None:
        super().__init__()
        self.document = self.present = Element("", {})

    def handle_starttag(self, tag, attrs):
        element = Element(tag, dict(attrs), self.present)
        assert len(element.attributes) == len(attrs), attrs
        self.present.children.append(element)
        if tag not in VOID:
            self.present = element

    def handle_endtag(self, tag):
        assert tag == self.present.tag, (tag, self.present.tag)
        self.present = self.present.around

    def handle_data(self, data):
        self.present.children.append(data)


def read_page(path: Path) -> Element:
    """One page as a tree."""
    reader = Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    reader.close()
    assert reader.present is reader.document
    return reader.document


def read_pages(folder: Path) -> dict[str, Element]:
    """All pages of a site, by their names below its folder."""
    return {str(path.relative_to(folder)): read_page(path) for path in sorted(folder.rglob("*.html"))}


def read_tree(path: Path) -> ElementTree.Element:
    """One page as a tree for paths such as `.//table/tbody/tr`: its outermost element."""
    (outermost,) = read_page(path).all("html")
    builder = ElementTree.TreeBuilder()
    build(outermost, builder)
    return builder.close()


def build(element: Element, builder: ElementTree.TreeBuilder) -> None:
    """Add an element, with everything in it, to a tree that is being built."""
    builder.start(element.tag, {name: value or "" for name, value in element.attributes.items()})
    for child in element.children:
        build(child, builder) if isinstance(child, Element) else builder.data(child)
    builder.end(element.tag)


def text(element: ElementTree.Element) -> str:
    """What an element of a tree says, with single blanks."""
    return " ".join("".join(element.itertext()).split())


def number(element: ElementTree.Element) -> int:
    """The number that is all that an element of a tree says."""
    return int(text(element).replace(",", ""))
