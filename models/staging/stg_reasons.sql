-- One row per reason for which a row is skipped or an object is unmatched.

with source as (

    select * from {{ ref('reasons') }}

),

final as (

    select
        applies_to,
        {{ to_bigint('reason_order') }} as reason_order,
        reason,
        meaning,
        what_to_do,
        mostly_means
    from source

)

select * from final
