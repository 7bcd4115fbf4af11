"""Run `dbt build` on the data folder with the variables of .env; show what failed, the warnings and the summary.

Options are dbt's own. `dbt build` does the same; it reads no .env, shows every
step, and reads the sample if LINKAGE_DATA is not set.
"""

import os
import sys
from pathlib import Path
from typing import NoReturn

import duckdb

from linkage.errors import UnusableInput
from linkage.paths import PROJECT_ROOT, data_folder, warehouse_path
from linkage.steps import run_script

DBT = Path(sys.executable).with_name("dbt")


def main() -> NoReturn:
    """Become dbt, once it is clear that it can write to the warehouse; the exit code is dbt's."""
    os.umask(0o077)
    check_warehouse(warehouse_path())
    colours = {} if sys.stdout.isatty() else {"DBT_USE_COLORS": "false"}
    environment = {"DBT_LOG_LEVEL": "warn", **colours, **os.environ, "LINKAGE_DATA": str(data_folder())}
    os.chdir(PROJECT_ROOT)
    os.execve(DBT, [str(DBT), "build", *sys.argv[1:]], environment)


def check_warehouse(path: Path) -> None:
    """Raise UnusableInput if DuckDB cannot write to the file `path`: dbt would end with a traceback."""
    if set("?#") & set(str(path)):  # dbt-duckdb takes the path for a URL, and names the database after a part of it
        raise UnusableInput(f"dbt cannot build in {path}: set LINKAGE_WAREHOUSE to a path without ? and #")
    if not path.parent.is_dir():
        raise UnusableInput(f"the folder {path.parent}, where the warehouse is to be, does not exist: make it first")
    try:
        duckdb.connect(str(path)).close()
    except duckdb.Error as error:
        if "set lock on file" in str(error):
            raise UnusableInput(f"another program has the warehouse {path} open: close it, then run again") from None
        raise UnusableInput(
            f"the warehouse {path} cannot be opened ({type(error).__name__}): check that you may write to it; if it is "
            "not a file of this version of DuckDB, move it away, for a build makes it again"
        ) from None


if __name__ == "__main__":
    run_script(main)
