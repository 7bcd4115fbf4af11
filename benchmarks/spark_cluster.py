"""`make spark-cluster`: a clinic on a standalone Spark cluster, by both methods, compared with DuckDB row for row.

`python -m benchmarks.spark_cluster 20000` for fewer rows than a million.
"""

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
    "spark.sql.legacy.allowNonEmptyLocationInCTAS": "true",
    "spark.hadoop.fs.permissions.umask-mode": "077",
    "spark.executor.memory": "2g",
    "spark.driver.memory": "2g",
    "spark.log.level": "ERROR",
}
THRIFT = f"""\
image_linkage:
  target: spark
  outputs:
    spark:
      type: spark
      method: thrift
      host: {ADDRESS}
      port: {{port}}
      user: linkage
      schema: {SCHEMA}
      threads: 2
"""


def main(rows: int = 1_000_000) -> None:
    """Build on DuckDB, on the cluster from this machine's session, and through a Thrift server; print the seconds.

    Raises RuntimeError if a mart or the manifest differs.
    """
    print(f"\nSpark: {rows:,} export rows and objects; a master and two workers of one core and 2 GB each; one run")
    with tempfile.TemporaryDirectory(prefix="image-linkage-spark-") as name:
        folder = Path(name)
        write_large_folder(folder / "data", rows, rows // 10)
        environment: dict[str, str] = os.environ | {
            "LINKAGE_DATA": str(folder / "data"),
            "LINKAGE_STAGED": str(folder / "staged"),
            "LINKAGE_WAREHOUSE": str(folder / "image_linkage.duckdb"),
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
            for method in ("session", "thrift"):
                warehouse = folder / method
                manifest = folder / f"{method}.csv"
                places = {
                    "MANIFEST_PATH": str(manifest),
                    "LINKAGE_SPARK_MASTER": master,
                    "LINKAGE_SPARK_WAREHOUSE": str(warehouse),
                    "DBT_PROFILES_DIR": str(folder / f"profile-{method}"),
                }
                title = f"dbt build, cluster, method {method}"
                if method == "session":
                    write_profile(folder / "profile-session", session_profile())
                    step(title, [*dbt, "spark"], **places)
                else:
                    with thrift_server(folder / "thrift-server", master, warehouse, SETTINGS) as port:
                        write_profile(folder / "profile-thrift", THRIFT.format(port=port))
                        step(title, [*dbt, "spark"], **places)
                tables = warehouse / f"{SCHEMA}.db"
                step(
                    f"write_manifest.py, method {method}",
                    ["scripts/write_manifest.py", "--spark", str(tables)],
                    **places,
                )
                if unequal := differences(folder / "image_linkage.duckdb", tables):
                    raise RuntimeError(f"method {method} and DuckDB differ in {', '.join(unequal)}")
                if manifest.read_bytes() != expected.read_bytes():
                    raise RuntimeError(f"method {method} and DuckDB differ in the manifest")
                files = len(list((tables / "copy_manifest").glob("*.parquet")))
                print(f"{'':4}the same marts, row for row, and the same manifest (from {files} files)", flush=True)


def session_profile() -> str:
    """profiles.yml.example with as many partitions as `SETTINGS`."""
    text = (PROJECT_ROOT / "profiles.yml.example").read_text(encoding="utf-8")
    one = 'spark.sql.shuffle.partitions: "1"'
    assert one in text
    return text.replace(one, f'spark.sql.shuffle.partitions: "{PARTITIONS}"\n        spark.executor.memory: 2g')


def write_profile(folder: Path, text: str) -> None:
    """Write a profiles.yml."""
    folder.mkdir()
    (folder / "profiles.yml").write_text(text, encoding="utf-8")


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
    main(*map(int, sys.argv[1:]))
