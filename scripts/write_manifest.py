"""Write manifest.csv from the models on PostgreSQL or, with --spark, on Spark, if the last whole dbt build passed.

libpq's own variables name the database: PGHOST, PGUSER, PGPASSWORD and so on. Of a build on Spark, FOLDER is the
folder of the schema, such as spark-warehouse/image_linkage.db, on this machine: Spark's own, or a copy of it.
"""

import argparse
import os
from pathlib import Path

import psycopg
from psycopg import sql

from linkage.copying.manifest import COLUMNS
from linkage.errors import UnusableInput
from linkage.files import csv_line, write_atomically
from linkage.nexus.postgres_errors import database_errors
from linkage.paths import manifest_path, warehouse_path
from linkage.steps import run_script
from linkage.warehouse.files import write_manifest
from linkage.warehouse.mark import MARKED_MART, PROVED
from linkage.warehouse.spark_marts import MANIFEST, load_marts, open_marts

CONNECT_SECONDS = 10


def main() -> None:
    """Write the manifest, or remove an older one: nothing is copied from a mapping that failed its own tests."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    schema = os.environ.get("LINKAGE_SCHEMA", "image_linkage")
    parser.add_argument(
        "--schema", default=schema, help="the schema of the models; default: LINKAGE_SCHEMA, or %(default)s"
    )
    parser.add_argument("--spark", type=Path, metavar="FOLDER", help="the tables of a build on Spark, as Parquet files")
    parser.add_argument(
        "--load",
        action="store_true",
        help="with --spark: also put the tables into the warehouse of the data folder, for publish_to_nexus.py, "
        "build_review_site.py and query_marts.py",
    )
    arguments = parser.parse_args()
    if arguments.load and not arguments.spark:
        parser.error("--load needs --spark: the other engines need no loading")

    path = manifest_path()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if arguments.spark:
        from_spark(arguments.spark.absolute(), path, load=arguments.load)
    else:
        from_postgres(arguments.schema, path)


def from_spark(folder: Path, path: Path, *, load: bool) -> None:
    """Write the manifest from what a build on Spark left; with `load`, first put all of it into the warehouse."""
    os.umask(0o077)
    path.unlink(missing_ok=True)
    try:
        with open_marts(folder) as (connection, tables):
            if load:
                print(load_marts(connection, tables, warehouse_path()))
            print(write_manifest(connection, tables[MANIFEST]))
    except UnusableInput as error:
        raise UnusableInput(f"no {path.name}: {error}") from None


def from_postgres(schema: str, path: Path) -> None:
    """Write the manifest from the table copy_manifest in a schema of PostgreSQL."""
    table = sql.Identifier(schema, "copy_manifest")
    database = os.environ.get("PGDATABASE", "image_linkage")
    with (
        database_errors("PostgreSQL"),
        psycopg.connect(dbname=database, connect_timeout=CONNECT_SECONDS, client_encoding="UTF8") as connection,
    ):
        if not has_passed(connection, sql.Identifier(schema, MARKED_MART)):
            path.unlink(missing_ok=True)
            raise UnusableInput(
                f"no {path.name}: the last `dbt build --target postgres` did not pass as a whole; "
                "run it again, and then this command"
            )
        columns = sql.SQL(", ").join(map(sql.Identifier, COLUMNS))
        query = sql.SQL("copy (select {} from {} order by ctid) to stdout").format(columns, table)
        with write_atomically(path) as file, connection.cursor() as cursor:
            file.write(csv_line(COLUMNS))
            with cursor.copy(query) as copy:
                file.writelines(map(csv_line, copy.rows()))
            count = cursor.rowcount
    print(f"{path.name}: {count:,} objects to copy.")


def has_passed(connection: psycopg.Connection, table: sql.Identifier) -> bool:
    """Whether `table` exists and has the mark of a build that passed; from now on it is locked."""
    name = table.as_string(connection)
    if connection.execute("select to_regclass(%s)", [name]).fetchone() == (None,):
        return False
    connection.execute(sql.SQL("lock table {} in share mode").format(table))
    query = "select obj_description(to_regclass(%s), 'pg_class')"
    return connection.execute(query, [name]).fetchone() == (PROVED,)


if __name__ == "__main__":
    run_script(main)
