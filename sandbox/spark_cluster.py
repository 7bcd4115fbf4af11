"""A standalone Spark cluster and a Thrift server on this machine, for the benchmarks."""

import contextlib
import json
import os
import socket
import time
import urllib.request
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

from sandbox.s3_server import free_ports, server_process
from sandbox.spark import what_is_missing

READY_SECONDS = 120
ADDRESS = "127.0.0.1"
THRIFT_SERVER = "org.apache.spark.sql.hive.thriftserver.HiveThriftServer2"


@contextlib.contextmanager
def spark_cluster(folder: Path, *, workers: int = 2, cores: int = 1, memory: str = "2g") -> Iterator[str]:
    """Run a master and `workers` on free ports of 127.0.0.1; yields the master's URL.

    Each worker has `cores` and `memory`. Logs and temporary files are in `folder`. All processes end with the context.

    Raises RuntimeError if Spark cannot run here, or the workers do not join the master in time.
    """
    if missing := what_is_missing():
        raise RuntimeError(missing)
    folder.mkdir(parents=True, exist_ok=True)
    port, pages, *worker_pages = free_ports(2 + workers)
    url = f"spark://{ADDRESS}:{port}"
    with contextlib.ExitStack() as processes:
        options = ["--host", ADDRESS, "--port", str(port), "--webui-port", str(pages)]
        master = ["spark-class", "org.apache.spark.deploy.master.Master", *options]
        processes.enter_context(running(folder, "master", master))
        wait_for(folder, "master", lambda: accepts(port))
        for number, page in enumerate(worker_pages, 1):
            options = ["--host", ADDRESS, "--webui-port", str(page), "--cores", str(cores), "--memory", memory]
            command = ["spark-class", "org.apache.spark.deploy.worker.Worker", *options]
            processes.enter_context(
                running(folder, f"worker-{number}", [*command, "--work-dir", str(folder / f"worker-{number}"), url])
            )
        wait_for(folder, "master", lambda: workers_of(pages) == workers)
        yield url


@contextlib.contextmanager
def thrift_server(folder: Path, master: str, warehouse: Path, settings: dict[str, str]) -> Iterator[int]:
    """Run a Thrift server as a client of the cluster `master`; yields its port on 127.0.0.1.

    Its tables are in `warehouse`, its catalog is in `folder`. `settings` are Spark's.

    Raises RuntimeError if it does not answer in time.
    """
    folder.mkdir(parents=True, exist_ok=True)
    [port] = free_ports(1)
    configured = {"spark.sql.warehouse.dir": str(warehouse), "spark.ui.enabled": "false", **settings}
    catalog = f"jdbc:derby:;databaseName={folder / 'metastore_db'};create=true"
    for_hive = {
        "hive.server2.thrift.port": str(port),
        "hive.server2.thrift.bind.host": ADDRESS,
        "javax.jdo.option.ConnectionURL": catalog,
    }
    command = [
        "spark-submit", "--class", THRIFT_SERVER, "--master", master,
        *(word for name, value in configured.items() for word in ("--conf", f"{name}={value}")),
        "spark-internal",
        *(word for name, value in for_hive.items() for word in ("--hiveconf", f"{name}={value}")),
    ]  # fmt: skip
    with running(folder, "thrift", command):
        wait_for(folder, "thrift", lambda: accepts(port))
        yield port


@contextlib.contextmanager
def running(folder: Path, name: str, command: list[str]) -> Iterator[None]:
    """One of pyspark's programs, in `folder`, where its log is as well; it ends with the context."""
    package = find_spec("pyspark")
    assert package is not None and package.origin is not None
    home = Path(package.origin).parent
    environment = os.environ | {
        "SPARK_HOME": str(home),
        "SPARK_LOCAL_IP": ADDRESS,
        "SPARK_LOCAL_DIRS": str(folder / "local"),
        "SPARK_LOG_DIR": str(folder),
    }
    program = [str(home / "bin" / command[0]), *command[1:]]
    with server_process(program, folder / f"{name}.log", cwd=folder, env=environment):
        yield


def wait_for(folder: Path, name: str, is_ready: Callable[[], bool]) -> None:
    """Wait until a program is ready; raises RuntimeError with its log's place if that takes too long."""
    deadline = time.monotonic() + READY_SECONDS
    while not is_ready():
        if time.monotonic() > deadline:
            raise RuntimeError(f"Spark's {name} did not start in {READY_SECONDS} s; see {folder / name}.log")
        time.sleep(0.2)


def accepts(port: int) -> bool:
    """Return whether a server accepts connections on this port."""
    with socket.socket() as client:
        return client.connect_ex((ADDRESS, port)) == 0


def workers_of(pages: int) -> int:
    """Return how many workers have joined the master whose pages are on this port."""
    try:
        with urllib.request.urlopen(f"http://{ADDRESS}:{pages}/json/", timeout=5) as answer:
            return int(json.load(answer)["aliveworkers"])
    except (OSError, ValueError):
        return 0
