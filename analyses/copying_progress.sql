-- How far has copying got?

with copies as (

    select * from {{ ref('copy_status') }}

),

final as (

    select
        status,
        last_outcome,
        count(*) as object_count,
        cast(coalesce(sum(source_size), 0) as bigint) as total_bytes,
        max(recorded_at) as last_recorded_at
    from copies
    group by status, last_outcome

)

select * from final
order by {{ by_code_point('status') }}, {{ by_code_point('last_outcome') }}
