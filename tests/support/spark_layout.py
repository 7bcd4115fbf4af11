"""The tables of a build on DuckDB as Spark leaves those of its builds: folders of Parquet files, and build_proof."""

import hashlib
from pathlib import Path
from uuid import uuid4

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
            names = write_table(warehouse, f'"{name}"', count, folder / name)
            proof.append(("seed" if name in seeds else "mart", name, count, seeds.get(name) or sha256(names)))
    warehouse.execute("create temporary table proof (kind text, name text, row_count bigint, digest text)")
    warehouse.executemany("insert into proof values (?, ?, ?, ?)", proof)
    write_table(warehouse, "proof", len(proof), folder / "build_proof")


def write_table(warehouse: duckdb.DuckDBPyConnection, table: str, count: int, folder: Path) -> str:
    """Write a table in its order as several files, the last one first; the names of those with rows."""
    folder.mkdir(parents=True)
    build = uuid4()
    rows = -(-count // PARTS) or 1
    names = [f"part-{part:05}-{build}-c000.snappy.parquet" for part in range(PARTS)]
    for part, name in reversed(list(enumerate(names))):
        query = f"from {table} limit {rows} offset {part * rows}"
        warehouse.execute(f"copy ({query}) to '{folder / name}' (format parquet)")
    (folder / "_SUCCESS").touch()
    return ",".join(name for part, name in enumerate(names) if part * rows < count)


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
