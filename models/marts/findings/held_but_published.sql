-- One row per record that is held back and image of it that Nexus holds.

with held_images as (

    select recid
    from {{ ref('stg_held_images') }}
    where recid > 0

),

images_of_records as (

    select * from {{ ref('int_nexus_images_of_records') }}

),

without_record as (

    select * from {{ ref('published_without_record') }}

),

batches as (

    select
        batch_id,
        min({{ by_code_point('patient_id') }}) as patient_id,
        min(captured_date) as captured_date
    from {{ ref('stg_nexus_image_batches') }}
    where batch_id is not null
    group by batch_id

),

-- a record may be held although the export does not have it any more
held as (

    select
        held_images.recid,
        images_of_records.image_id,
        images_of_records.batch_id
    from held_images
    inner join images_of_records on images_of_records.recid = held_images.recid

    union

    select
        held_images.recid,
        without_record.image_id,
        without_record.batch_id
    from held_images
    inner join without_record on without_record.recid = held_images.recid

),

final as (

    select
        held.image_id,
        held.recid,
        batches.patient_id,
        held.batch_id,
        'in Nexus under patient ' || coalesce(batches.patient_id, 'unknown')
        || coalesce(', ' || {{ iso_date_text('batches.captured_date') }}, '')
            as detail
    from held
    left join batches on batches.batch_id = held.batch_id

)

select * from final
