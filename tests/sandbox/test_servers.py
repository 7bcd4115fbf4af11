"""The S3 server that the demo, the tests and the benchmarks start."""

import subprocess
from pathlib import Path

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from sandbox import s3_server as servers


def processes(folder: Path) -> list[str]:
    """The ids of the processes with this folder on their command line."""
    listed = subprocess.run(["ps", "-eww", "-o", "pid=,args="], capture_output=True, text=True, check=True).stdout
    return [line.split()[0] for line in listed.splitlines() if f"-dir={folder} " in line]


def sockets(environment: dict[str, str]) -> list[Path]:
    port = environment["AWS_ENDPOINT_URL_S3"].rpartition(":")[2]
    return list(Path("/tmp").glob(f"seaweedfs-s3*{port}.sock"))


def test_the_server_requires_its_keys_and_leaves_nothing_behind(tmp_path):
    with pytest.raises(ZeroDivisionError), servers.s3_server(tmp_path) as environment:
        assert len(processes(tmp_path)) == 1
        nobody = boto3.client(
            "s3", endpoint_url=environment["AWS_ENDPOINT_URL_S3"], config=Config(signature_version=UNSIGNED)
        )
        with pytest.raises(ClientError, match="AccessDenied"):
            nobody.list_buckets()
        raise ZeroDivisionError
    assert not processes(tmp_path)
    assert not sockets(environment)


def test_the_server_listens_on_this_machine_only(tmp_path):
    with servers.s3_server(tmp_path):
        (process,) = processes(tmp_path)
        own = {link.readlink().name for link in Path(f"/proc/{process}/fd").iterdir() if link.is_symlink()}
        listening = [
            fields[1]
            for table in ("tcp", "tcp6")
            for fields in map(str.split, Path(f"/proc/{process}/net/{table}").read_text().splitlines()[1:])
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in own
        ]
    assert len(listening) > len(servers.SERVICES)
    assert {address.partition(":")[0] for address in listening} == {"0100007F"}


def test_a_server_that_cannot_start_is_an_error_and_leaves_no_process(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(servers, "answers", lambda *_: seen.append(processes(tmp_path)))
    with pytest.raises(RuntimeError, match=r"weed\.log"), servers.s3_server(tmp_path):
        pass
    assert [len(ids) for ids in seen] == [1] * servers.STARTS
    assert not processes(tmp_path)
