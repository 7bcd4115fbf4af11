-- One row per FileMaker patient who was not found in Nexus, with the images that
-- wait for them.

with outcomes as (

    select * from {{ ref('image_outcome') }}

),

final as (

    select
        filemaker_patient_id,
        count(*) as image_count,
        min(filemaker_date) as first_date,
        max(filemaker_date) as last_date
    from outcomes
    where reason = 'patient_not_found'
    group by filemaker_patient_id

)

select * from final
