"""Write the seeds as Parquet files into FOLDER, for `dbt build --target spark`.

The seven seeds of the data folder and the project's own lists are checked as a build on DuckDB checks them. The data
folder is only read.
"""

import argparse
import os
import shlex
from pathlib import Path

from linkage.errors import UnusableInput
from linkage.paths import outside_sample
from linkage.steps import run_script
from linkage.warehouse.parquet_seeds import stage_seeds


def main() -> None:
    """Stage all seeds, or fail with a sentence about the first that cannot be read."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", metavar="FOLDER", help="where the files go, on this machine; made if it is missing")
    named = parser.parse_args().folder
    if "://" in named:
        raise UnusableInput(
            f"{named} is not a folder on this machine: name one, copy its files to where Spark reads them, and set "
            "LINKAGE_STAGED to that place"
        )
    os.umask(0o077)
    folder = outside_sample(Path(named).absolute())
    rows = stage_seeds(folder)
    print(
        f"Staged {sum(rows.values()):,} rows of {len(rows)} seeds. If Spark reads this folder itself:  "
        f"export LINKAGE_STAGED={shlex.quote(str(folder))}"
    )
    if not os.environ.get("LINKAGE_DATA"):
        print("To make dbt build from this data folder:  export LINKAGE_DATA=data")


if __name__ == "__main__":
    run_script(main)
