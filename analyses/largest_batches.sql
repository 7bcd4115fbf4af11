-- Which batches have the most images?

with outcomes as (

    select *
    from {{ ref('image_outcome') }}
    where outcome in ('linked', 'already_linked')

),

final as (

    select
        batch_id,
        patient_id,
        min(filemaker_date) as first_date,
        max(filemaker_date) as last_date,
        count(*) as image_count,
        min(recid_number) as first_recid,
        max(recid_number) as last_recid
    from outcomes
    where batch_id is not null
    group by batch_id, patient_id

)

select * from final
order by
    image_count desc,
    {{ by_code_point('batch_id') }},
    {{ by_code_point('patient_id') }}
limit 20
