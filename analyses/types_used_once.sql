-- Which types are used only once?

with outcomes as (

    select * from {{ ref('image_outcome') }}
    where category is not null

),

final as (

    select
        category,
        min(recid_number) as recid,
        min(filemaker_date) as filemaker_date,
        min(coalesce(reason, outcome)) as outcome
    from outcomes
    group by category
    having count(*) = 1

)

select * from final
order by {{ by_code_point('category') }}
