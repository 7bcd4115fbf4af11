-- How many batches, patients and images are there per year?

with outcomes as (

    select *
    from {{ ref('image_outcome') }}
    where outcome in ('linked', 'already_linked')

),

final as (

    select
        cast(extract(year from filemaker_date) as bigint) as captured_year,
        count(distinct batch_id) as batch_count,
        count(distinct patient_id) as patient_count,
        count(*) as image_count,
        count(*) filter (where outcome = 'already_linked')
            as already_linked_images
    from outcomes
    group by extract(year from filemaker_date)

)

select * from final
order by captured_year
