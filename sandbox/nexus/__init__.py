"""Small Django projects that stand in for Nexus, `plan`, `generic` and `bigint`; each runs in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

PROJECT_ROOT = Path(__file__).resolve().parents[2]


def migrate(url: str, site: str) -> None:
    """Run the migrations of `site` in the database that `url` names.

    Raises CalledProcessError if they fail; Django's message is on stderr.
    """
    run(url, site, "-m", "django", "migrate", "--verbosity=0")


def ask(url: str, site: str, code: str) -> Any:
    """The JSON that `code`, whole lines of Python, prints in a process where `site` is set up on this database.

    Raises CalledProcessError if the code fails; its traceback is on stderr.
    """
    # On stdin, because every user of the machine can read a process's arguments.
    return json.loads(run(url, site, "-", code=f"import django\ndjango.setup()\n{code}"))


def run(url: str, site: str, *arguments: str, code: str = "") -> str:
    """The output of Python, called with these arguments and with `code` as its input."""
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": f"sandbox.nexus.{site}.settings",
        "NEXUS_DATABASE_URL": url,
        "PYTHONPATH": str(PROJECT_ROOT),
        "PYTHONUTF8": "1",
    }
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, input=code, env=environment, stdout=subprocess.PIPE, encoding="utf-8", check=True
    ).stdout
