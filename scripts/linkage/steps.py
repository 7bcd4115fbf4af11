"""How a step begins, with its environment, and how it ends: a person reads one sentence and no trace."""

import os
import sys
from collections.abc import Callable

from dotenv import load_dotenv

from linkage.errors import UnusableInput
from linkage.paths import PROJECT_ROOT

ENV_FILE = PROJECT_ROOT / ".env"
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
        # Python writes what is left when it ends, and would complain then.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(CLOSED)


def read_environment() -> None:
    """Add the variables of `.env` that the shell does not set; a variable that is empty counts as not set.

    `PYTHON_DOTENV_DISABLED=1` leaves the file out, as python-dotenv documents.
    """
    remove_empty()
    load_dotenv(ENV_FILE, override=False)
    remove_empty()


def remove_empty() -> None:
    """Remove every variable without a value: other programs, such as the AWS SDK, would take it for a value."""
    for name in [name for name, value in os.environ.items() if not value]:
        del os.environ[name]
