"""The sample, built once, and sites of it."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import duckdb
import pytest

from linkage.paths import SAMPLE_FOLDER
from linkage.review.pages import copy_assets, templates
from linkage.review.reading import prepare
from linkage.review.site import Site
from linkage.warehouse.marts import open_warehouse
from tests.support.projects import NO_UNIT_TESTS, InProcess, Project

EXPORTED = datetime(2026, 1, 1, tzinfo=UTC).timestamp()  # when the sample came from Nexus


@pytest.fixture(scope="session")
def built_sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The DuckDB file that a build of the project's sample leaves behind; nobody writes to it."""
    dbt = InProcess(Project(SAMPLE_FOLDER, tmp_path_factory.mktemp("sample"), linkage_data="seeds/sample"))
    ended = dbt("build", *NO_UNIT_TESTS)
    assert ended.success, ended.text
    return dbt.project.work / "warehouse.duckdb"


@pytest.fixture
def sample_site(built_sample: Path, tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """Callable: an empty site of the sample, with a data folder and a warehouse of its own.

    `change` is SQL that is run on the warehouse first. `files` are texts that replace files of the data folder by name,
    before the warehouse; None removes a file. `pictures` gives the file name of the thumbnail of (bucket, key).
    """
    with ExitStack() as opened:

        def make(
            change: str = "",
            files: dict[str, str | None] | None = None,
            pictures: dict[tuple[str, str], str] | None = None,
            sample: int | None = None,
        ) -> Site:
            place = tmp_path / f"site-{len(list(tmp_path.iterdir()))}"
            data = place / "data"
            shutil.copytree(SAMPLE_FOLDER, data, ignore=shutil.ignore_patterns("expected"))
            for name, text in (files or {}).items():
                (data / name).write_text(text, encoding="utf-8") if text is not None else (data / name).unlink()
            os.utime(data / "nexus_images.csv", (EXPORTED, EXPORTED))
            warehouse_file = place / "warehouse.duckdb"
            shutil.copyfile(built_sample, warehouse_file)
            if change:
                with duckdb.connect(str(warehouse_file)) as connection:
                    connection.execute(change)
            built = max(path.stat().st_mtime for path in data.iterdir()) + 1
            os.utime(warehouse_file, (built, built))  # after the files that it was made of
            warehouse, settings = opened.enter_context(open_warehouse(warehouse_file))
            prepare(warehouse, settings, data, sample=sample)
            folder = place / "review"
            folder.mkdir()
            copy_assets(folder)
            found = {
                where: SimpleNamespace(file=file, width=320, height=240, problem=None)
                for where, file in (pictures or {}).items()
            }
            made_at = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
            return Site(folder, data, warehouse, settings, found, templates(), made_at, "1.5.0")

        yield make
