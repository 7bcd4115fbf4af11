-- How many images are there per category and year?

with outcomes as (

    select *
    from {{ ref('image_outcome') }}
    where outcome in ('linked', 'already_linked')

),

final as (

    select
        category,
        cast(extract(year from filemaker_date) as bigint) as captured_year,
        count(*) as image_count
    from outcomes
    group by category, extract(year from filemaker_date)

)

select * from final
order by {{ by_code_point('category') }}, captured_year
