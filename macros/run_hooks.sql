{# Before anything runs: DuckDB's memory is bounded, folders that hold records
   are made private, settings are checked; and before a whole build the manifest
   of the last one is taken away, so that a build that is killed leaves none. #}
{% macro before_materialization() %}
    {% if execute %}
        {% if target.type == 'duckdb' %}
            {% set limit = var('duckdb_memory_limit') %}
            {% do run_query("set global memory_limit = '" ~ limit ~ "'") %}
            {% set folders = [flags.TARGET_PATH or 'target', flags.LOG_PATH] %}
            {% set call = 'files.prepare(connection, ' ~ (folders | tojson)
                ~ ', whole_build=' ~ is_whole_build(selected_resources) ~ ')' %}
            {% call statement('prepare', language='python') %}
            {{- python_model(call) }}
            {% endcall %}
        {% endif %}
        {% do check_settings() %}
    {% endif %}
{% endmacro %}

{# After all: each failed test that has a sentence to say says it; then, on
   DuckDB, manifest.csv is written where every node of a whole build passed, and
   taken away where one failed. #}
{% macro after_materialization(results) %}
    {% if execute %}
        {% set passed = ['success', 'pass', 'warn', 'no-op'] %}
        {% set failed = results | rejectattr('status', 'in', passed) | list %}
        {% set made = results | map(attribute='node.unique_id') | list %}
        {% do say_sentences(results) %}
        {% set whole = is_whole_build(made) %}
        {% set decided = (failed or whole) and not flags.EMPTY %}
        {% if target.type == 'duckdb' and decided %}
            {% set mart = graph.nodes['model.image_linkage.copy_manifest'] %}
            {% set call = 'files.take_manifest_away()' if failed
                else 'files.write_manifest(connection, '
                ~ (mart.relation_name | tojson) ~ ')' %}
            {% call statement('manifest', language='python') %}
            {{- python_model(call) }}
            {% endcall %}
            {% do log(python_answer(), info=true) %}
        {% endif %}
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
