{# Before anything runs: DuckDB's memory is bounded, folders that hold records are
   made private, before a whole build the manifest of the last one is taken away,
   so that a build that is killed leaves none, and settings are checked. #}
{% macro before_materialization() %}
    {% if execute %}
        {% if target.type == 'duckdb' %}
            {% do run_query("set global memory_limit = '" ~ var('duckdb_memory_limit') ~ "'") %}
            {% set folders = [flags.TARGET_PATH or 'target', flags.LOG_PATH] %}
            {% set call = "files.prepare(connection, " ~ (folders | tojson) ~ ", whole_build="
                ~ is_whole_build(selected_resources) ~ ")" %}
            {% call statement('prepare', language='python') %}{{ python_model(call) }}{% endcall %}
        {% endif %}
        {% do check_settings() %}
    {% endif %}
{% endmacro %}

{# After all: each failed test that has a sentence to say says it; then, on
   DuckDB, manifest.csv is written where every node of a whole build passed, and
   taken away where one failed. #}
{% macro after_materialization(results) %}
    {% if execute %}
        {% set failed = [] %}
        {% set run_nodes = [] %}
        {% for result in results %}
            {% do run_nodes.append(result.node.unique_id) %}
            {% if result.status not in ['success', 'pass', 'warn', 'no-op'] %}
                {% do failed.append(result.node.unique_id) %}
            {% endif %}
            {% if result.status in ['fail', 'warn'] and result.node.config.meta.get('sentence') %}
                {% for row in run_query("select sentence from (" ~ result.node.compiled_code ~ ") as findings limit 5") %}
                    {% do log(row['sentence'], info=true) %}
                {% endfor %}
            {% endif %}
        {% endfor %}
        {% if target.type == 'duckdb' and (failed or is_whole_build(run_nodes)) and not flags.EMPTY %}
            {% set call = "files.take_manifest_away()" if failed else "files.write_manifest(connection, "
                ~ (relation_of('copy_manifest') | tojson) ~ ")" %}
            {% call statement('manifest', language='python') %}{{ python_model(call) }}{% endcall %}
            {% do log(python_answer(), info=true) %}
        {% endif %}
    {% endif %}
{% endmacro %}

{# Whether these nodes are all that `dbt build` has to make and to test. #}
{% macro is_whole_build(unique_ids) %}
    {% if flags.WHICH != 'build' %}
        {{ return(false) }}
    {% endif %}
    {% for node in graph.nodes.values() %}
        {% if node.resource_type in ['seed', 'model', 'test'] and node.unique_id not in unique_ids %}
            {{ return(false) }}
        {% endif %}
    {% endfor %}
    {{ return(true) }}
{% endmacro %}

{# A model's table, for hooks, which have no ref of their own at parse time. #}
{% macro relation_of(name) %}
    {{ return(graph.nodes['model.image_linkage.' ~ name].relation_name) }}
{% endmacro %}
