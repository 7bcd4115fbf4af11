"""The mark of a build that passed: a comment on the mart build_settings, on DuckDB and PostgreSQL alike.

dbt sets it after a whole build in which every node passed, and removes it before
any run that makes one of the tables that copying and publishing depend on
(`macros/build_mark.sql`). Copying relies on the manifest, publishing on this mark.
"""

import duckdb

MARKED_MART = "build_settings"
PROVED = "made by a build that passed all of its tests"


def proved_schema(connection: duckdb.DuckDBPyConnection) -> str | None:
    """The schema of the connection's current database whose marts come from a build that passed, or None."""
    query = """
        select schema_name from duckdb_tables()
        where database_name = current_database() and table_name = ? and comment = ?
        order by schema_name
    """
    found = connection.execute(query, [MARKED_MART, PROVED]).fetchone()
    return found[0] if found else None
