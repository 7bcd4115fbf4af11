"""How long `dbt seed` and `dbt build` take on PostgreSQL, compared with DuckDB."""

import json
import os
import sys
import tempfile
from pathlib import Path

import psycopg

from benchmarks.large_folder import write_large_folder
from benchmarks.processes import Figures, spread, timed
from linkage.paths import PROJECT_ROOT
from sandbox.postgres_server import postgres_server
from sandbox.settings import DEFAULT_VARS

COMMANDS = {
    "dbt seed, PostgreSQL": ("seed", "--target", "postgres"),
    "dbt build, PostgreSQL": ("build", "--target", "postgres"),
    "dbt build, DuckDB": ("build", "--target", "duckdb"),
}


def main(rows: int = 100_000, patients: int = 10_000, runs: int = 3) -> None:
    """Run the commands in turn, `runs` times; print seconds and memory of each."""
    print(f"\nPostgreSQL: {rows:,} export rows, {rows:,} objects, {patients:,} patients; {runs} runs in turn")
    print("The same seeds and models on both databases; there is no limit to keep", flush=True)

    figures: dict[str, list[Figures]] = {title: [] for title in COMMANDS}
    with tempfile.TemporaryDirectory() as name, postgres_server() as url:
        folder = Path(name)
        write_large_folder(folder / "data", rows, patients)
        address = psycopg.conninfo.conninfo_to_dict(url)
        environment: dict[str, str] = os.environ | {
            "LINKAGE_DATA": str(folder / "data"),
            "LINKAGE_WAREHOUSE": str(folder / "image_linkage.duckdb"),
            "MANIFEST_PATH": str(folder / "manifest.csv"),
            "DBT_TARGET_PATH": str(folder / "target"),
            "DBT_LOG_PATH": str(folder / "logs"),
            "PGDATABASE": str(address["dbname"]),
            **{f"PG{part.upper()}": str(address[part]) for part in ("host", "port", "user", "password")},
        }
        dbt, settings = str(Path(sys.executable).with_name("dbt")), ["--vars", json.dumps(DEFAULT_VARS)]
        for _ in range(runs):
            for title, command in COMMANDS.items():
                figures[title].append(timed([dbt, *command, *settings], environment, str(PROJECT_ROOT)))
    print(f"{'':34}{'min':>8} {'median':>8} {'max':>8}")
    for title, measured in figures.items():
        print(f"{title:26}{'wall s':>8}{spread([run.wall for run in measured])}")
        print(f"{'':26}{'peak MB':>8}{spread([run.peak for run in measured])}")
