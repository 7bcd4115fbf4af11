-- How many rows were skipped, and why?

with figures as (

    select * from {{ ref('skipped_reasons') }}

),

reasons as (

    select * from {{ ref('stg_reasons') }}
    where applies_to = 'row'

),

final as (

    select
        figures.reason,
        figures.row_count,
        reasons.meaning,
        reasons.what_to_do
    from figures
    inner join reasons on reasons.reason = figures.reason
    where figures.row_count > 0

)

select * from final
order by row_count desc, {{ by_code_point('reason') }}
