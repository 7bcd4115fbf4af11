-- Which copies failed, and why?

with copies as (

    select * from {{ ref('copy_status') }}

),

outcomes as (

    select * from {{ ref('image_outcome') }}

),

final as (

    select
        outcomes.recid_number as recid,
        copies.last_outcome,
        copies.error,
        copies.attempts,
        copies.recorded_at,
        copies.source_key,
        copies.destination_key
    from copies
    left join outcomes on outcomes.image_id = copies.image_id
    where copies.status = 'failed'

)

select * from final
order by {{ by_code_point('last_outcome') }}, recid
