"""The tables of a build on DuckDB as Spark leaves those of its builds: folders of Parquet files, and build_proof."""

from pathlib import Path

import duckdb

from linkage.warehouse.parquet_seeds import declared_seeds, digest
from linkage.warehouse.spark_marts import MEMORY

PARTS = 3  # of each table


def write_as_spark(warehouse: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """Write every table and view of the warehouse into `folder`, and the proof that the build passed."""
    seeds = {seed.name: digest(seed.path) for seed in declared_seeds()}
    found = warehouse.execute("select table_name from information_schema.tables").fetchall()
    proof = []
    for (name,) in found:
        if name not in MEMORY:
            [(count,)] = warehouse.execute(f'select count(*) from "{name}"').fetchall()
            proof.append(("seed" if name in seeds else "mart", name, count, seeds.get(name)))
            write_table(warehouse, f'"{name}"', count, folder / name)
    warehouse.execute("create temporary table proof (kind text, name text, row_count bigint, digest text)")
    warehouse.executemany("insert into proof values (?, ?, ?, ?)", proof)
    write_table(warehouse, "proof", len(proof), folder / "build_proof")


def write_table(warehouse: duckdb.DuckDBPyConnection, table: str, count: int, folder: Path) -> None:
    """Write a table in its order as several files, of which the last to be written has the first rows."""
    folder.mkdir(parents=True)
    rows = -(-count // PARTS) or 1
    for part in reversed(range(PARTS)):
        path = folder / f"part-{part:05}-0d6c7ab8-c000.snappy.parquet"
        warehouse.execute(f"copy (from {table} limit {rows} offset {part * rows}) to '{path}' (format parquet)")
    (folder / "_SUCCESS").touch()
