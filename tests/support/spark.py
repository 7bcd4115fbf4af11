"""dbt on Spark, as tests call it: in this process, with one Java virtual machine, which starts once."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import duckdb

from linkage.seeds import literal
from linkage.warehouse.parquet_seeds import stage_seeds
from tests.support.projects import FASTER, InProcess, Project

# For a few thousand rows, compiling a query to Java, and planning it again while it runs, take longer than running it.
SMALL = {
    "spark.sql.codegen.wholeStage": "'false'",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.adaptive.enabled": "'false'",
}


@dataclass
class SparkProject(Project):
    """One place to run dbt on Spark in; its tables are read from their files, by DuckDB."""

    def __post_init__(self):
        super().__post_init__()
        profile = self.work / "profiles" / "profiles.yml"
        lines = "".join(f"        {name}: {value}\n" for name, value in SMALL.items())
        text = profile.read_text()
        assert text.count("      server_side_parameters:\n") == 2
        profile.write_text(
            text.replace("      server_side_parameters:\n", "      server_side_parameters:\n" + lines, 1)
        )

    @property
    def environment(self) -> dict[str, str]:
        return super().environment | {
            "DBT_TARGET": "spark",
            "LINKAGE_STAGED": str(self.work / "staged"),
            "LINKAGE_SPARK_WAREHOUSE": str(self.work / "spark"),
            "LINKAGE_SPARK_MASTER": "local[2]",
            "SPARK_LOCAL_IP": "127.0.0.1",
        }

    @property
    def tables(self) -> Path:
        """The folder of the schema."""
        return self.work / "spark" / "image_linkage.db"

    def stage(self) -> None:
        with patch.dict(os.environ, self.environment):
            stage_seeds(self.work / "staged")

    def query(self, sql: str) -> list[tuple]:
        with duckdb.connect() as connection:
            for folder in self.tables.iterdir():
                files = sorted(map(str, folder.glob("*.parquet")))
                if files and folder.name in sql:
                    read = f"read_parquet([{', '.join(map(literal, files))}])"
                    connection.execute(f'create view "{folder.name}" as from {read}')
            return connection.execute(sql).fetchall()


@contextmanager
def dbt_on_spark(project: SparkProject) -> Iterator[InProcess]:
    """dbt in this process; Spark is stopped at the end."""
    dbt = InProcess(project, options=(*FASTER, "--no-use-colors"))  # which is parsed by itself
    dbt.options = FASTER
    yield dbt
    from pyspark.sql import SparkSession

    if session := SparkSession.getActiveSession():
        session.stop()
