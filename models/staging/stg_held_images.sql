-- One row per record that a reviewer holds back.

with lines as (

    select * from {{ ref('stg_held_image_lines') }}

),

final as (

    select distinct recid
    from lines
    where recid is not null

)

select * from final
