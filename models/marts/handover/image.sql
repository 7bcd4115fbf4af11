-- One row per linked row of the export: the image as Nexus will hold it.

with outcomes as (

    select * from {{ ref('image_outcome') }}

),

final as (

    select
        image_id as id,
        batch_id,
        s3_key,
        original_filename,
        source_size as file_size,
        category,
        filemaker_id,
        type as filemaker_type,
        filemaker_date,
        recid_number as recid,
        patient_id,
        source_bucket,
        source_key,
        source_etag
    from outcomes
    where outcome = 'linked'

)

select * from final
