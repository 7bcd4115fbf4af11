"""Long lists as several pages."""

from collections.abc import Callable, Iterable
from typing import Any

from linkage.errors import UnusableInput
from linkage.review.reading import Row, in_parts
from linkage.review.site import Site

ROWS = 500  # of one page
NEAR = 5  # parts around the present one that it leads to, besides the first and the last
ALL_SHOWN = 20  # parts to which each part leads


def write_parts(
    site: Site, name: Callable[[int], str], template: str, rows: Iterable[Row], count: int, **context: Any
) -> None:
    """Write `count` rows as pages of at most 500; the page of part 1, 2 … is called `name(part)`.

    Templates find `rows`, `part` and `parts`: the links to the parts, none where there is one. Without rows there
    is one page. Raises UnusableInput if `rows` are more or fewer, so that no page shows a wrong number.
    """
    last = max(1, -(-count // ROWS))
    written = 0
    for number, part in enumerate(in_parts(rows, ROWS), 1):
        written += len(part)
        site.write(name(number), template, rows=part, part=number, parts=links(name, number, last, count), **context)
    if not written:
        site.write(name(1), template, rows=[], part=1, parts=[], **context)
    if written != count:
        raise UnusableInput(f"{name(1)} would show {written:,} rows of {count:,}: run `dbt build` again")


def links(name: Callable[[int], str], present: int, last: int, count: int) -> list[dict[str, Any]]:
    """The links from one part to others: to all if they are not many, else to the first, the last and those near."""
    if last == 1:
        return []
    return [
        {"number": part, "href": name(part), "first": (part - 1) * ROWS + 1, "last": min(part * ROWS, count)}
        for part in range(1, last + 1)
        if last <= ALL_SHOWN or part in (1, last) or abs(part - present) <= NEAR
    ]


def in_folder(stem: str) -> Callable[[int], str]:
    """Names of parts: `skipped/held_back.html`, `skipped/held_back-2.html` …"""
    return lambda part: f"{stem}.html" if part == 1 else f"{stem}-{part}.html"
