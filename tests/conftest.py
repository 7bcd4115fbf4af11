"""Fixtures for every test."""

import functools
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from botocore.exceptions import ClientError

import nexus
from demo.postgres import database_url, postgres_server
from demo.servers import client, s3_server
from linkage.errors import run_script


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest tests, so that no worker is left alone with one at the end."""
    items.sort(key=lambda item: item.path.name != "test_random_folders.py")


@dataclass(frozen=True)
class S3:
    """A real S3 server with an empty bucket; `environment` is that of a process that uses it."""

    client: Any
    bucket: str
    environment: dict[str, str]

    def new_bucket(self) -> str:
        """The name of one more empty bucket."""
        bucket = f"clinic-{uuid.uuid4()}"
        self.client.create_bucket(Bucket=bucket)
        return bucket


@pytest.fixture(scope="session")
def s3_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a process that uses the session's S3 server."""
    with s3_server(tmp_path_factory.mktemp("seaweedfs")) as environment:
        yield environment


@pytest.fixture
def s3(s3_environment: dict[str, str], tmp_path: Path) -> Iterator[S3]:
    """The session's S3 server with a bucket of this test's own; scripts write to the folder `tmp_path/data`.

    The bucket is removed afterwards, for the server has room for about a hundred.
    """
    server = S3(client(s3_environment), "", {**s3_environment, "LINKAGE_DATA": str(tmp_path / "data")})
    bucket = server.new_bucket()
    yield S3(server.client, bucket, server.environment)
    with suppress(ClientError):  # a test may have removed it
        server.client.delete_bucket(Bucket=bucket)


@pytest.fixture
def run_here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Run a script's `main` in this process, its arguments and its whole environment given: no time for a start."""

    def run(main: Callable[[], int | None], *arguments: object, environment: dict[str, str]) -> Any:
        for name in os.environ.keys() - environment.keys():
            monkeypatch.delenv(name)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", [main.__module__, *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            run_script(main)
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
    """Callable: the superuser's URL of a new database with a site's empty tables; gone when the test has ended."""
    names = []

    def create(site: str) -> str:
        name = f"{site}_{uuid.uuid4().hex}"
        administer(postgres, f"create database {name} template {nexus_template(site)}")
        names.append(name)
        return database_url(postgres, name)

    yield create
    for name in names:
        administer(postgres, f"drop database {name} with (force)")
