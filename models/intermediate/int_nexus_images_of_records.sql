-- One row per record number, image of it that Nexus already holds, and way in
-- which the image is recognised.

-- Not materialized, so that while Nexus has no images nothing is read of the
-- export.
with export_rows as {{ not_materialized() }} (

    select recid, filemaker_id
    from {{ ref('stg_filemaker_images') }}
    where recid is not null

),

objects as {{ not_materialized() }} (

    select recid, key
    from {{ ref('stg_s3_objects') }}
    where recid is not null

),

nexus_images as (

    select * from {{ ref('stg_nexus_images') }}

),

digests as {{ not_materialized() }} (

    select
        recid,
        {{ image_digest_by_filemaker_id('filemaker_id') }} as image_digest
    from export_rows

    union all

    select recid, {{ image_digest_by_recid('recid') }} as image_digest
    from export_rows

),

image_ids as {{ not_materialized() }} (

    select recid, {{ id_of_digest('image_digest') }} as image_id
    from digests

),

final as (

    select export_row.recid, nexus.image_id, nexus.batch_id, nexus.s3_key
    from export_rows as export_row
    inner join nexus_images as nexus
        on nexus.filemaker_id = export_row.filemaker_id

    union all

    select export_row.recid, nexus.image_id, nexus.batch_id, nexus.s3_key
    from export_rows as export_row
    inner join nexus_images as nexus on nexus.recid = export_row.recid

    union all

    select image_ids.recid, nexus.image_id, nexus.batch_id, nexus.s3_key
    from image_ids
    inner join nexus_images as nexus on nexus.image_id = image_ids.image_id

    union all

    select objects.recid, nexus.image_id, nexus.batch_id, nexus.s3_key
    from objects
    inner join nexus_images as nexus on nexus.s3_key = objects.key

)

select * from final
