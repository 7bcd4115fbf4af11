{# Before anything runs: the target is prepared and settings are checked. Before
   a whole build the last one's manifest is removed, so that a build that is
   killed leaves none, and before any run that makes what is handed over, the
   mark of the last build. On DuckDB, memory is limited and folders that hold
   records are made private, too. #}
{% macro before_materialization() %}
    {% if execute %}
        {% set whole = is_whole_build(selected_resources) %}
        {% if target.type == 'duckdb' %}
            {% set folders = [flags.TARGET_PATH or 'target', flags.LOG_PATH] %}
            {% set call = 'files.prepare(connection, ' ~ (folders | tojson)
                ~ ', whole_build=' ~ whole ~ ')' %}
            {% call statement('prepare', language='python') %}
            {{- python_model(call) }}
            {% endcall %}
        {% else %}
            {% do check_encoding() %}
        {% endif %}
        {# these run hooks, too, and make nothing #}
        {% set makes = flags.WHICH not in ['compile', 'generate', 'test'] %}
        {% if makes and makes_what_is_handed_over(selected_resources) %}
            {% do mark_build(none) %}
        {% endif %}
        {% do check_settings() %}
        {% if target.type == 'duckdb' %}
            {% set limit = var('duckdb_memory_limit') %}
            {% do run_query("set global memory_limit = '" ~ limit ~ "'") %}
        {% endif %}
    {% endif %}
{% endmacro %}

{# After everything: each failed test that has a sentence says it. Then, if
   every node of a whole build passed, the manifest is written and the build
   marked; if a node of any run failed, both are removed. DuckDB writes
   manifest.csv itself; on PostgreSQL scripts/write_manifest.py does, if the
   build is marked. #}
{% macro after_materialization(results) %}
    {% if execute %}
        {% set passed = ['success', 'pass', 'warn', 'no-op'] %}
        {% set failed = results | rejectattr('status', 'in', passed) | list %}
        {% set made = results | map(attribute='node.unique_id') | list %}
        {% do say_sentences(results) %}
        {% set whole = is_whole_build(made) %}
        {% if (failed or whole) and not flags.EMPTY %}
            {% if target.type == 'duckdb' %}
                {% set manifest = 'model.image_linkage.copy_manifest' %}
                {% set relation = graph.nodes[manifest].relation_name %}
                {% set call = 'files.remove_manifest()' if failed
                    else 'files.write_manifest(connection, '
                    ~ (relation | tojson) ~ ')' %}
                {% call statement('manifest', language='python') %}
                {{- python_model(call) }}
                {% endcall %}
                {% set said = python_answer() %}
            {% else %}
                {% set said = 'No manifest: the build did not pass. Correct'
                    ~ ' what failed, then run `dbt build` again.' if failed
                    else 'scripts/write_manifest.py can write the manifest.'
                %}
            {% endif %}
            {% do mark_build(
                none if failed
                else 'made by a build that passed all of its tests'
            ) %}
            {% do log(said, info=true) %}
        {% endif %}
    {% endif %}
{% endmacro %}

{# Log the first sentences of each test that found something. A test that has
   sentences is configured with `meta: {sentence: true}` and selects a column
   `sentence`; `sentences: N` in meta says N of them instead of five. #}
{% macro say_sentences(results) %}
    {% for result in results %}
        {% set node = result.node %}
        {% if result.status in ['fail', 'warn'] and node.config.meta.sentence %}
            {% set findings = "(" ~ node.compiled_code ~ ") as findings" %}
            {% set limit = node.config.meta.sentences or 5 %}
            {% set query = "select sentence from " ~ findings ~ " limit "
                ~ limit %}
            {% for row in run_query(query) %}
                {% do log(row['sentence'], info=true) %}
            {% endfor %}
        {% endif %}
    {% endfor %}
{% endmacro %}

{# Whether these nodes are everything that `dbt build` makes and tests, apart
   from unit tests. #}
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
