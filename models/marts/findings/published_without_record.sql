-- One row per image of this import in Nexus whose record no row of the export
-- has any more.

with images as (

    select * from {{ ref('stg_nexus_images') }}

),

batches as (

    select * from {{ ref('stg_nexus_image_batches') }}

),

images_of_records as (

    select * from {{ ref('int_nexus_images_of_records') }}

),

candidates as {{ not_materialized() }} (

    select recid, filemaker_id, image_id, nexus_image_id
    from {{ ref('int_image_candidates') }}

),

objects as {{ not_materialized() }} (

    select recid, key
    from {{ ref('stg_s3_objects') }}
    where recid is not null

),

results as (

    select * from {{ ref('stg_copy_results') }}

),

own_batches as (

    select
        batch_id,
        min({{ by_code_point('patient_id') }}) as patient_id,
        min(captured_date) as captured_date
    from batches
    where
        batch_id is not null
        and import_source = {{ text_literal(setting('import_source')) }}
    group by batch_id

),

-- nearly all images are the one that is known of their record
others as {{ materialized() }} (

    select
        images.image_id,
        images.filemaker_id,
        -- a record's number is a positive one
        nullif(images.recid, 0) as recid,
        images.s3_key,
        own_batches.batch_id,
        own_batches.patient_id,
        own_batches.captured_date
    from images
    inner join own_batches on own_batches.batch_id = images.batch_id
    left join candidates on candidates.nexus_image_id = images.image_id
    where candidates.nexus_image_id is null

),

-- an object of the dump leads to a record that may not be in the export
recognised as (

    select images_of_records.image_id
    from images_of_records
    inner join others on others.image_id = images_of_records.image_id
    inner join candidates on candidates.recid = images_of_records.recid

),

unrecognised as {{ materialized() }} (

    select others.*
    from others
    left join recognised on recognised.image_id = others.image_id
    where recognised.image_id is null

),

-- images without an id, and rows without a readable number, are left: there are
-- few, and they are compared one by one
keys_in_export as (

    select objects.key
    from objects
    inner join unrecognised on unrecognised.s3_key = objects.key
    inner join candidates on candidates.recid = objects.recid

),

without_record as (

    select unrecognised.*
    from unrecognised
    left join candidates as by_filemaker_id
        on by_filemaker_id.filemaker_id = unrecognised.filemaker_id
    left join candidates as by_recid on by_recid.recid = unrecognised.recid
    left join candidates as by_image_id
        on by_image_id.image_id = unrecognised.image_id
    left join keys_in_export on keys_in_export.key = unrecognised.s3_key
    where
        by_filemaker_id.filemaker_id is null
        and by_recid.recid is null
        and by_image_id.image_id is null
        and keys_in_export.key is null

),

-- the record's number, as far as the object that was copied shows it
copied_records as (

    select
        without_record.image_id,
        min({{ record_of_key('results.source_key') }}) as recid
    from without_record
    inner join results on results.image_id = without_record.image_id
    group by without_record.image_id

),

keyed_records as (

    select
        objects.key,
        min(objects.recid) as recid
    from objects
    inner join without_record on without_record.s3_key = objects.key
    group by objects.key

),

final as (

    select
        without_record.image_id,
        coalesce(
            without_record.recid, keyed_records.recid, copied_records.recid
        ) as recid,
        without_record.patient_id,
        without_record.batch_id,
        'in Nexus under patient '
        || coalesce(without_record.patient_id, 'unknown')
        || coalesce(
            ', ' || {{ iso_date_text('without_record.captured_date') }}, ''
        ) as detail
    from without_record
    left join copied_records
        on copied_records.image_id = without_record.image_id
    left join keyed_records on keyed_records.key = without_record.s3_key

)

select * from final
