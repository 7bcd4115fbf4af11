-- One row per row of FileMaker's export, with everything that Nexus, S3 and the
-- other rows say about it. Nothing is decided here. This is the one wide table
-- of the build: image_outcome and image are views of it, and keys and names,
-- which they put together from other columns, are not stored.

-- Not materialized: DuckDB would keep the whole export in memory, or on disk,
-- where reading a column twice costs less.
with export_rows as {{ not_materialized() }} (

    select * from {{ ref('stg_filemaker_images') }}

),

objects as {{ not_materialized() }} (

    select *
    from {{ ref('stg_s3_objects') }}
    where recid is not null

),

nexus_patients as (

    select *
    from {{ ref('stg_nexus_patients') }}
    where filemaker_patient_id is not null

),

nexus_batches as (

    select * from {{ ref('stg_nexus_image_batches') }}

),

nexus_matches as (

    select * from {{ ref('int_nexus_image_matches') }}

),

held_images as (

    select * from {{ ref('stg_held_images') }}

),

-- rows without a number or id are counted, too, and join nothing: leaving them
-- out would read each text twice
repeated_recids as (

    select recid, count(*) as row_count
    from export_rows
    group by recid
    having count(*) > 1

),

repeated_filemaker_ids as (

    select filemaker_id, count(*) as row_count
    from export_rows
    group by filemaker_id
    having count(*) > 1

),

file as (

    select count(*) filter (where has_export_date) > 0 as has_export_dates
    from export_rows

),

patients as (

    select
        filemaker_patient_id,
        count(distinct patient_id) as patient_count,
        min({{ by_code_point('patient_id') }}) as patient_id
    from nexus_patients
    group by filemaker_patient_id

),

-- batches of an earlier import, which new images join
reusable_batches as (

    select
        patient_id,
        captured_date,
        min({{ by_code_point('batch_id') }}) as batch_id
    from nexus_batches
    where import_source = {{ text_literal(setting('import_source')) }}
    group by patient_id, captured_date

),

patients_of_batches as (

    select batch_id, min({{ by_code_point('patient_id') }}) as patient_id
    from nexus_batches
    where batch_id is not null
    group by batch_id

),

repeated_objects as (

    select recid, count(*) as object_count
    from objects
    group by recid
    having count(*) > 1

),

single_objects as (

    select objects.*
    from objects
    left join repeated_objects on repeated_objects.recid = objects.recid
    where repeated_objects.recid is null

),

joined as (

    select
        export_rows.recid_text,
        export_rows.recid,
        export_rows.id_contact_text,
        export_rows.has_patient_id,
        export_rows.filemaker_patient_id,
        export_rows.date_text,
        export_rows.has_date,
        export_rows.filemaker_date,
        export_rows.date_as_mdy,
        export_rows.date_as_dmy,
        export_rows.date_as_ymd,
        export_rows.type_text,
        export_rows.filemaker_id,
        export_rows.file_name_text,
        export_rows.file_name_extension,
        export_rows.name_of_file_text,
        coalesce(repeated_recids.row_count, 1) as recid_row_count,
        coalesce(repeated_filemaker_ids.row_count, 1) as filemaker_id_row_count,
        held_images.recid is not null as is_held_back,
        not export_rows.has_export_date and file.has_export_dates
            as is_not_exported,
        coalesce(patients.patient_count, 0) as patient_count,
        case when patients.patient_count = 1 then patients.patient_id end
            as patient_id,
        case
            when single_objects.recid is not null then 1
            else coalesce(repeated_objects.object_count, 0)
        end as object_count,
        single_objects.bucket as source_bucket,
        single_objects.extension,
        single_objects.size as source_size,
        single_objects.etag as source_etag,
        nexus_matches.recid is not null as is_in_nexus,
        nexus_matches.image_id as nexus_image_id,
        nexus_matches.batch_id as nexus_batch_id,
        nexus_matches.s3_key as nexus_s3_key,
        case
            when export_rows.filemaker_id is not null
                then {{ image_digest_by_filemaker_id(
                    'export_rows.filemaker_id'
                ) }}
            when export_rows.recid is not null
                then {{ image_digest_by_recid('export_rows.recid') }}
        end as image_digest,
        case
            when
                patients.patient_count = 1
                and export_rows.filemaker_date is not null
                then {{ image_batch_digest(
                    'export_rows.filemaker_patient_id',
                    'export_rows.filemaker_date'
                ) }}
        end as batch_digest
    from export_rows
    cross join file
    left join repeated_recids on repeated_recids.recid = export_rows.recid
    left join repeated_filemaker_ids
        on repeated_filemaker_ids.filemaker_id = export_rows.filemaker_id
    left join held_images on held_images.recid = export_rows.recid
    left join patients
        on patients.filemaker_patient_id = export_rows.filemaker_patient_id
    left join repeated_objects on repeated_objects.recid = export_rows.recid
    left join single_objects on single_objects.recid = export_rows.recid
    left join nexus_matches on nexus_matches.recid = export_rows.recid

),

final as (

    select
        joined.recid_text,
        joined.recid,
        joined.id_contact_text,
        joined.has_patient_id,
        joined.filemaker_patient_id,
        joined.date_text,
        joined.has_date,
        joined.filemaker_date,
        joined.date_as_mdy,
        joined.date_as_dmy,
        joined.date_as_ymd,
        joined.type_text,
        joined.filemaker_id,
        joined.file_name_text,
        joined.file_name_extension,
        joined.name_of_file_text,
        joined.recid_row_count,
        joined.filemaker_id_row_count,
        joined.is_held_back,
        joined.is_not_exported,
        joined.patient_count,
        joined.patient_id,
        joined.object_count,
        joined.source_bucket,
        joined.extension,
        joined.source_size,
        joined.source_etag,
        joined.is_in_nexus,
        joined.nexus_image_id,
        joined.nexus_batch_id,
        joined.nexus_s3_key,
        patients_of_batches.patient_id as nexus_patient_id,
        {{ id_of_digest('joined.image_digest') }} as image_id,
        coalesce(
            reusable_batches.batch_id,
            {{ id_of_digest('joined.batch_digest') }}
        ) as batch_id
    from joined
    left join reusable_batches
        on
            reusable_batches.patient_id = joined.patient_id
            and reusable_batches.captured_date = joined.filemaker_date
    left join patients_of_batches
        on patients_of_batches.batch_id = joined.nexus_batch_id

)

select * from final
