"""The one way to end a script whose input cannot be used: a sentence and exit code 2."""

import sys
from collections.abc import Callable


class UnusableInput(Exception):
    """An input or setting cannot be used.

    The message is one sentence that says what is wrong, where (record, line or
    key) and what to do. It contains no value of a patient.
    """


def run_script(main: Callable[[], int | None]) -> None:
    """Run `main` and exit with its code (None: 0), or with 2 and one line on stderr.

    Ctrl-C ends with 130, as in a shell.
    """
    try:
        sys.exit(main() or 0)
    except UnusableInput as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("stopped by Ctrl-C", file=sys.stderr)
        sys.exit(130)
