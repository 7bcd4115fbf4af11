-- One row per record number of which Nexus already holds an image: the image
-- with the smallest id.

with matches as (

    select * from {{ ref('int_nexus_images_of_records') }}

),

ranked as (

    select
        *,
        row_number() over (
            partition by recid
            order by
                {{ by_code_point('image_id') }} nulls last,
                {{ by_code_point('batch_id') }} nulls last,
                {{ by_code_point('s3_key') }} nulls last
        ) as match_rank
    from matches

),

final as (

    select recid, image_id, batch_id, s3_key
    from ranked
    where match_rank = 1

)

select * from final
