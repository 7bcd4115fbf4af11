{# Before anything runs: the target is made ready, and settings are checked.
   Before a whole build the manifest of the last one is taken away, so that a
   build that is killed leaves none. On DuckDB memory is bounded, too, and
   folders that hold records are made private. #}
{% macro before_materialization() %}
    {% if execute %}
        {% set whole = is_whole_build(selected_resources) %}
        {% if target.type == 'duckdb' %}
            {% set limit = var('duckdb_memory_limit') %}
            {% do run_query("set global memory_limit = '" ~ limit ~ "'") %}
            {% set folders = [flags.TARGET_PATH or 'target', flags.LOG_PATH] %}
            {% set call = 'files.prepare(connection, ' ~ (folders | tojson)
                ~ ', whole_build=' ~ whole ~ ')' %}
            {% call statement('prepare', language='python') %}
            {{- python_model(call) }}
            {% endcall %}
        {% else %}
            {% do check_encoding() %}
            {% if whole %}{% do mark_manifest(none) %}{% endif %}
        {% endif %}
        {% do check_settings() %}
    {% endif %}
{% endmacro %}

{# After all: each failed test that has a sentence to say says it; then the
   manifest is made where every node of a whole build passed, and taken away
   where one failed. DuckDB writes manifest.csv itself; on PostgreSQL
   scripts/write_manifest.py does, of a table that is marked. #}
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
            {% set call = 'files.take_manifest_away(connection)' if failed
                else 'files.write_manifest(connection, '
                ~ (mart.relation_name | tojson) ~ ')' %}
            {% call statement('manifest', language='python') %}
            {{- python_model(call) }}
            {% endcall %}
            {% do log(python_answer(), info=true) %}
        {% elif decided %}
            {% do mark_manifest(
                none if failed
                else 'made by a build that passed all of its tests'
            ) %}
            {% do log(
                'No manifest: the build did not pass; mend what failed and run'
                ~ ' dbt build again.' if failed
                else 'scripts/write_manifest.py can write the manifest now.',
                info=true
            ) %}
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
