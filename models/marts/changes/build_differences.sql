-- One row per record of which anything that is remembered is not as the last
-- build of this data folder that passed saw it; none if there is no such build.
{%- set facts = [
    'is_repeated', 'decision', 'filemaker_patient_id', 'filemaker_date',
    'patient_id', 'published_patient_id', 'batch_id',
] %}

with records_now as not materialized (

    select * from {{ ref('build_outcome') }}

),

records_before as not materialized (

    select *
    from {{ source('memory', 'last_build_outcome') }}
    where data_folder = {{ text_literal(data_folder()) }}

),

final as (

    select
        coalesce(records_now.record, records_before.record) as record,
        coalesce(records_now.occurrence, records_before.occurrence)
            as occurrence,
        records_before.record is not null as was_there,
        records_now.record is not null as is_there,
        {% for fact in facts -%}
        records_before.{{ fact }} as {{ fact }}_before,
        records_now.{{ fact }} as {{ fact }}_after{{ "," if not loop.last }}
        {% endfor -%}
    from records_before
    full outer join records_now
        on
            records_now.record = records_before.record
            and records_now.occurrence = records_before.occurrence
    where
        exists (select 1 from records_before)
        and (
            {% for fact in facts -%}
            {{ "or " if not loop.first -}}
            records_now.{{ fact }} is distinct from records_before.{{ fact }}
            {% endfor -%}
        )

)

select * from final
