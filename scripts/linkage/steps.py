"""How a step begins, with its environment, and how it ends: a person reads one sentence and no trace."""

import argparse
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from dotenv import load_dotenv
from dotenv.parser import parse_stream

from linkage.errors import UnusableInput
from linkage.paths import PROJECT_ROOT

ENV_FILE = PROJECT_ROOT / ".env"
ENCODING = "utf-8-sig"  # some editors write a BOM
CLOSED = 141  # as a shell reports a program whose output nobody reads any more: 128 + SIGPIPE


def run_script(main: Callable[[], int | None]) -> None:
    """Read `.env`, run `main`, and exit with its code (None: 0), or with 2 and one line on stderr.

    Ctrl-C ends with 130, as in a shell, and a closed standard output, such as that
    of `… | head`, with 141.
    """
    try:
        read_environment()
        code = main() or 0
        if sys.stdout:  # a shell can start a program without one
            sys.stdout.flush()
        sys.exit(code)
    except UnusableInput as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("stopped by Ctrl-C", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        discard(sys.stdout)
        sys.exit(CLOSED)


@contextmanager
def stopping(*signals: signal.Signals) -> Iterator[threading.Event]:
    """An event that the first Ctrl-C, or other signal named, sets, in place of an exception in the middle of something.

    The second Ctrl-C raises KeyboardInterrupt, wherever the main thread is.
    """
    stop = threading.Event()

    def handle(*_: object) -> None:
        stop.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, *signals)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def perhaps_unread(stream: TextIO) -> Iterator[None]:
    """Send what is written to a stream from now on to nowhere if nobody reads it any more."""
    try:
        yield
    except BrokenPipeError:
        discard(stream)


def discard(stream: TextIO) -> None:
    """Send to nowhere what is left of a stream, which Python writes, and would complain about, when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def positive(text: str) -> int:
    """Parse a whole number above 0; raises argparse's own error for anything else."""
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError("must be a whole number above 0")
    return int(text)


def read_environment() -> None:
    """Add the variables of `.env` that the shell does not set; a variable that is empty counts as not set.

    `PYTHON_DOTENV_DISABLED=1` leaves the file out, as python-dotenv documents.

    Raises UnusableInput if a line of `.env` cannot be read: a setting would be missing.
    """
    remove_empty()
    if os.environ.get("PYTHON_DOTENV_DISABLED") != "1":
        check_lines(ENV_FILE)
        load_dotenv(ENV_FILE, override=False, encoding=ENCODING)
    remove_empty()


def check_lines(path: Path) -> None:
    """Raise UnusableInput for a line of the file `path`, if there is one, that python-dotenv would leave out."""
    if not path.exists():
        return
    try:
        with path.open(encoding=ENCODING) as file:
            bindings = list(parse_stream(file))
    except UnicodeDecodeError:
        raise UnusableInput(f"{path.name} is not UTF-8: save it as UTF-8") from None
    except OSError as error:
        raise UnusableInput(f"{path.name} cannot be read ({error.strerror}): check who may read it") from None
    for binding in bindings:
        if binding.error or (binding.key and binding.value is None):
            # a statement begins where the one before it ended, which can be several empty lines above it
            line = binding.original.line + len(binding.original.string) - len(binding.original.string.lstrip("\n"))
            raise UnusableInput(f"line {line} of {path.name} cannot be read: write NAME=value, or # before a comment")


def remove_empty() -> None:
    """Remove every variable without a value: other programs, such as the AWS SDK, would take it for a value."""
    for name in [name for name, value in os.environ.items() if not value]:
        del os.environ[name]
