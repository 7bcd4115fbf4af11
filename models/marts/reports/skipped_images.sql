-- One row per skipped row of the export, with its reason.

with outcomes as (

    select * from {{ ref('image_outcome') }}

),

final as (

    select
        recid,
        id_contact,
        "date",
        "type",
        reason,
        case reason
            when 'duplicate_recid'
                then cast(recid_row_count as varchar)
                    || ' rows have this record number'
            when 'duplicate_filemaker_id'
                then cast(filemaker_id_row_count as varchar)
                    || ' rows have this image id'
            when 'invalid_date'
                then 'not a date in the order '
                    || '{{ setting("filemaker_date_order") }}'
            when 'future_date'
                then {{ iso_date_text('filemaker_date') }}
                    || ' is after ' || {{ iso_date_text(today()) }}
            when 'ambiguous_patient'
                then cast(patient_count as varchar)
                    || ' Nexus patients have this FileMaker id'
            when 'missing_object'
                then 'no object ' || cast(recid_number as varchar)
                    || '.* in the dump'
            when 'ambiguous_object'
                then cast(object_count as varchar) || ' objects '
                    || cast(recid_number as varchar) || '.* in the dump'
            when 'unsupported_file_type' then 'the object is ' || source_key
            when 'empty_object' then 'the object is ' || source_key
        end as detail
    from outcomes
    where outcome = 'skipped'

)

select * from final
