"""Write manifest.csv from the models on PostgreSQL, if the last whole dbt build passed.

libpq's own variables name the database: PGHOST, PGUSER, PGPASSWORD and so on.
"""

import argparse
import os

import psycopg
from psycopg import sql

from linkage.copying.manifest import COLUMNS
from linkage.errors import UnusableInput
from linkage.files import csv_line, write_atomically
from linkage.nexus.postgres_errors import database_errors
from linkage.paths import manifest_path
from linkage.steps import run_script
from linkage.warehouse.mark import MARKED_MART, PROVED

CONNECT_SECONDS = 10


def main() -> None:
    """Write the manifest, or remove an older one: nothing is copied from a mapping that failed its own tests."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    schema = os.environ.get("LINKAGE_SCHEMA", "image_linkage")
    parser.add_argument(
        "--schema", default=schema, help="the schema of the models; default: LINKAGE_SCHEMA, or %(default)s"
    )
    schema = parser.parse_args().schema
    table = sql.Identifier(schema, "copy_manifest")

    path = manifest_path()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
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
