{# Before anything runs: the target is prepared and settings are checked. Before
   a whole build the last one's manifest is removed, so that a build that is
   killed leaves none, and before any run that makes what is handed over, the
   mark of the last build. On DuckDB, memory is limited and folders that hold
   records are made private, too. #}
{% macro before_materialization() %}
    {% if execute %}
        {% set whole = is_whole_build(selected_resources) %}
        {# these run hooks, too, and make nothing #}
        {% set makes = flags.WHICH not in ['compile', 'generate', 'test'] %}
        {% if target.type == 'duckdb' %}
            {% set folders = [flags.TARGET_PATH or 'target', flags.LOG_PATH] %}
            {% set call = 'files.prepare(connection, '
                ~ (data_folder() | tojson) ~ ', ' ~ (folders | tojson)
                ~ ', makes=' ~ makes ~ ', whole_build=' ~ whole ~ ')' %}
            {% call statement('prepare', language='python') %}
            {{- python_model(call) }}
            {% endcall %}
            {% if python_answer() %}
                {% do exceptions.raise_compiler_error(python_answer()) %}
            {% endif %}
        {% elif target.type == 'postgres' %}
            {% do check_encoding() %}
        {% elif makes %}
            {% do check_spark() %}
        {% endif %}
        {% if makes %}
            {% do keep_marts_of_a_clinic() %}
        {% endif %}
        {% if makes and makes_what_is_handed_over(selected_resources) %}
            {% do mark_build(none) %}
        {% endif %}
        {% do check_settings() %}
        {% if makes %}
            {% do prepare_memory() %}
        {% endif %}
        {% if target.type == 'duckdb' %}
            {% set limit = setting('duckdb_memory_limit') %}
            {% do run_query("set global memory_limit = '" ~ limit ~ "'") %}
        {% endif %}
    {% endif %}
{% endmacro %}

{# After everything: each failed test that has a sentence says it. Then, if
   every node of a whole build passed, the manifest is written, the build marked
   and its summary shown; if a node of any run failed, manifest and mark are
   removed. DuckDB writes manifest.csv itself; on PostgreSQL
   scripts/write_manifest.py does, if the build is marked. #}
{% macro after_materialization(results) %}
    {% if execute %}
        {% set passed = ['success', 'pass', 'warn', 'no-op'] %}
        {% set failed = results | rejectattr('status', 'in', passed) | list %}
        {% set made = results | map(attribute='node.unique_id') | list %}
        {% set lines = sentences(results) %}
        {% set whole = is_whole_build(made) %}
        {% if (failed or whole) and not flags.EMPTY %}
            {% do remember_build() if not failed %}
            {% if target.type == 'duckdb' %}
                {% set manifest = 'model.image_linkage.copy_manifest' %}
                {% set relation = graph.nodes[manifest].relation_name %}
                {% set call = 'files.remove_manifest()' if failed
                    else 'files.write_manifest(connection, '
                    ~ (relation | tojson) ~ ')' %}
                {% call statement('manifest', language='python') %}
                {{- python_model(call) }}
                {% endcall %}
                {% do lines.append(python_answer()) %}
            {% else %}
                {% do lines.append(
                    'No manifest: the build did not pass. Correct'
                    ~ ' what failed, then run `dbt build` again.' if failed
                    else 'scripts/write_manifest.py can write the manifest.'
                ) %}
            {% endif %}
            {% do mark_build(
                none if failed
                else 'made by a build that passed all of its tests'
            ) %}
            {% if not failed %}
                {% do lines.extend(summary()) %}
            {% endif %}
        {% endif %}
        {# dbt says more after this hook; where Python runs, our lines wait #}
        {% set text = lines | join('\n') %}
        {% if lines and target.type == 'duckdb' %}
            {% set call = 'files.say_at_exit(' ~ (text | tojson) ~ ')' %}
            {% call statement('say', language='python') %}
            {{- python_model(call) }}
            {% endcall %}
            {% set text = python_answer() %}
        {% endif %}
        {% if text %}
            {% do print(text) %}
        {% endif %}
    {% endif %}
{% endmacro %}

{# The first sentences of each test that found something. A test that has
   sentences is configured with `meta: {sentence: true}` and selects a column
   `sentence`; `sentences: N` in meta says N of them instead of five. #}
{% macro sentences(results) %}
    {% set lines = [] %}
    {% for result in results %}
        {% set node = result.node %}
        {% if result.status in ['fail', 'warn'] and node.config.meta.sentence %}
            {% set findings = "(" ~ node.compiled_code ~ ") as findings" %}
            {% set limit = node.config.meta.sentences or 5 %}
            {% set query = "select sentence from " ~ findings ~ " limit "
                ~ limit %}
            {% for row in run_query(query) %}
                {% do lines.append(
                    ('Warning: ' if result.status == 'warn' else 'Failed: ')
                    ~ row['sentence']
                ) %}
            {% endfor %}
        {% endif %}
    {% endfor %}
    {{ return(lines) }}
{% endmacro %}

{# The lines of the summary, from the mart import_summary: its totals, and below
   each the figures that it consists of and are not zero. #}
{% macro summary() %}
    {% set mart = graph.nodes['model.image_linkage.import_summary'] %}
    {% set rows = run_query(
        'select metric, value from ' ~ mart.relation_name
        ~ ' order by value desc, metric'
    ) %}
    {% set figures = dict(rows) %}
    {% set lines = [''] %}
    {% for label, total, more, kind in [
        ('export rows', 'export_rows', '', none),
        ('linked', 'linked_images',
            'in {:,} batches'.format(figures['image_batches'] | int), none),
        ('already linked', 'already_linked_images', '', none),
        ('skipped', 'skipped_images', '', 'skipped_'),
        ('objects', 'objects', '', none),
        ('unmatched', 'unmatched_objects', '', 'unmatched_'),
        ('to copy', 'objects_to_copy',
            '{:,} bytes'.format(figures['bytes_to_copy'] | int), none),
        ('changed since the last build', none,
            '' if figures['rows_of_last_build']
            else ': this is the first one', 'changes_'),
        ('to review', none, '', 'finding_'),
    ] %}
        {% set parts = [] %}
        {% for metric, figure in rows %}
            {% if kind and metric.startswith(kind) and metric != total
                and figure %}
                {% do parts.append('  {:<24}{:>10,}'.format(
                    metric[kind | length:], figure | int
                )) %}
            {% endif %}
        {% endfor %}
        {% if total %}
            {% do lines.append('{:<26}{:>10,}   {}'.format(
                label, figures[total] | int, more
            ).rstrip()) %}
        {% else %}
            {% do lines.append(
                label ~ (more or (': nothing' if not parts else ''))
            ) %}
        {% endif %}
        {% do lines.extend(parts) %}
    {% endfor %}
    {% if is_sample() %}
        {% do lines.append(
            'This is the sample of the project, with invented records: set'
            ~ ' LINKAGE_DATA to build your own.'
        ) %}
    {% endif %}
    {{ return(lines) }}
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
