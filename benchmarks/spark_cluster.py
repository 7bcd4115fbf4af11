"""`make spark-cluster`: a clinic on a standalone Spark cluster, by both methods, compared with DuckDB row for row.

`python -m benchmarks.spark_cluster 20000` for fewer rows than a million; `… 20000 spark_thrift` for one method.
"""

import contextlib
import json
import os
import sys
import tempfile
from pathlib import Path

import duckdb

from benchmarks.large_folder import write_large_folder
from benchmarks.processes import timed
from linkage.paths import PROJECT_ROOT
from linkage.seeds import literal
from sandbox.settings import DEFAULT_VARS
from sandbox.spark_cluster import ADDRESS, spark_cluster, thrift_server

SCHEMA = "image_linkage"
PARTITIONS = 8  # of a shuffle: more than there are processors, so that the manifest has several files
# What Spark needs whoever starts it; profiles.yml.example has the same for `method: session`.
SETTINGS = {
    "spark.sql.shuffle.partitions": str(PARTITIONS),
    "spark.sql.adaptive.advisoryPartitionSizeInBytes": "4m",  # small files are kept apart
    "spark.sql.legacy.allowNonEmptyLocationInCTAS": "true",
    "spark.hadoop.fs.permissions.umask-mode": "077",
    "spark.executor.memory": "2g",
    "spark.driver.memory": "2g",
    "spark.log.level": "ERROR",
}


def main(rows: int = 1_000_000, targets: tuple[str, ...] = ("spark", "spark_thrift")) -> None:
    """Build on DuckDB, on the cluster from this machine's session, and through a Thrift server; print the seconds.

    Raises RuntimeError if a mart or the manifest differs.
    """
    print(f"\nSpark: {rows:,} export rows and objects; a master and two workers of one core and 2 GB each; one run")
    with tempfile.TemporaryDirectory(prefix="image-linkage-spark-") as name:
        folder = Path(name)
        write_large_folder(folder / "data", rows, rows // 10)
        write_profile(folder / "profiles")
        environment: dict[str, str] = os.environ | {
            "LINKAGE_DATA": str(folder / "data"),
            "LINKAGE_STAGED": str(folder / "staged"),
            "LINKAGE_WAREHOUSE": str(folder / "image_linkage.duckdb"),
            "DBT_PROFILES_DIR": str(folder / "profiles"),
            "DBT_TARGET_PATH": str(folder / "target"),
            "DBT_LOG_PATH": str(folder / "logs"),
            "SPARK_LOCAL_IP": ADDRESS,
            "SPARK_LOCAL_DIRS": str(folder / "local"),
        }

        def step(title: str, command: list[str], **changes: str) -> None:
            seconds = timed([sys.executable, *command], environment | changes, str(PROJECT_ROOT)).wall
            print(f"{title:42}{seconds:8.1f} s", flush=True)

        dbt = [str(Path(sys.executable).with_name("dbt")), "build", "--exclude-resource-type", "unit_test"]
        dbt += ["--vars", json.dumps(DEFAULT_VARS), "--target"]
        expected = folder / "expected.csv"
        step("dbt build, DuckDB", [*dbt, "duckdb"], MANIFEST_PATH=str(expected))
        step("stage_seeds.py", ["scripts/stage_seeds.py", str(folder / "staged")])
        with spark_cluster(folder / "cluster") as master:
            for target in targets:
                with contextlib.ExitStack() as server:
                    warehouse, manifest = folder / target, folder / f"{target}.csv"
                    environment |= {
                        "MANIFEST_PATH": str(manifest),
                        "LINKAGE_SPARK_MASTER": master,
                        "LINKAGE_SPARK_WAREHOUSE": str(warehouse),
                    }
                    if target == "spark_thrift":
                        place = folder / "thrift-server"
                        port = server.enter_context(thrift_server(place, master, warehouse, SETTINGS))
                        environment |= {"SPARK_THRIFT_HOST": ADDRESS, "SPARK_THRIFT_PORT": str(port)}
                    step(f"dbt build --target {target}, cluster", [*dbt, target])
                tables = warehouse / f"{SCHEMA}.db"
                step("write_manifest.py", ["scripts/write_manifest.py", "--spark", str(tables)])
                if unequal := differences(folder / "image_linkage.duckdb", tables):
                    raise RuntimeError(f"{target} and DuckDB differ in {', '.join(unequal)}")
                if manifest.read_bytes() != expected.read_bytes():
                    raise RuntimeError(f"{target} and DuckDB differ in the manifest")
                files = len(list((tables / "copy_manifest").glob("*.parquet")))
                print(f"{'':4}the same marts, row for row, and the same manifest (from {files} files)", flush=True)


def write_profile(folder: Path) -> None:
    """Write profiles.yml.example with as many partitions as `SETTINGS`."""
    text = (PROJECT_ROOT / "profiles.yml.example").read_text(encoding="utf-8")
    one = 'spark.sql.shuffle.partitions: "1"'
    assert one in text
    names = ("spark.sql.shuffle.partitions", "spark.sql.adaptive.advisoryPartitionSizeInBytes", "spark.executor.memory")
    lines = "\n        ".join(f'{name}: "{SETTINGS[name]}"' for name in names)
    folder.mkdir()
    (folder / "profiles.yml").write_text(text.replace(one, lines), encoding="utf-8")


def differences(warehouse: Path, tables: Path) -> list[str]:
    """The marts that are not, row for row, those of the DuckDB file."""
    unequal = []
    with duckdb.connect(config={"memory_limit": "2GB", "temp_directory": str(tables.parent / "spilled")}) as connection:
        connection.execute(f"attach {literal(str(warehouse))} as expected (read_only)")
        for mart in sorted(path.stem for path in (PROJECT_ROOT / "models" / "marts").rglob("*.sql")):
            found, ours = f"read_parquet({literal(f'{tables}/{mart}/*.parquet')})", f"expected.main.{mart}"
            names = [name for name, *_ in connection.execute(f"describe {ours}").fetchall()]
            columns = ", ".join(f'"{name}"' for name in names)
            query = f"""
                select count(*) from (
                    (select {columns} from {found} except all select {columns} from {ours})
                    union all
                    (select {columns} from {ours} except all select {columns} from {found})
                )
            """
            if connection.execute(query).fetchall() != [(0,)]:
                unequal.append(mart)
    return unequal


if __name__ == "__main__":
    os.umask(0o077)
    main(int((sys.argv[1:] or ["1_000_000"])[0]), tuple(sys.argv[2:]) or ("spark", "spark_thrift"))
