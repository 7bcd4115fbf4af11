"""The double of FileMaker Server, an S3 bucket, and runs of the importer in this process."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from import_filemaker_images import main
from linkage.filemaker.data_api import records, session
from linkage.filemaker.importing import run
from sandbox.filemaker_server import FileMakerServer, filemaker_server
from sandbox.s3_server import client
from tests.support.importing import DUMP, reset
from tests.support.servers import S3


@pytest.fixture(scope="module")
def module_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FileMakerServer]:
    """One double for all tests of a module."""
    with filemaker_server(tmp_path_factory.mktemp("filemaker"), []) as double:
        yield double


@pytest.fixture
def server(module_server: FileMakerServer) -> Iterator[FileMakerServer]:
    """The double as at its start. Whatever a test does, no session may be open at its end."""
    before = dict(vars(module_server))
    reset(module_server)
    yield module_server
    open_sessions = len(module_server.sessions)
    for name in vars(module_server).keys() - before.keys():  # methods that a test has replaced
        delattr(module_server, name)
    vars(module_server).update(before)
    assert not open_sessions


@pytest.fixture(scope="module")
def module_bucket(s3_environment: dict[str, str]) -> S3:
    """One bucket for all tests of a module: the first object of a new one takes the server up to a second."""
    store = S3(client(s3_environment), "", s3_environment)
    return S3(store.client, store.new_bucket(), s3_environment)


@pytest.fixture
def s3(module_bucket: S3, tmp_path: Path) -> Iterator[S3]:
    """The module's bucket, which is empty; scripts write to the folder `tmp_path/data`."""
    store, bucket = module_bucket.client, module_bucket.bucket
    yield S3(store, bucket, {**module_bucket.environment, "LINKAGE_DATA": str(tmp_path / "data")})
    for page in store.get_paginator("list_object_versions").paginate(Bucket=bucket):
        found = page.get("Versions", []) + page.get("DeleteMarkers", [])
        if listed := [{"Key": one["Key"], "VersionId": one["VersionId"]} for one in found]:
            store.delete_objects(Bucket=bucket, Delete={"Objects": listed, "Quiet": True})
    assert not store.list_objects_v2(Bucket=bucket)["KeyCount"]


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses that are short, and still differ."""
    monkeypatch.setattr(session, "PAUSES", (0.002, 0.01, 0.04))
    monkeypatch.setattr(session, "PAUSES_AT_SIGN_IN", (0.01, 0.02, 0.04, 0.08, 0.1, 0.1))
    monkeypatch.setattr(records, "PAUSES", (0.02, 0.04, 0.08, 0.1, 0.1))
    monkeypatch.setattr(run, "PAUSES", (0.002, 0.01, 0.02, 0.04))
    monkeypatch.setattr(run, "FIRST_REST", 0.002)
    monkeypatch.setattr(run, "LONGEST_REST", 0.05)
    monkeypatch.setattr(run, "TICK", 0.005)


@pytest.fixture(name="import_here")
def import_here_fixture(run_here: Callable[..., Any], server: FileMakerServer, s3: S3) -> Iterator[Callable[..., Any]]:
    """Callable: one run of the importer in this process, into the bucket of the test.

    A variable that is given as an empty text is left out.
    """
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}

    def run(*arguments: object, dump: str = DUMP, **variables: str) -> Any:
        environment = {**s3.environment, **server.environment(), **variables}
        environment = {name: value for name, value in environment.items() if value}
        return run_here(main, f"s3://{s3.bucket}/{dump}", *arguments, environment=environment)

    yield run
    for number, handler in before.items():
        signal.signal(number, handler)
