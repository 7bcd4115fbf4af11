-- One row per row of the export and object of its record that is over 50 MB.

with outcomes as {{ not_materialized() }} (

    select * from {{ ref('image_outcome') }}

),

objects as (

    select recid, size
    from {{ ref('stg_s3_objects') }}
    where recid is not null and size > 52428800

),

final as (

    {{ rows_of_objects('outcomes', 'objects') }}

)

select * from final
