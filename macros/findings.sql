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

{# Whether a text has a word: letters a to z in a row, in any case, where a
   capital after a small letter begins another word. #}
{% macro has_word(text, word) -%}
    {% set apart = replace_runs(text, '([a-z])([A-Z])', '\\1 \\2') -%}
    position(
        ' ' || {{ word }} || ' '
        in ' ' || {{ replace_runs(lower_ascii(apart), '[^a-z]+', ' ') }} || ' '
    ) > 0
{%- endmacro %}

{# The rows of the export that belong to some objects, with their sizes. #}
{% macro rows_of_objects(outcomes, objects) -%}
    select
        {{ outcomes }}.image_id,
        {{ objects }}.recid,
        {{ outcomes }}.patient_id,
        {{ outcomes }}.batch_id,
        {{ as_text(objects ~ '.size') }} || ' bytes' as detail
    from {{ objects }}
    inner join {{ outcomes }}
        on {{ outcomes }}.recid_number = {{ objects }}.recid
{%- endmacro %}

{# Which records have the same bytes, in words. #}
{% macro same_bytes_detail(recid, record_count) -%}
    'same bytes as record ' || {{ as_text(recid) }}
    || case {{ record_count }}
        when 1 then ''
        when 2 then ' and 1 more record'
        else ' and ' || {{ as_text(record_count ~ ' - 1') }}
            || ' more records'
    end
{%- endmacro %}

{# Each row of a relation with its category (place 0), and once more for each
   letter of the category, without that letter. #}
{% macro with_and_without_each_letter(relation) -%}
    select {{ relation }}.*, 0 as place, category as letters
    from {{ relation }}

    union all

    select
        {{ relation }}.*,
        places.place,
        substr(category, 1, cast(places.place as integer) - 1)
        || substr(category, cast(places.place as integer) + 1) as letters
    from {{ relation }}
    cross join {{ numbers_up_to('length(category)') }} as places (place)
{%- endmacro %}

{# Three rows for each row of a relation, with a third of its 32 digits each:
   every third one, from the first, the second or the third on. #}
{% macro thirds_of_digits(relation) -%}
    {%- for first in [1, 2, 3] %}
    {{ "union all" if not loop.first }}
    select
        digits,
        {{ first }} as part,
        {% for place in range(first, 33, 3) -%}
        {{ "|| " if not loop.first }}substr(digits, {{ place }}, 1)
        {% endfor -%}
        as part_digits
    from {{ relation }}
    {% endfor -%}
{%- endmacro %}

{# Those of 32 digits, in a row, that differ from another id's. #}
{% macro differing_digits(digits, other) -%}
    {% for place in range(1, 33) -%}
    {%- set digit = "substr(" ~ digits ~ ", " ~ place ~ ", 1)" %}
    {%- set other_digit = "substr(" ~ other ~ ", " ~ place ~ ", 1)" %}
    {{ "|| " if not loop.first }}case
        when {{ digit }} <> {{ other_digit }} then {{ digit }} else ''
    end
    {%- endfor %}
{%- endmacro %}
