-- Which records have no object in the dump, or several?

with outcomes as (

    select * from {{ ref('image_outcome') }}

),

objects as (

    select * from {{ ref('object_outcome') }}

),

final as (

    select
        outcomes.recid_number as recid,
        outcomes.patient_id,
        outcomes.filemaker_date,
        outcomes.object_count,
        objects.bucket,
        objects.key,
        objects.size
    from outcomes
    left join objects on objects.recid = outcomes.recid_number
    where outcomes.reason in ('missing_object', 'ambiguous_object')

)

select * from final
order by
    object_count,
    recid,
    {{ by_code_point('bucket') }},
    {{ by_code_point('key') }}
