-- One row per finding: something that a person should look at. Findings decide
-- no outcome.
{#- the kinds, and which columns about another record they have #}
{%- set kinds = {
    'published_elsewhere': [],
    'published_without_record': [],
    'held_but_published': [],
    'held_but_copied': [],
    'same_bytes_two_patients': ['related_recid', 'related_patient_id'],
    'same_bytes_same_patient': ['related_recid'],
    'identity_document': [],
    'date_out_of_order': ['related_recid'],
    'patient_near_miss': ['related_patient_id'],
    'large_batch': [],
    'new_type': ['related_recid'],
    'tiny_file': [],
    'huge_file': [],
    'weekend': [],
} %}
{%- set types = {
    'related_recid': 'bigint',
    'related_patient_id': dbt.type_string(),
} %}

with findings as (

    select * from {{ ref('stg_findings') }}

),

{% for kind in kinds -%}
{{ kind }} as (

    select * from {{ ref(kind) }}

),

{% endfor -%}
found as (

    {% for kind, columns in kinds.items() -%}
    {{ "union all" if not loop.first }}
    select
        '{{ kind }}' as finding,
        image_id,
        recid,
        patient_id,
        batch_id,
        {% for column, type in types.items() -%}
        {{ column if column in columns else
            "cast(null as " ~ type ~ ") as " ~ column }},
        {% endfor -%}
        detail
    from {{ kind }}
    {% endfor %}
),

final as (

    select
        {{ as_text('found.finding') }} as finding,
        findings.severity,
        found.image_id,
        found.recid,
        found.patient_id,
        found.batch_id,
        found.related_recid,
        found.related_patient_id,
        found.detail,
        findings.what_to_do
    from found
    left join findings on findings.finding = found.finding

)

select * from final
