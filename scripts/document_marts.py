"""Write dbt's documentation of all tables and columns, for the data folder, as one page that needs no network.

Other options are those of `dbt docs generate`.
"""

import argparse
import os
import subprocess

from build_marts import DBT, check_warehouse
from linkage.errors import UnusableInput
from linkage.files import write_atomically
from linkage.paths import PROJECT_ROOT, data_folder, place, warehouse_path
from linkage.steps import run_script

# dbt's page can load a script that counts visits, if statistics are not switched off everywhere.
ISOLATED = (
    '<head><meta http-equiv="Content-Security-Policy" content="default-src \'none\'; img-src data:; font-src data:; '
    "style-src 'unsafe-inline'; script-src 'unsafe-inline' 'unsafe-eval'\">"
)


def main() -> int:
    """Let dbt write the page, shut it off from the network, and say where it is; if dbt fails, its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    _, options = parser.parse_known_args()
    os.umask(0o077)
    warehouse = warehouse_path()
    if not warehouse.is_file():
        raise UnusableInput(f"the warehouse {warehouse} is missing: run `dbt build`")
    check_warehouse(warehouse)
    page = (place("DBT_TARGET_PATH") or PROJECT_ROOT / "target") / "static_index.html"
    ended = subprocess.run(
        [DBT, "--quiet", "docs", "generate", "--static", *options],
        check=False,
        cwd=PROJECT_ROOT,
        env=os.environ | {"LINKAGE_DATA": str(data_folder())},
    )
    if ended.returncode:
        return ended.returncode
    text = page.read_text(encoding="utf-8")
    with write_atomically(page) as file:
        file.write(text.replace("<head>", ISOLATED, 1))
    print(f"The documentation is ready: open {page.resolve().as_uri()}")
    return 0


if __name__ == "__main__":
    run_script(main)
