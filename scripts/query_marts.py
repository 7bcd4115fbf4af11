"""Open DuckDB's shell on a read-only copy of the marts of the data folder; dbt can build meanwhile.

With SQL, or if standard input is not a terminal, it answers and ends. The copy has the marts as tables, and the
questions of analyses/ as views, which the table `questions` lists.
"""

import argparse
import os
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from linkage.errors import UnusableInput
from linkage.paths import warehouse_path
from linkage.steps import run_script
from linkage.warehouse.query_copy import query_copy

INTRODUCTION = """\
This is a copy of the marts of {}; nothing that you do here changes them.
    from questions;             what has been asked before, and how to ask it again
    from skipped_by_reason;     one of these questions
    .tables                     all tables with their columns
    .quit                       ends; the copy is removed
"""


def main() -> int:
    """Copy the marts, let the shell ask, and remove the copy; an answer that fails gives the shell's exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sql", nargs="?", help="what to answer, instead of opening a shell")
    parser.add_argument("--warehouse", type=Path, help="the DuckDB file that dbt built; default: the data folder's")
    arguments = parser.parse_args()
    os.umask(0o077)
    shell = find_shell()
    warehouse = arguments.warehouse or warehouse_path()
    # the copy is removed even if the terminal is closed
    for ends in (signal.SIGHUP, signal.SIGTERM):
        signal.signal(ends, lambda number, _: sys.exit(128 + number))
    with query_copy(warehouse) as (copy, passed):
        if not passed:
            print("The last build did not pass all of its tests: do not rely on these marts.", file=sys.stderr)
        # what was typed may name a patient: it is kept where the records are
        environment = {"DUCKDB_HISTORY": str(warehouse.parent / ".query_history"), **os.environ}
        signal.signal(signal.SIGINT, lambda *_: None)  # Ctrl-C ends a query, not the shell
        if arguments.sql is None and sys.stdin.isatty():
            print(INTRODUCTION.format(warehouse))
            subprocess.run([shell, "-readonly", copy], check=False, env=environment)
            return 0  # the shell's is 1 if anything that was typed failed
        asked = [] if arguments.sql is None else [arguments.sql]
        command = [shell, "-readonly", "-cmd", ".maxrows 1000000000", copy, *asked]
        return subprocess.run(command, check=False, env=environment).returncode


def find_shell() -> Path:
    """DuckDB's shell itself: the command `duckdb` of the package duckdb-cli is a Python program that ends at Ctrl-C."""
    package = find_spec("duckdb_cli")
    if package is None or package.origin is None:
        raise UnusableInput("DuckDB's shell is not installed here: install requirements.txt again (`make setup`)")
    return Path(package.origin).with_name("duckdb")


if __name__ == "__main__":
    run_script(main)
