"""The environment of a script: the variables of the shell, and those that .env in the project root adds."""

import os

from dotenv import load_dotenv

from linkage.paths import PROJECT_ROOT

ENV_FILE = PROJECT_ROOT / ".env"


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
