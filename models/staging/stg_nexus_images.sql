-- One row per image that Nexus holds. The application keeps either FileMaker's
-- image id or its record number in the column filemaker_id.

with source as (

    select * from {{ ref('nexus_images') }}

),

trimmed as (

    select
        lower({{ trimmed('id') }}) as image_id,
        lower({{ trimmed('batch_id') }}) as batch_id,
        {{ trimmed('filemaker_id') }} as filemaker_id_text,
        nullif(s3_key, '') as s3_key
    from source

),

final as (

    select
        image_id,
        batch_id,
        s3_key,
        {{ to_uuid_text('filemaker_id_text') }} as filemaker_id,
        nullif({{ to_recid('filemaker_id_text') }}, 0) as recid,
        filemaker_id_text is not null as has_filemaker_id
    from trimmed

)

select * from final
