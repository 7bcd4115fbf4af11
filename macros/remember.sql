{# What a build remembers for the next one, in two tables beside the marts that
   are not models, because dbt would make a model again: last_build_outcome has
   the records as the last build of a data folder that passed saw them, and
   build_changes has every change that a build that passed has found. Models
   read them as the source `memory`. #}
{% macro memory_tables() %}
    {{ return({
        'last_build_outcome': {
            'data_folder': 'text',
            'record': 'text',
            'occurrence': 'bigint',
            'is_repeated': 'boolean',
            'decision': 'text',
            'filemaker_patient_id': 'text',
            'filemaker_date': 'date',
            'patient_id': 'text',
            'published_patient_id': 'text',
            'batch_id': 'text',
        },
        'build_changes': {
            'data_folder': 'text',
            'built_at': 'text',
            'recid': 'text',
            'change': 'text',
            'before': 'text',
            'after': 'text',
        },
    }) }}
{% endmacro %}

{# Make the tables that are missing. One of last_build_outcome with other
   columns, by another version of this project, is made again, empty: the next
   build is then a first one. What is in build_changes is never dropped. #}
{% macro prepare_memory() %}
    {{ return(adapter.dispatch('prepare_memory', 'image_linkage')()) }}
{% endmacro %}

{% macro default__prepare_memory() %}
    {% set sources = 'source.image_linkage.memory.' %}
    {% set source = graph.sources[sources ~ 'build_changes'] %}
    {% if adapter.check_schema_exists(source.database, source.schema) %}
        {% call statement('prepare_memory') %}
            {% for table, columns in memory_tables().items() %}
            {% set relation = memory_relation(table) %}
            {% set present = adapter.get_relation(
                source.database, source.schema, table
            ) %}
            {% set names = adapter.get_columns_in_relation(present)
                | map(attribute='name') | list if present else [] %}
            {% if present and table == 'last_build_outcome'
                and names != columns | list %}
            drop table {{ relation }};
            {% endif %}
            create table if not exists {{ relation }} (
                {%- for column, type in columns.items() %}
                {{ column }} {{ type }}{{ "," if not loop.last }}
                {%- endfor %}
            );
            {% endfor %}
            select 1;
        {% endcall %}
        {% do adapter.commit() %}
    {% endif %}
{% endmacro %}

{# After a whole build that passed: its changes are added to build_changes, and
   last_build_outcome becomes build_outcome, all of it or nothing. After a first
   build every row is written; later only those that differ, because writing a
   million rows takes longer than comparing them. #}
{% macro remember_build() %}
    {{ return(adapter.dispatch('remember_build', 'image_linkage')()) }}
{% endmacro %}

{% macro default__remember_build() %}
    {% set models = 'model.image_linkage.' %}
    {% set changes = graph.nodes[models ~ 'changes_since_last_build'] %}
    {% set outcomes = graph.nodes[models ~ 'build_outcome'] %}
    {% set differences = graph.nodes[models ~ 'build_differences'] %}
    {% set folder = text_literal(data_folder()) %}
    {% set state = memory_relation('last_build_outcome') %}
    {% set keys = ['record', 'occurrence'] %}
    {% set facts = memory_tables()['last_build_outcome'] | list
        | reject('in', keys + ['data_folder']) | list %}
    {% set built_at = run_started_at.strftime('%Y-%m-%dT%H:%M:%S.%fZ') %}
    {% call statement('remember_build') %}
        insert into {{ memory_relation('build_changes') }}
        select {{ folder }}, '{{ built_at }}', recid, change, before, after
        from {{ changes.relation_name }};

        insert into {{ state }}
        select {{ folder }}, {{ (keys + facts) | join(', ') }}
        from {{ outcomes.relation_name }}
        where not exists (
            select 1 from {{ state }} where data_folder = {{ folder }}
        );

        delete from {{ state }}
        using {{ differences.relation_name }} as differing
        where
            {{ state }}.data_folder = {{ folder }}
            {%- for key in keys %}
            and {{ state }}.{{ key }} = differing.{{ key }}
            {%- endfor %};

        insert into {{ state }}
        select
            {{ folder }},
            {{ keys | join(', ') }}
            {%- for fact in facts %},
            {{ fact }}_after
            {%- endfor %}
        from {{ differences.relation_name }}
        where is_there;
        {%- if target.type == 'postgres' %}
        analyze {{ state }};
        {%- endif %}
        select 1;
    {% endcall %}
    {% do adapter.commit() %}
{% endmacro %}

{# The same on Spark. The tables' files are in the schema's folder, and outlive
   a catalog that ends with its session. #}
{% macro spark__prepare_memory() %}
    {% set sources = 'source.image_linkage.memory.' %}
    {% set source = graph.sources[sources ~ 'build_changes'] %}
    {% if adapter.check_schema_exists(source.database, source.schema) %}
        {% for table, columns in memory_tables().items() %}
            {% do run_query(spark_memory_table(table)) %}
        {% endfor %}
    {% endif %}
{% endmacro %}

{# Spark cannot replace the rows that a query reads: the new state is a table of
   its own for a moment. A build that is killed while it replaces the old one
   leaves none, and the next build is a first one. #}
{% macro spark__remember_build() %}
    {% set models = 'model.image_linkage.' %}
    {% set changes = graph.nodes[models ~ 'changes_since_last_build'] %}
    {% set outcomes = graph.nodes[models ~ 'build_outcome'] %}
    {% set folder = text_literal(data_folder()) %}
    {% set state = memory_relation('last_build_outcome') %}
    {% set source = graph.sources[
        'source.image_linkage.memory.last_build_outcome'
    ] %}
    {% set next = adapter.quote(source.schema) ~ '.last_build_outcome_next' %}
    {% set columns = memory_tables()['last_build_outcome'] | list %}
    {% set built_at = run_started_at.strftime('%Y-%m-%dT%H:%M:%S.%fZ') %}
    {% do run_query(
        'insert into ' ~ memory_relation('build_changes') ~ ' select ' ~ folder
        ~ ", '" ~ built_at ~ "', recid, change, before, after from "
        ~ changes.relation_name
    ) %}
    {% do run_query('drop table if exists ' ~ next) %}
    {% do run_query(
        'create table ' ~ next ~ ' using parquet '
        ~ folder_clause(source.schema, 'last_build_outcome_next')
        ~ ' as select '
        ~ columns | join(', ') ~ ' from ' ~ state ~ ' where data_folder <> '
        ~ folder ~ ' union all select ' ~ folder ~ ' as '
        ~ columns | join(', ') ~ ' from ' ~ outcomes.relation_name
    ) %}
    {% do run_query(
        'insert overwrite ' ~ state ~ ' select * from ' ~ next
    ) %}
    {% do run_query('drop table ' ~ next) %}
{% endmacro %}

{# SQL that makes a table of the memory on Spark, unless it is there. #}
{% macro spark_memory_table(table) %}
    {% set source = graph.sources['source.image_linkage.memory.' ~ table] %}
    {% set columns = [] %}
    {% for column, type in memory_tables()[table].items() %}
        {% do columns.append(column ~ ' ' ~ type_on_spark(type)) %}
    {% endfor %}
    {{ return(
        'create table if not exists ' ~ memory_relation(table) ~ ' ('
        ~ columns | join(', ') ~ ') using parquet '
        ~ folder_clause(source.schema, table)
    ) }}
{% endmacro %}

{# A table of the memory, by its schema and name. #}
{% macro memory_relation(table) %}
    {% set source = graph.sources['source.image_linkage.memory.' ~ table] %}
    {{ return(
        adapter.quote(source.schema) ~ '.' ~ adapter.quote(source.identifier)
    ) }}
{% endmacro %}

{# The kinds of change, separated by blanks. #}
{% macro kinds_of_change() -%}
    appeared went became_linked lost_link left_nexus reason
    patient nexus_patient moved_in_nexus date batch
{%- endmacro %}
