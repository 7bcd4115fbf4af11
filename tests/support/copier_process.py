"""The copier in a process of its own that starts fast: the real one or, as a control, one without a safeguard."""

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any
from unittest.mock import patch

import copy_objects
from linkage.copying import resume, rules
from linkage.copying import run as copy_run
from linkage.copying.results import HEADER
from linkage.ledger import LedgerFile
from linkage.s3.answers import Answer
from linkage.s3.clients import s3_client
from linkage.s3.engines import open_engine
from linkage.steps import run_script


@cache
def processes() -> Any:
    """Starts processes in which the copier, and whatever else tests run this way, is already imported."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "publish_to_nexus", "tests.support.importer_process"])
    with patch.dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)):
        forkserver.ensure_running()
    return context


def run_copier(
    arguments: list[str],
    environment: dict[str, str],
    folder: Path,
    begin: Callable[[int], None],
    *,
    control: str = "",
    timeout: float = 240,
) -> CompletedProcess[str]:
    """Run the copier; `begin` is called with its process id before it does anything. A `control` pauses only briefly.

    A run that takes longer than `timeout` seconds is killed, and its exit code is `None`.
    """
    said, errors = folder / "stdout", folder / "stderr"
    waits, go = processes().Pipe(duplex=False)
    process = processes().Process(target=copy, args=(waits, arguments, environment, said, errors, control))
    process.start()
    waits.close()
    try:
        begin(process.pid)
        go.send(None)
        process.join(timeout)
        code = process.exitcode
    finally:
        process.kill()
        process.join()
        go.close()
    return CompletedProcess(arguments, code, said.read_text(), errors.read_text())


def copy(
    go: Connection, arguments: list[str], environment: dict[str, str], said: Path, errors: Path, control: str
) -> None:
    """What the new process does."""
    for descriptor, path in ((1, said), (2, errors)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
    sys.stdout, sys.stderr = (open(number, "w", buffering=1, closefd=False) for number in (1, 2))  # noqa: SIM115
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["copy_objects.py", *arguments]
    if control:
        hurry()
        CONTROLS[control]()
    go.recv()
    run_script(copy_objects.main)


# --- copiers without a safeguard -------------------------------------------------------------------------------------


def overwrite() -> None:
    """Overwrites existing objects."""
    copy_objects.check_store = lambda *_: None
    rules.copy_conditions = lambda row: {"CopySourceIfMatch": f'"{row.source_etag}"'}


def take_any_source() -> None:
    """Copies the source even if it has changed."""
    copy_objects.check_store = lambda *_: None
    rules.copy_conditions = lambda row: {"IfNoneMatch": "*"}


def lie() -> None:
    """Reports copies that it has not made."""

    @contextmanager
    def open_nothing(*_: object) -> Iterator[Any]:
        yield lambda parameters, size, done: done(Answer(200, "", parameters["CopySourceIfMatch"].strip('"')))

    copy_objects.check_store = lambda *_: None
    copy_objects.open_engine = open_nothing


def move() -> None:
    """Deletes the original after copying it."""

    @contextmanager
    def open_mover(*arguments: Any) -> Iterator[Any]:
        client = s3_client()
        with open_engine(*arguments) as send:

            def send_and_delete(parameters: Any, size: int, done: Callable[[Answer], None]) -> None:
                def delete(answer: Answer) -> None:
                    if answer.status == 200:
                        client.delete_object(**parameters["CopySource"])
                    done(answer)

                send(parameters, size, delete)

            yield send_and_delete

    copy_objects.open_engine = open_mover


def forget() -> None:
    """Starts a new results file in each run."""
    read = LedgerFile.read

    def read_nothing(results: LedgerFile) -> Iterator[Any]:
        os.ftruncate(results.descriptor, min(len(HEADER), os.fstat(results.descriptor).st_size))
        return read(results)

    LedgerFile.read = read_nothing


def omit() -> None:
    """Records nothing."""
    LedgerFile.append = lambda *_: None


def give_up() -> None:
    """Never retries."""
    copy_run.PAUSES = ()


def hurry() -> None:
    """Pauses a twentieth as long between tries; otherwise the real copier."""
    copy_run.PAUSES = tuple(pause / 20 for pause in copy_run.PAUSES)


def copy_blindly() -> None:
    """Finds the originals too many for a shard to list; otherwise the real copier."""
    resume.source_pages = lambda _: sys.maxsize


HURRIES, BLIND = "hurries", "blind"
CONTROLS = {
    HURRIES: lambda: None,
    BLIND: copy_blindly,
    "overwrites": overwrite,
    "takes any source": take_any_source,
    "lies": lie,
    "moves": move,
    "forgets": forget,
    "omits": omit,
    "gives up": give_up,
}
