"""The progress of a long step, shown on stderr."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

REDRAWN = 0.5  # seconds, on a terminal
LONGEST = 60  # seconds without a line, elsewhere, while something is finished
LINES = 20  # at most, of a known total, elsewhere
SLOW = 10  # rows per second: below it, the rate is shown with a decimal
ROWS_OF_A_LINE = {True: 1_000, False: 100_000}  # at least, by whether the total is known
Advance = Callable[[int], None]


@contextmanager
def progress(total: int | None = None) -> Iterator[Advance]:
    """Yield a function to call with the number of rows, or objects, that were just finished.

    Of a known total it shows the rate and the time left. The line is redrawn in
    place on a terminal; elsewhere a plain line is added now and then.
    """
    terminal = sys.stderr.isatty()
    step = max(ROWS_OF_A_LINE[total is not None], (total or 0) / LINES)
    started = redrawn = time.monotonic()
    finished = shown = 0

    def advance(count: int) -> None:
        nonlocal finished, shown, redrawn
        finished += count
        now = time.monotonic()
        if terminal and (now - redrawn >= REDRAWN or finished == total):
            redrawn = now
            print(f"\r{text(finished, total, now - started)}\033[K", end="", file=sys.stderr, flush=True)
        elif not terminal and (finished - shown >= step or now - redrawn >= LONGEST):
            shown, redrawn = finished, now
            print(text(finished, total, now - started), file=sys.stderr, flush=True)

    try:
        yield advance
    finally:
        if terminal and finished:
            print(file=sys.stderr)


def text(finished: int, total: int | None, seconds: float) -> str:
    """What to show after this many seconds."""
    if total is None:
        return f"{finished:,} objects"
    rate = finished / max(seconds, 0.001)
    left = timedelta(seconds=round((total - finished) / rate))
    return f"{finished:,} of {total:,}, {rate:,.{int(rate < SLOW)}f}/s, {left} left"
