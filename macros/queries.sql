{# What engines write differently in a query. #}

{# Behind `as` of a common table expression that is used more than once: it is
   not stored in between. Spark never stores one. #}
{% macro not_materialized() -%}
    {{ return(adapter.dispatch('not_materialized', 'image_linkage')()) }}
{%- endmacro %}

{% macro default__not_materialized() -%}
    not materialized
{%- endmacro %}

{% macro spark__not_materialized() -%}
{%- endmacro %}

{# The same for one that is to be stored, where the engine can. #}
{% macro materialized() -%}
    {{ return(adapter.dispatch('materialized', 'image_linkage')()) }}
{%- endmacro %}

{% macro default__materialized() -%}
    materialized
{%- endmacro %}

{% macro spark__materialized() -%}
{%- endmacro %}

{# Behind `cross join`: the whole numbers from 1 to a column's number, which is
   not zero, for each row. #}
{% macro numbers_up_to(number) -%}
    {{ return(adapter.dispatch('numbers_up_to', 'image_linkage')(number)) }}
{%- endmacro %}

{% macro default__numbers_up_to(number) -%}
    generate_series(1, {{ number }})
{%- endmacro %}

{% macro spark__numbers_up_to(number) -%}
    lateral explode(sequence(1, {{ number }}))
{%- endmacro %}

{# A number that no other row of the relation has. #}
{% macro any_row_number() -%}
    {{ return(adapter.dispatch('any_row_number', 'image_linkage')()) }}
{%- endmacro %}

{% macro default__any_row_number() -%}
    row_number() over ()
{%- endmacro %}

{# Spark numbers rows only in an order, and would sort all of them. #}
{% macro spark__any_row_number() -%}
    monotonically_increasing_id()
{%- endmacro %}

{# The day of the week, from 1 for Monday to 7. #}
{% macro iso_weekday(date) -%}
    {{ return(adapter.dispatch('iso_weekday', 'image_linkage')(date)) }}
{%- endmacro %}

{% macro default__iso_weekday(date) -%}
    extract(isodow from {{ date }})
{%- endmacro %}

{% macro spark__iso_weekday(date) -%}
    extract(dayofweek_iso from {{ date }})
{%- endmacro %}
