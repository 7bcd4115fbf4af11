"""A site while it is being written: what its pages have in common."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import jinja2

from linkage.review.pages import write_page
from linkage.review.pictures import Result
from linkage.review.reading import Row, select


class Picture(NamedTuple):
    """A file below `pictures/` with its size in pixels, or why there is none."""

    file: str | None
    width: int = 0
    height: int = 0
    problem: str | None = None


Pictures = Mapping[tuple[str, str], Picture]


def shown(result: Result) -> Picture:
    """A thumbnail, or the reason why there is none, as pages show it."""
    return Picture(None, problem=result) if isinstance(result, str) else Picture(*result)


@dataclass(frozen=True)
class Site:
    """What every page needs.

    `folder` is where pages are written, `data` the data folder, `settings` those of the build.
    `pictures` has, by bucket and key, the thumbnail of each object that a page may show.
    """

    folder: Path
    data: Path
    warehouse: duckdb.DuckDBPyConnection
    settings: dict[str, str]
    pictures: Pictures
    templates: jinja2.Environment
    made_at: datetime
    version: str
    has_sample: bool = False

    def rows(self, query: str, parameters: dict[str, Any] | None = None) -> Iterator[Row]:
        """The rows of a query on the marts, shown_image and shown_object (`reading.py`)."""
        return select(self.warehouse, query, parameters)

    def write(self, name: str, template: str, **context: Any) -> None:
        """Write the page `name` below the site's folder."""
        write_page(self.templates, self.folder, name, template, {"site": self, **context})
