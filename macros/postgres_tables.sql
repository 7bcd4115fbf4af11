{# A table of a model on PostgreSQL. It is created from the query, also under a
   contract. dbt would insert into a table made beforehand, which may store rows
   in another order than the query's, and copy_manifest's order is the manifest's.
   Models join whole tables: where statistics mislead, a nested loop takes hours,
   and the other joins never take much longer than the best plan. A table without
   statistics of its own would mislead the next model. #}
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

{# Ends the build if the database cannot hold every text. #}
{% macro check_encoding() %}
    {% if run_query('show server_encoding').columns[0][0] != 'UTF8' %}
        {% do exceptions.raise_compiler_error(
            'the database ' ~ target.dbname ~ ' cannot be used: its encoding is'
            ~ ' not UTF8; create it again with encoding UTF8'
        ) %}
    {% endif %}
{% endmacro %}
