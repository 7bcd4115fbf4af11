"""The S3 server that the demo, the tests and the benchmarks start."""

import subprocess
from pathlib import Path

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from sandbox import s3_server as servers

pytestmark = pytest.mark.slow


def processes(folder: Path) -> list[str]:
    """The ids of the processes with this folder on their command line."""
    listed = subprocess.run(["ps", "-eww", "-o", "pid=,args="], capture_output=True, text=True, check=True).stdout
    return [line.split()[0] for line in listed.splitlines() if f"-dir={folder} " in line]


def listening(process: str) -> list[str]:
    """The addresses, in hex, on which this process listens."""
    own = {link.readlink().name for link in Path(f"/proc/{process}/fd").iterdir() if link.is_symlink()}
    tables = [Path(f"/proc/{process}/net/{name}").read_text().splitlines()[1:] for name in ("tcp", "tcp6")]
    sockets = [line.split() for table in tables for line in table]
    return [fields[1] for fields in sockets if fields[3] == "0A" and f"socket:[{fields[9]}]" in own]


def test_the_server_listens_on_this_machine_only_rejects_strangers_and_leaves_nothing_behind(tmp_path):
    with pytest.raises(ZeroDivisionError), servers.s3_server(tmp_path) as environment:
        (process,) = processes(tmp_path)
        addresses = listening(process)
        assert len(addresses) > len(servers.SERVICES)
        assert {address.partition(":")[0] for address in addresses} == {"0100007F"}
        nobody = boto3.client(
            "s3", endpoint_url=environment["AWS_ENDPOINT_URL_S3"], config=Config(signature_version=UNSIGNED)
        )
        with pytest.raises(ClientError, match="AccessDenied"):
            nobody.list_buckets()
        raise ZeroDivisionError
    assert not processes(tmp_path)
    port = environment["AWS_ENDPOINT_URL_S3"].rpartition(":")[2]
    assert not list(Path("/tmp").glob(f"seaweedfs-s3*{port}.sock"))


def test_a_server_that_does_not_start_is_an_error_and_leaves_no_process(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(servers, "answers", lambda *_: seen.append(processes(tmp_path)))
    with pytest.raises(RuntimeError, match=r"weed\.log"), servers.s3_server(tmp_path):
        pass
    assert [len(ids) for ids in seen] == [1] * servers.STARTS
    assert not processes(tmp_path)
