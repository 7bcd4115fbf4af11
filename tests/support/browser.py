"""A real Chromium that opens pages from files, and hears every complaint and request of theirs."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from playwright.sync_api import Browser, Page, Request, sync_playwright

# Without these, Chromium looks for Google's servers as soon as it starts.
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
DESK, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium; without it the test is skipped, or fails where BROWSER_REQUIRED is set."""
    program = shutil.which("chromium")
    if program is None:
        if os.environ.get("BROWSER_REQUIRED"):
            pytest.fail("there is no Chromium, and BROWSER_REQUIRED is set")
        pytest.skip("needs Chromium: install Debian's package chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield browser
        browser.close()


@contextmanager
def watched_page(browser: Browser, folder: Path, **options: object) -> Iterator[Page]:
    """A new page for the site in `folder`; at the end, fails if a page complained or asked for anything elsewhere."""
    context = browser.new_context(**{"viewport": DESK, **options})
    page = context.new_page()
    wrong: list[str] = []
    page.on(
        "console", lambda said: wrong.append(f"console: {said.text}") if said.type in ("error", "warning") else None
    )
    page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
    page.on("requestfailed", lambda request: wrong.extend(failed(request)))
    page.on("request", lambda request: wrong.extend(outside(request.url, folder)))
    yield page
    context.close()
    assert not wrong, wrong[:3]


def failed(request: Request) -> list[str]:
    """A request that failed, unless its page was left before it was answered."""
    return [] if request.failure == "net::ERR_ABORTED" else [f"failed: {request.url}"]


def outside(url: str, folder: Path) -> list[str]:
    """The address, if it is not a file in the folder."""
    parts = urlsplit(url)
    inside = parts.scheme == "file" and Path(unquote(parts.path)).resolve().is_relative_to(folder.resolve())
    return [] if inside else [f"outside: {url}"]
