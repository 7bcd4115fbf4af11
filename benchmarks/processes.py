"""Whole processes, timed by the operating system."""

import os
import subprocess
import time
from statistics import median_high
from typing import NamedTuple


class Figures(NamedTuple):
    """One run of a process: wall-clock seconds, processor seconds, and the peak of its memory in MB."""

    wall: float
    cpu: float
    peak: float


def timed(command: list[str], environment: dict[str, str], cwd: str) -> Figures:
    """Run a command to its end; its output is thrown away.

    Raises RuntimeError where it fails.
    """
    started = time.perf_counter()
    process = subprocess.Popen(command, env=environment, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command[:2])} ended with exit code {process.returncode}")
    return Figures(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000)


def spread(values: list[float]) -> str:
    """Minimum, median and maximum."""
    return f"{min(values):8.1f} {median_high(values):8.1f} {max(values):8.1f}"
