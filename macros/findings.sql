{# The record that an object of the dump belongs to by its key: 228.jpg below
   source_prefix belongs to record 228. Null for any other key. Staging reads
   the inventory so; this is for keys in copy_results. #}
{% macro record_of_key(key) -%}
    {%- set prefix = setting('source_prefix') | string -%}
    {%- set name = "substr(" ~ key ~ ", " ~ (prefix | length + 1) ~ ")" -%}
    cast(
        case
            when
                {{ has_prefix(key, prefix) }}
                and {{ matches(name, '^[1-9][0-9]{0,17}[.][^/.]+$') }}
                then split_part({{ name }}, '.', 1)
        end as bigint
    )
{%- endmacro %}
