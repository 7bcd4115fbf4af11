"""Runs of the copier in this process, through a proxy: the fixtures that tests of copying share."""

import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from answering_proxy import AnsweringProxy, answering_proxy
from conftest import S3
from copy_objects import main
from linkage.manifest import COLUMNS, ManifestRow


@pytest.fixture(name="proxy")
def proxy_fixture(s3: S3) -> Iterator[AnsweringProxy]:
    """A proxy in front of the S3 server; it passes everything on until told otherwise.

    The test's bucket goes with it: SeaweedFS keeps volumes for each, and has not so many.
    """
    with answering_proxy(s3.environment) as proxy:
        yield proxy


@pytest.fixture(name="copy_here")
def copy_here_fixture(run_here: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    """Callable: one run of the copier over these rows, in this process, through this proxy."""

    def copy(proxy: AnsweringProxy, rows: list[ManifestRow], *arguments: object, **environment: str) -> Any:
        manifest = tmp_path / "manifest.csv"
        with manifest.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([COLUMNS, *rows])
        through = {**proxy.environment, "AWS_ENDPOINT_URL_S3": proxy.endpoint, **environment}
        return run_here(main, manifest, *arguments, environment=through)

    return copy


def only_line(run: Any) -> str:
    """What a run says that could not be: one line on stderr, and exit code 2."""
    assert run.returncode == 2, run
    *before, last = run.stderr.splitlines()
    assert not before, run.stderr
    assert last.startswith("error: "), run.stderr
    return last
