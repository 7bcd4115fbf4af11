-- One row per skipped row of the export, with its reason.

with outcomes as (

    select * from {{ ref('image_outcome') }}

),

final as (

    select
        recid,
        id_contact,
        date,
        type,
        reason,
        case reason
            when 'duplicate_recid'
                then {{ as_text('recid_row_count') }}
                    || ' rows have this record number'
            when 'duplicate_filemaker_id'
                then {{ as_text('filemaker_id_row_count') }}
                    || ' rows have this image id'
            when 'invalid_date'
                then 'not a date in the order '
                    || '{{ setting("filemaker_date_order") }}'
            when 'future_date'
                then {{ iso_date_text('filemaker_date') }}
                    || ' is after ' || {{ iso_date_text(today()) }}
            when 'ambiguous_patient'
                then {{ as_text('patient_count') }}
                    || ' Nexus patients have this FileMaker id'
            when 'missing_object'
                then 'no object ' || {{ as_text('recid_number') }}
                    || '.* in the dump'
            when 'ambiguous_object'
                then {{ as_text('object_count') }} || ' objects '
                    || {{ as_text('recid_number') }} || '.* in the dump'
            when 'unsupported_file_type' then 'the object is ' || source_key
            when 'empty_object' then 'the object is ' || source_key
        end as detail
    from outcomes
    where outcome = 'skipped'

)

select * from final
