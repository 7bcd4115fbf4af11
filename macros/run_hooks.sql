{# Before anything runs: settings are checked, and the target made ready. Before
   a whole build the manifest of the last one is taken away, so that a build that
   is killed leaves none. #}
{% macro before_materialization() %}
    {% if execute %}
        {% do make_ready(is_whole_build(selected_resources)) %}
        {% do check_settings() %}
    {% endif %}
{% endmacro %}

{# After all: each failed test that has a sentence to say says it; then the
   manifest is made where every node of a whole build passed, and taken away
   where one failed. #}
{% macro after_materialization(results) %}
    {% if execute %}
        {% set passed = ['success', 'pass', 'warn', 'no-op'] %}
        {% set failed = results | rejectattr('status', 'in', passed) | list %}
        {% set made = results | map(attribute='node.unique_id') | list %}
        {% do say_sentences(results) %}
        {% set whole = is_whole_build(made) %}
        {% if (failed or whole) and not flags.EMPTY %}
            {% do settle_manifest(passed=not failed) %}
        {% endif %}
    {% endif %}
{% endmacro %}

{# Make the target ready for a run. #}
{% macro make_ready(whole_build) %}
    {% do adapter.dispatch('make_ready', 'image_linkage')(whole_build) %}
{% endmacro %}

{# DuckDB's memory is bounded, and folders that hold records are made private. #}
{% macro duckdb__make_ready(whole_build) %}
    {% set limit = var('duckdb_memory_limit') %}
    {% do run_query("set global memory_limit = '" ~ limit ~ "'") %}
    {% set folders = [flags.TARGET_PATH or 'target', flags.LOG_PATH] %}
    {% set call = 'files.prepare(connection, ' ~ (folders | tojson)
        ~ ', whole_build=' ~ whole_build ~ ')' %}
    {% call statement('prepare', language='python') %}
    {{- python_model(call) }}
    {% endcall %}
{% endmacro %}

{# Texts of any language need UTF-8. #}
{% macro postgres__make_ready(whole_build) %}
    {% if run_query('show server_encoding').columns[0][0] != 'UTF8' %}
        {% do exceptions.raise_compiler_error(
            'the database ' ~ target.dbname ~ ' cannot be used: its encoding is'
            ~ ' not UTF8; create it anew with encoding UTF8'
        ) %}
    {% endif %}
    {% if whole_build %}{% do mark_manifest(none) %}{% endif %}
{% endmacro %}

{# Make the manifest of the mart copy_manifest, or take an older one away. #}
{% macro settle_manifest(passed) %}
    {% do adapter.dispatch('settle_manifest', 'image_linkage')(passed) %}
{% endmacro %}

{# DuckDB writes manifest.csv itself. #}
{% macro duckdb__settle_manifest(passed) %}
    {% set mart = graph.nodes['model.image_linkage.copy_manifest'] %}
    {% set call = 'files.write_manifest(connection, '
        ~ (mart.relation_name | tojson) ~ ')' if passed
        else 'files.take_manifest_away(connection)' %}
    {% call statement('manifest', language='python') %}
    {{- python_model(call) }}
    {% endcall %}
    {% do log(python_answer(), info=true) %}
{% endmacro %}

{# On PostgreSQL scripts/write_manifest.py writes it, of a table so marked. #}
{% macro postgres__settle_manifest(passed) %}
    {% do mark_manifest('passed' if passed) %}
    {% do log(
        'python scripts/write_manifest.py now writes the manifest.' if passed
        else 'No manifest: the build did not pass; mend what failed and run dbt'
        ~ ' build again.', info=true
    ) %}
{% endmacro %}

{# Give the table copy_manifest, where it is there, a comment, or none. A table
   that is made anew has none. #}
{% macro mark_manifest(mark) %}
    {% set mart = graph.nodes['model.image_linkage.copy_manifest'] %}
    {% if adapter.get_relation(mart.database, mart.schema, mart.alias) %}
        {% call statement('mark_manifest') %}
            comment on table {{ mart.relation_name }}
            is {{ text_literal(mark) if mark else 'null' }}
        {% endcall %}
        {% do adapter.commit() %}
    {% endif %}
{% endmacro %}

{# The first sentences of each test that found something and has some: tests say
   so by `meta: {sentence: true}`, and select a column `sentence`. #}
{% macro say_sentences(results) %}
    {% for result in results %}
        {% set node = result.node %}
        {% if result.status in ['fail', 'warn'] and node.config.meta.sentence %}
            {% set findings = "(" ~ node.compiled_code ~ ") as findings" %}
            {% set query = "select sentence from " ~ findings ~ " limit 5" %}
            {% for row in run_query(query) %}
                {% do log(row['sentence'], info=true) %}
            {% endfor %}
        {% endif %}
    {% endfor %}
{% endmacro %}

{# Whether these nodes are all that `dbt build` has to make and to test. #}
{% macro is_whole_build(unique_ids) %}
    {% if flags.WHICH != 'build' %}
        {{ return(false) }}
    {% endif %}
    {% for node in graph.nodes.values() %}
        {% if node.resource_type in ['seed', 'model', 'test'] %}
            {% if node.unique_id not in unique_ids %}
                {{ return(false) }}
            {% endif %}
        {% endif %}
    {% endfor %}
    {{ return(true) }}
{% endmacro %}
