-- One row per finding: something that a person should look at. Findings decide
-- no outcome.
{%- set kinds = [
    'published_elsewhere', 'published_without_record', 'held_but_published',
    'held_but_copied',
] %}

with findings as (

    select * from {{ ref('stg_findings') }}

),

{% for kind in kinds -%}
{{ kind }} as (

    select * from {{ ref(kind) }}

),

{% endfor -%}
found as (

    {% for kind in kinds -%}
    {{ "union all" if not loop.first }}
    select
        '{{ kind }}' as finding,
        image_id,
        recid,
        patient_id,
        batch_id,
        cast(null as bigint) as related_recid,
        detail
    from {{ kind }}
    {% endfor %}
),

final as (

    select
        cast(found.finding as text) as finding,
        findings.severity,
        found.image_id,
        found.recid,
        found.patient_id,
        found.batch_id,
        found.related_recid,
        found.detail,
        findings.what_to_do
    from found
    left join findings on findings.finding = found.finding

)

select * from final
