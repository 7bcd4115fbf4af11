"""Reading the marts out of the DuckDB file that dbt builds."""

import duckdb


def read_settings(connection: duckdb.DuckDBPyConnection, schema: str) -> dict[str, str]:
    """The settings that the marts in `schema` were built with, by name: the mart build_settings, all texts."""
    return dict(connection.execute(f'select name, value from "{schema}".build_settings').fetchall())
