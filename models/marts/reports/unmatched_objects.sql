-- One row per object of the dump that no image is linked to, with its reason.

with outcomes as (

    select * from {{ ref('object_outcome') }}

),

final as (

    select
        bucket,
        key,
        size,
        recid,
        reason,
        record_reason
    from outcomes
    where outcome = 'unmatched'

)

select * from final
