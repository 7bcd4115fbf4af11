{# What a table promises about its columns, in one scan of it, and one more for
   each column that is unique: dbt's own tests scan it once for each promise. Of
   a broken promise, one row says which and how often. #}
{% test keeps_promises(model, not_null=[], unique=[], accepted_values={}) %}
{{ config(meta={'sentence': true}) }}
{%- set broken = {} %}
{%- for column in not_null %}
    {%- do broken.update({
        column ~ ' is null': '"' ~ column ~ '" is null'
    }) %}
{%- endfor %}
{%- for column, values in accepted_values.items() %}
    {%- do broken.update({
        column ~ ' is not one of ' ~ values | join(', '):
            '"' ~ column ~ "\" not in ('" ~ values | join("', '") ~ "')"
    }) %}
{%- endfor %}

with counted as (

    select
        {% for condition in broken.values() -%}
        count(*) filter (where {{ condition }}) as count_{{ loop.index }},
        {% endfor -%}
        count(*) as row_count
    from {{ model }}

),

{% for column in unique -%}
repeated_{{ loop.index }} as (

    select "{{ column }}"
    from {{ model }}
    where "{{ column }}" is not null
    group by "{{ column }}"
    having count(*) > 1

),

{% endfor -%}
promises as (

    {% for promise in broken -%}
    {{ "union all" if not loop.first }}
    select '{{ promise }}' as problem, count_{{ loop.index }} as row_count
    from counted
    {% endfor -%}
    {% for column in unique -%}
    {{ "union all" if broken or not loop.first }}
    select '{{ column }} is not unique' as problem, count(*) as row_count
    from repeated_{{ loop.index }}
    {% endfor %}
)

select
    problem,
    row_count,
    'In {{ model.identifier }}, ' || problem || ' ('
    || cast(row_count as varchar) || ' times): copy nothing and report this as'
    || ' a defect.' as sentence
from promises
where row_count > 0
{% endtest %}
