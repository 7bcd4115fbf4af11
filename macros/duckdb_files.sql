{# What dbt on DuckDB does with files: read the seeds, write the manifest, make
   folders private. SQL cannot, so these are Python functions, in
   scripts/linkage/seeds.py and scripts/linkage/warehouse/files.py. dbt runs
   Python in `statement` blocks only, and only in macros that have
   "materialization" in their names. #}

{# A Python model, as dbt-duckdb runs them, that evaluates `call`: an
   expression over `files` and `seeds` (the two modules) and `connection`
   (DuckDB's). The text that it returns, if any, is then in the connection's
   variable `answer`. dbt-duckdb removes the file that it writes for this, but
   not Python's bytecode of it. #}
{% macro python_model(call) %}
{%- set project = graph.nodes['seed.image_linkage.reasons'].root_path %}
import os, sys
from contextlib import suppress
with suppress(FileNotFoundError):
    os.unlink(__spec__.cached)
sys.path.insert(0, {{ (project ~ '/scripts') | tojson }})
from linkage import seeds
from linkage.warehouse import files
def dbtObj(load_df):
    return None
def model(dbt, connection):
    answer = {{ call }}
    connection.execute("set variable answer = ?", [answer or ""])
    return connection.sql("select 1")
def materialize(df, connection):
    pass
{% endmacro %}

{# What the last Python on this connection returned; empty if it was nothing. #}
{% macro python_answer() %}
    {% set answer = run_query("select getvariable('answer')") %}
    {{ return(answer.columns[0].values()[0]) }}
{% endmacro %}

{# A seed of any size, every column text, by DuckDB's own CSV reader. A seed
   with `meta: {record_number: true}` also has the number of each record in its
   file, from 1; one with `appended: true` is read without a last record that is
   cut off. #}
{% materialization seed, adapter='duckdb' %}
    {%- set target_relation = this.incorporate(type='table') -%}
    {%- set old_relation = load_cached_relation(this) -%}
    {%- if old_relation is not none and not old_relation.is_table -%}
        {% do adapter.drop_relation(old_relation) %}
    {%- endif -%}
    {%- set meta = config.get('meta', {}) -%}
    {{ run_hooks(pre_hooks) }}

    {%- set call -%}
        seeds.load_seed(
            connection,
            {{ seed_file(model) | tojson }},
            {{ target_relation | string | tojson }},
            {{ model.columns.keys() | list | tojson }},
            record_number={{ meta.get('record_number', false) }},
            appended={{ meta.get('appended', false) }}
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
