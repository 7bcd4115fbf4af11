"""The importer in a process of its own that starts fast: the real one or, as a control, one that marks too early."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import import_filemaker_images
from linkage.filemaker.data_api import records, session
from linkage.filemaker.data_api.records import Record
from linkage.filemaker.importing import record as importing
from linkage.filemaker.importing import run
from linkage.filemaker.importing.record import Source, Task
from linkage.steps import run_script
from tests.support.copier_process import processes


@contextmanager
def importer(arguments: list[str], environment: dict[str, str], folder: Path, control: str = "") -> Iterator[Any]:
    """A process of the importer, with brief pauses, that has not begun; killed when the context ends.

    Its `go()` lets it begin. What it prints is in the files `stdout` and `stderr` of the folder.
    """
    waits, go = processes().Pipe(duplex=False)
    process = processes().Process(target=work, args=(waits, arguments, environment, folder, control))
    process.start()
    waits.close()
    process.go = lambda: go.send(None)
    try:
        yield process
    finally:
        process.kill()
        process.join()
        go.close()


def work(go: Connection, arguments: list[str], environment: dict[str, str], folder: Path, control: str) -> None:
    """What the new process does."""
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
    sys.stdout, sys.stderr = (open(number, "w", buffering=1, closefd=False) for number in (1, 2))  # noqa: SIM115
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["import_filemaker_images.py", *arguments]
    session.PAUSES = session.PAUSES_AT_SIGN_IN = records.PAUSES = run.PAUSES = (0.02, 0.05, 0.1, 0.2)
    run.FIRST_REST, run.LONGEST_REST, run.TICK = 0.02, 0.2, 0.02
    CONTROLS[control]()
    go.recv()
    run_script(import_filemaker_images.main)


# --- importers without a safeguard -----------------------------------------------------------------------------------


def mark_early() -> None:
    """Marks a record before its picture is in the dump."""
    upload = importing.upload

    def mark_and_upload(source: Source, task: Task, record: Record, container: str) -> Any:
        importing.mark(source, record)
        return upload(source, task, record, container)

    importing.upload = mark_and_upload


MARKS_EARLY = "marks early"
CONTROLS: dict[str, Callable[[], None]] = {"": lambda: None, MARKS_EARLY: mark_early}
