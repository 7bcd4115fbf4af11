"""The one way to run a script: however it ends, a person reads one sentence and no trace."""

import os
import sys
from collections.abc import Callable

CLOSED = 141  # as a shell reports a program whose output nobody reads any more: 128 + SIGPIPE


class UnusableInput(Exception):
    """An input or setting cannot be used.

    The message is one sentence that says what is wrong, where (record, line or
    key) and what to do. It contains no value of a patient.
    """


def run_script(main: Callable[[], int | None]) -> None:
    """Read `.env`, run `main`, and exit with its code (None: 0), or with 2 and one line on stderr.

    Ctrl-C ends with 130, as in a shell, and a closed standard output, such as that
    of `… | head`, with 141.
    """
    from linkage.environment import read_environment  # it knows the paths, which know the error above

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
