-- One row per record number, image that Nexus already holds of it, and way in
-- which the image is known.

with export_rows as (

    select recid, filemaker_id
    from {{ ref('stg_filemaker_images') }}
    where recid is not null

),

objects as (

    select recid, "key"
    from {{ ref('stg_s3_objects') }}
    where recid is not null

),

nexus_images as (

    select * from {{ ref('stg_nexus_images') }}

),

final as (

    {% for known_by in [
        'nexus.filemaker_id = export_row.filemaker_id',
        'nexus.recid = export_row.recid',
        'nexus.image_id = '
        ~ image_id_by_filemaker_id('export_row.filemaker_id'),
        'nexus.image_id = ' ~ image_id_by_recid('export_row.recid'),
    ] -%}
    select export_row.recid, nexus.image_id, nexus.batch_id, nexus.s3_key
    from export_rows as export_row
    inner join nexus_images as nexus on {{ known_by }}

    union all

    {% endfor -%}
    select objects.recid, nexus.image_id, nexus.batch_id, nexus.s3_key
    from objects
    inner join nexus_images as nexus on nexus.s3_key = objects."key"

)

select * from final
