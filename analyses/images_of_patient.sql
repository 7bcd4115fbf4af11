-- What is known about one patient?
{%- set asked = text_literal(var('asked_patient',
    '73110f9f-c3ac-417e-8d25-3a32129cf724')) %}

with outcomes as (

    select * from {{ ref('image_outcome') }}

),

copies as (

    select * from {{ ref('copy_status') }}

),

-- by the patient's id in Nexus or in FileMaker
final as (

    select
        outcomes.filemaker_date,
        outcomes.batch_id,
        outcomes.recid_number as recid,
        outcomes.category,
        outcomes.outcome,
        outcomes.reason,
        copies.status as copy_status,
        outcomes.s3_key
    from outcomes
    left join copies on copies.image_id = outcomes.image_id
    where
        {{ lower_ascii(asked) }}
        in (outcomes.patient_id, outcomes.filemaker_patient_id)

)

select * from final
order by
    filemaker_date is null,
    filemaker_date desc,
    {{ by_code_point('batch_id') }},
    recid,
    {{ by_code_point('s3_key') }}
