-- One row per record that a reviewer holds back.

with source as (

    select * from {{ ref('held_images') }}

),

final as (

    select distinct
        {{ to_recid(trimmed('recid')) }} as recid
    from source

)

select * from final
