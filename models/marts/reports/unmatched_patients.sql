-- One row per FileMaker patient whom Nexus does not know, with what waits for
-- them.

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
