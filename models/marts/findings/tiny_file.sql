-- One row per row of the export and object of its record that is under 2 KB.

with outcomes as {{ not_materialized() }} (

    select * from {{ ref('image_outcome') }}

),

objects as (

    select recid, size
    from {{ ref('stg_s3_objects') }}
    where recid is not null and size < 2048

),

final as (

    {{ rows_of_objects('outcomes', 'objects') }}

)

select * from final
