"""The DuckDB file that dbt builds: what dbt calls, the mark of a build that passed, and reading the marts."""
