"""Time and memory of whole processes, as the operating system counts them."""

import os
import subprocess
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from statistics import median_high
from typing import NamedTuple


class Figures(NamedTuple):
    """One run of a process: wall-clock seconds, processor seconds and peak memory in MB."""

    wall: float
    cpu: float
    peak: float


def timed(command: list[str], environment: dict[str, str], cwd: str) -> Figures:
    """Run a command to its end and discard its output.

    A process's peak starts at the memory of the process that starts it. That is
    large here if it has written large files, so a small new process starts the command.

    Raises RuntimeError if the command fails.
    """
    with ProcessPoolExecutor(1, get_context("spawn")) as small:
        return small.submit(run, command, environment, cwd).result()


def run(command: list[str], environment: dict[str, str], cwd: str) -> Figures:
    """Run a command as `timed` does, but from this process."""
    started = time.perf_counter()
    process = subprocess.Popen(command, env=environment, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command[:2])} ended with exit code {process.returncode}")
    return Figures(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000)


def spread(values: list[float]) -> str:
    """Return minimum, median and maximum as text in three columns."""
    return f"{min(values):8.1f} {median_high(values):8.1f} {max(values):8.1f}"
