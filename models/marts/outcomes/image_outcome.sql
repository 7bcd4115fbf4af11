-- One row per row of FileMaker's export, with its one outcome. Outcomes are
-- decided here and nowhere else: every report selects from this model.

with candidates as (

    select * from {{ ref('int_image_candidates') }}

),

-- the name of a record's one object is its number and its extension, which is
-- how staging recognised it
located as (

    select
        *,
        case
            when object_count = 1
                then {{ as_text('recid') }} || '.' || extension
        end as original_filename,
        case
            when batch_id is not null and object_count = 1
                then {{ destination_key({
                    'patient_id': 'patient_id',
                    'batch_id': 'batch_id',
                    'recid': as_text('recid'),
                    'extension': 'extension',
                    'captured_date': iso_date_text('filemaker_date'),
                    'filemaker_id': "coalesce(filemaker_id, '')",
                }) }}
        end as destination_key
    from candidates

),

-- the first reason that applies, in the order of docs/reasons.md
decided as (

    select
        *,
        case
            when recid is null then 'invalid_recid'
            when recid_row_count > 1 then 'duplicate_recid'
            when filemaker_id_row_count > 1 then 'duplicate_filemaker_id'
            when is_in_nexus then 'already_linked'
            when is_held_back then 'held_back'
            when is_not_exported then 'not_exported'
            when not has_patient_id then 'missing_patient_id'
            when filemaker_patient_id is null then 'invalid_patient_id'
            when not has_date then 'missing_date'
            when filemaker_date is null then 'invalid_date'
            when filemaker_date > {{ today() }} then 'future_date'
            when patient_count = 0 then 'patient_not_found'
            when patient_count > 1 then 'ambiguous_patient'
            when object_count = 0 then 'missing_object'
            when object_count > 1 then 'ambiguous_object'
            when
                {{ lower_ascii('extension') }}
                not in {{ image_extension_list() }}
                then 'unsupported_file_type'
            when source_size = 0 then 'empty_object'
            else 'linked'
        end as decision
    from located

),

classified as (

    select
        *,
        case
            when decision in ('linked', 'already_linked') then decision
            else 'skipped'
        end as outcome
    from decided

),

final as (

    select
        recid_text as recid,
        case outcome when 'already_linked' then nexus_image_id else image_id end
            as image_id,
        outcome,
        case when outcome = 'skipped' then decision end as reason,
        case outcome
            when 'already_linked' then nexus_patient_id
            else patient_id
        end as patient_id,
        case outcome when 'already_linked' then nexus_batch_id else batch_id end
            as batch_id,
        case outcome
            when 'already_linked' then nexus_s3_key
            else destination_key
        end as s3_key,
        recid as recid_number,
        id_contact_text as id_contact,
        filemaker_patient_id,
        date_text as date,
        filemaker_date,
        type_text as type,
        {{ trimmed('type_text') }} as category,
        filemaker_id,
        file_name_text as file_name,
        name_of_file_text as name_of_file,
        recid_row_count,
        filemaker_id_row_count,
        patient_count,
        patient_id as present_patient_id,
        object_count,
        source_bucket,
        {{ text_literal(setting('source_prefix')) }} || original_filename
            as source_key,
        source_etag,
        source_size,
        original_filename,
        extension
    from classified

)

select * from final
