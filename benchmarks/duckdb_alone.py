"""DuckDB alone, for comparison: reads the seeds and runs the compiled models of a dbt run, and nothing else.

Usage: python -m benchmarks.duckdb_alone MANIFEST_JSON DATABASE MEMORY_LIMIT
"""

import json
import sys
from pathlib import Path

import duckdb
from linkage.duckdb_files import DIALECT


def main(artifact: Path, database: Path, memory_limit: str) -> None:
    """Make every seed and model of dbt's artifact `manifest.json` in a new database."""
    nodes = json.loads(artifact.read_text())["nodes"]
    connection = duckdb.connect(str(database))
    connection.execute(f"set memory_limit = '{memory_limit}'")
    connection.execute("set enable_progress_bar = false")
    made: set[str] = set()

    def make(name: str) -> None:
        node = nodes[name]
        if name in made or node["resource_type"] not in ("seed", "model"):
            return
        made.add(name)
        for parent in node["depends_on"]["nodes"] if node["resource_type"] == "model" else ():
            make(parent)
        if node["resource_type"] == "seed":
            path = Path(node["root_path"]) / node["original_file_path"]
            columns = ", ".join(f"'{column}': 'varchar'" for column in node["columns"])
            query = f"select * from read_csv('{path}', columns = {{{columns}}}, {DIALECT})"
            kind = "table"
        else:
            query, kind = node["compiled_code"], node["config"]["materialized"]
        connection.execute(f"create {kind} {node['relation_name']} as {query}")

    for name in nodes:
        make(name)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
