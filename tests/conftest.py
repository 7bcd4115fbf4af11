"""Fixtures for every test."""

import csv
import functools
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from botocore.exceptions import ClientError

from copy_objects import main
from linkage.copying.manifest import COLUMNS, ManifestRow
from linkage.paths import PROJECT_ROOT
from linkage.steps import run_script
from sandbox import nexus
from sandbox.postgres_server import database_url, postgres_server
from sandbox.s3_server import client, s3_server
from tests.support.projects import PARSED
from tests.support.proxy import AnsweringProxy, answering_proxy
from tests.support.servers import S3
from tests.support.warehouses import Copies

# A person's own .env and shell name a clinic's places and accounts: no test, and no process of one, knows them.
os.environ.update(NO_ENV_FILE := {"PYTHON_DOTENV_DISABLED": "1"})
for line in (PROJECT_ROOT / ".env.example").read_text(encoding="utf-8").splitlines():
    os.environ.pop(line.partition("=")[0], None)
# Fixtures that start a server, or dbt.
SLOW = {"built_sample", "dbt", "moto", "postgres", "project", "s3_environment", "shared"}


def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    """Begin with the longest tests, so that no worker is left alone with one at the end; mark the slow ones.

    A test is slow if it needs a server or dbt. `make check` leaves it out.
    """
    items.sort(key=lambda item: item.path.name != "test_random_folders.py")
    for item in items:
        if not SLOW.isdisjoint(item.fixturenames):
            item.add_marker("slow")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Remove what dbt has parsed for the tests (tests/support/projects.py); a worker leaves it to the others."""
    if not hasattr(session.config, "workerinput"):
        for path in PARSED.parent.glob(f"{PARSED.name}.*"):
            path.unlink()


@pytest.fixture(scope="session")
def s3_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a process that uses the session's S3 server."""
    with s3_server(tmp_path_factory.mktemp("seaweedfs")) as environment:
        yield environment


@pytest.fixture
def s3(s3_environment: dict[str, str], tmp_path: Path) -> Iterator[S3]:
    """The session's S3 server with a new bucket; scripts write to the folder `tmp_path/data`.

    The bucket is deleted afterwards, because the server has room for about a hundred.
    """
    server = S3(client(s3_environment), "", {**s3_environment, "LINKAGE_DATA": str(tmp_path / "data")})
    bucket = server.new_bucket()
    yield S3(server.client, bucket, server.environment)
    with suppress(ClientError):  # a test may have deleted it
        server.client.delete_bucket(Bucket=bucket)


@pytest.fixture(scope="session")
def copies(s3_environment: dict[str, str]) -> Copies:
    """The store that publishing lists: the copies of `tests.support.warehouses`, shared by all tests."""
    return Copies(client(s3_environment), s3_environment)


@pytest.fixture
def run_here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Run a script's `main` in this process, to save start-up time, with only this environment."""

    def run(main: Callable[[], int | None], *arguments: object, environment: dict[str, str]) -> Any:
        for name in os.environ.keys() - environment.keys():
            monkeypatch.delenv(name)
        for name, value in (NO_ENV_FILE | environment).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", [main.__module__, *map(str, arguments)])
        capsys.readouterr()
        umask = os.umask(0o022)  # a script may change it, and a new process begins with the shell's
        try:
            with pytest.raises(SystemExit) as end:
                run_script(main)
        finally:
            os.umask(umask)
        return subprocess.CompletedProcess(sys.argv, end.value.code, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The superuser's URL of the session's PostgreSQL server."""
    with postgres_server() as url:
        yield url


def administer(url: str, statement: str) -> None:
    """Run one statement outside any transaction, in a session of its own: a test may end every other one."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)


@pytest.fixture(scope="session")
def nexus_template(postgres: str) -> Callable[[str], str]:
    """Callable: the name of a database with the tables of a site, `plan` or `generic`, made when first asked for."""

    @functools.cache
    def template(site: str) -> str:
        name = f"template_{site}"
        administer(postgres, f"create database {name}")
        nexus.migrate(database_url(postgres, name), site)
        return name

    return template


@pytest.fixture
def nexus_database(postgres: str, nexus_template: Callable[[str], str]) -> Iterator[Callable[[str], str]]:
    """Callable: the superuser's URL of a new database with a site's empty tables; dropped at the end of the test."""
    names = []

    def create(site: str) -> str:
        name = f"{site}_{uuid.uuid4().hex}"
        administer(postgres, f"create database {name} template {nexus_template(site)}")
        names.append(name)
        return database_url(postgres, name)

    yield create
    for name in names:
        administer(postgres, f"drop database {name} with (force)")


@pytest.fixture(name="proxy")
def proxy_fixture(s3: S3) -> Iterator[AnsweringProxy]:
    """A proxy in front of the S3 server; without rules it passes every request on."""
    with answering_proxy(s3.environment) as proxy:
        yield proxy


@pytest.fixture(name="copy_here")
def copy_here_fixture(run_here: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    """Callable: one run of the copier over these rows, with boto3, in this process, through this proxy."""

    def copy(proxy: AnsweringProxy, rows: list[ManifestRow], *arguments: object, **environment: str) -> Any:
        manifest = tmp_path / "manifest.csv"
        with manifest.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([COLUMNS, *rows])
        through = {**proxy.environment, "AWS_ENDPOINT_URL_S3": proxy.endpoint, **environment}
        return run_here(main, manifest, "--engine=boto3", *arguments, environment=through)

    return copy
