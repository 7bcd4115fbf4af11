{# What dbt on DuckDB does with files: read the seeds, write the manifest, keep
   folders private. SQL cannot; so these are Python functions, in
   scripts/linkage/duckdb_files.py. dbt runs Python in `statement` blocks, and
   only of macros that have "materialization" in their names. #}

{# A Python model, as dbt-duckdb runs them, that evaluates `call`: an expression
   over `files` (the module) and `connection` (DuckDB's). Its text, or none, is
   then in the connection's variable `answer`. dbt-duckdb removes the file that
   it makes of this, and leaves Python's bytecode of it to us. #}
{% macro python_model(call) %}
{%- set project = graph.nodes['seed.image_linkage.reasons'].root_path %}
import os, sys
from contextlib import suppress
with suppress(FileNotFoundError):
    os.unlink(__spec__.cached)
sys.path.insert(0, {{ (project ~ '/scripts') | tojson }})
from linkage import duckdb_files as files
def dbtObj(load_df):
    return None
def model(dbt, connection):
    answer = {{ call }}
    connection.execute("set variable answer = ?", [answer or ""])
    return connection.sql("select 1")
def materialize(df, connection):
    pass
{% endmacro %}

{# What the Python of this connection answered; empty where it said nothing. #}
{% macro python_answer() %}
    {% set answer = run_query("select getvariable('answer')") %}
    {{ return(answer.columns[0].values()[0]) }}
{% endmacro %}

{# A seed of any size, every column text, by DuckDB's own CSV reader. The SQL is
   never named 'main': dbt would write it over a CSV with an absolute path. #}
{% materialization seed, adapter='duckdb' %}
    {%- set target_relation = this.incorporate(type='table') -%}
    {%- set old_relation = load_cached_relation(this) -%}
    {%- if old_relation is not none and not old_relation.is_table -%}
        {% do adapter.drop_relation(old_relation) %}
    {%- endif -%}
    {{ run_hooks(pre_hooks) }}

    {%- set call -%}
        files.load_seed(
            connection,
            {{ adapter.get_seed_file_path(model) | tojson }},
            {{ target_relation | string | tojson }},
            {{ model.columns.keys() | list | tojson }}
        )
    {%- endset %}
    {% call statement('load_seed', language='python') %}
    {{- python_model(call) }}
    {% endcall %}
    {%- set problem = python_answer() -%}
    {%- if problem -%}
        {{ exceptions.raise_compiler_error(problem) }}
    {%- endif -%}

    {% do store_result('main', response='CREATE') %}
    {% do store_result('agate_table', response='CREATE') %}
    {% do persist_docs(target_relation, model) %}
    {{ run_hooks(post_hooks) }}
    {% do adapter.commit() %}
    {{ return({'relations': [target_relation]}) }}
{% endmaterialization %}
