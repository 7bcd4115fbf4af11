"""Static pages from Jinja templates: every text is escaped, and nothing is fetched from elsewhere."""

import os
import shutil
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

HERE = Path(__file__).parent
ASSETS = HERE / "assets"
MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
UNITS = ("bytes", "KB", "MB", "GB", "TB")

# The pages of the menu, by the name of their file.
MENU = {
    "index.html": "Start",
    "report.html": "Report",
    "patients.html": "Patients",
    "skipped.html": "Skipped",
    "unmatched.html": "Unmatched",
    "held.html": "Held",
    "findings.html": "Findings",
    "changes.html": "Changes",
}


def templates() -> jinja2.Environment:
    """The templates' environment; an unknown name in a template is an error."""
    from linkage.review.captions import FILTERS  # which use the formats below

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
    )
    environment.globals["menu"] = MENU
    environment.filters.update(number=number, day=day, file_size=file_size, plural=plural, **FILTERS)
    return environment


def number(value: int) -> str:
    """A count as people read it: `6,502`."""
    return f"{value:,}"


def day(value: date | None) -> str:
    """A date as batches are named: `18 Oct 2016`, in any locale; empty where there is none."""
    return f"{value.day} {MONTHS[value.month - 1]} {value.year:04}" if value else ""


def file_size(value: int | None) -> str:
    """A size in bytes as people read it: `512 bytes`, `2.1 MB`; 1 KB is 1,024 bytes."""
    if value is None:
        return ""
    size, unit = float(value), 0
    while size >= 1000 and unit < len(UNITS) - 1:
        size, unit = size / 1024, unit + 1
    return f"{size:,.1f} {UNITS[unit]}" if unit else f"{value:,} bytes"


def plural(count: int, one: str, many: str | None = None) -> str:
    """A count with its noun: `1 picture`, `35 pictures`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def write_page(
    environment: jinja2.Environment, folder: Path, name: str, template: str, context: Mapping[str, Any]
) -> None:
    """Write the page `name`, such as `patients/17.html`, below `folder`; templates find the site's root in `root`."""
    path = folder / name
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    root = Markup("../" * name.count("/"))
    text = environment.get_template(template).render(context, root=root, page=name)
    write_private(path, text.encode())


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read, into a folder that is not in its place yet."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)


def copy_assets(folder: Path) -> None:
    """Copy style sheet and scripts to `assets/` of the site."""
    shutil.copytree(ASSETS, folder / "assets", copy_function=shutil.copyfile)
