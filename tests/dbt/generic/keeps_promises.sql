{# What a table promises about its columns, in one scan of it, and one more for
   each column that is unique: dbt's own tests scan it once per promise. Each
   broken promise gives one row that says which and how often. #}
{% test keeps_promises(model, not_null=[], unique=[], accepted_values={}) %}
{{ config(meta={'sentence': true}) }}

{%- set conditions = [] %}
{%- set promises = [] %}
{%- for column in not_null %}
    {%- do conditions.append(adapter.quote(column) ~ ' is null') %}
    {%- do promises.append((
        column ~ ' is null', 'count_' ~ conditions | length, 'counted'
    )) %}
{%- endfor %}
{%- for column, values in accepted_values.items() %}
    {%- do conditions.append(
        adapter.quote(column) ~ " not in ('" ~ values | join("', '") ~ "')"
    ) %}
    {%- do promises.append((
        column ~ ' is not one of ' ~ values | join(', '),
        'count_' ~ conditions | length,
        'counted',
    )) %}
{%- endfor %}
{%- for column in unique %}
    {%- do promises.append((
        column ~ ' is not unique', 'count(*)', 'repeated_' ~ loop.index
    )) %}
{%- endfor %}

with counted as (

    select
        {% for condition in conditions -%}
        count(*) filter (where {{ condition }}) as count_{{ loop.index }},
        {% endfor -%}
        count(*) as row_count
    from {{ model }}

),

{% for column in unique -%}
repeated_{{ loop.index }} as (

    select {{ adapter.quote(column) }}
    from {{ model }}
    where {{ adapter.quote(column) }} is not null
    group by {{ adapter.quote(column) }}
    having count(*) > 1

),

{% endfor -%}
broken as (

    {% for problem, figure, counts in promises -%}
    {{ "union all" if not loop.first }}
    select
        '{{ problem }}' as problem,
        {{ figure }} as row_count
    from {{ counts }}
    {% endfor %}
)

select
    problem,
    row_count,
    'In {{ model.identifier }}, ' || problem || ' ('
    || {{ as_text('row_count') }} || ' times): copy nothing and report this as'
    || ' a defect.' as sentence
from broken
where row_count > 0
{% endtest %}
