{# A table of a model on PostgreSQL. It is filled as it is made, also under a
   contract, which dbt would fill row by row, wherever there is room: then rows
   would not be stored in the order of the query, which for copy_manifest is the
   manifest's. Models join whole tables: where statistics mislead, a nested loop
   takes hours, and what else there is never much longer than the best plan.
   Without statistics of its own the table would mislead the next model. #}
{% macro postgres__create_table_as(temporary, relation, sql) %}
    {%- set contract = config.get('contract') -%}
    {%- if contract.enforced -%}
        {{ get_assert_columns_equivalent(sql) }}
    {%- endif %}
    set local enable_nestloop = off;
    set local jit = off;
    create {{ "temporary" if temporary }} table {{ relation }} as (
        {{ get_select_subquery(sql) if contract.enforced else sql }}
    );
    analyze {{ relation }};
{% endmacro %}

{# Ends the build where the database cannot hold every text. #}
{% macro check_encoding() %}
    {% if run_query('show server_encoding').columns[0][0] != 'UTF8' %}
        {% do exceptions.raise_compiler_error(
            'the database ' ~ target.dbname ~ ' cannot be used: its encoding is'
            ~ ' not UTF8; create it anew with encoding UTF8'
        ) %}
    {% endif %}
{% endmacro %}

{# Give the table copy_manifest, where it is there, a comment, or none: whether
   the manifest may be made of it. A table that is made anew has none. #}
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
