-- One row per record number that Nexus already holds an image of: the smallest
-- such image, by its id.

with export_rows as (

    select recid, filemaker_id from {{ ref('stg_filemaker_images') }} where recid is not null

),

objects as (

    select recid, "key" from {{ ref('stg_s3_objects') }} where recid is not null

),

nexus_images as (

    select * from {{ ref('stg_nexus_images') }}

),

matches as (

    select export_rows.recid, nexus_images.image_id, nexus_images.batch_id, nexus_images.s3_key
    from export_rows
    inner join nexus_images on nexus_images.filemaker_id = export_rows.filemaker_id

    union all

    select export_rows.recid, nexus_images.image_id, nexus_images.batch_id, nexus_images.s3_key
    from export_rows
    inner join nexus_images on nexus_images.recid = export_rows.recid

    union all

    select export_rows.recid, nexus_images.image_id, nexus_images.batch_id, nexus_images.s3_key
    from export_rows
    inner join nexus_images
        on nexus_images.image_id = {{ image_id_by_filemaker_id('export_rows.filemaker_id') }}

    union all

    select export_rows.recid, nexus_images.image_id, nexus_images.batch_id, nexus_images.s3_key
    from export_rows
    inner join nexus_images
        on nexus_images.image_id = {{ image_id_by_recid('export_rows.recid') }}

    union all

    select objects.recid, nexus_images.image_id, nexus_images.batch_id, nexus_images.s3_key
    from objects
    inner join nexus_images on nexus_images.s3_key = objects."key"

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
