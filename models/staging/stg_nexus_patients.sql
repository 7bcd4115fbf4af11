-- One row per pair of a Nexus patient and a FileMaker id that the patient has.
-- Ids that cannot be read are told apart by their digits, if these are an id's.

with source as (

    select * from {{ ref('nexus_patients') }}

),

trimmed as (

    select
        lower({{ trimmed('patient_id') }}) as patient_id,
        {{ trimmed('filemaker_id') }} as filemaker_id_text
    from source

),

typed as (

    select
        *,
        {{ to_uuid_text('filemaker_id_text') }} as filemaker_patient_id
    from trimmed

),

-- what braces, blanks or hyphens keep from being a UUID has its digits
with_digits as (

    select
        *,
        case
            when filemaker_patient_id is not null
                then replace(filemaker_patient_id, '-', '')
            else {{ hex_digits('filemaker_id_text', 32) }}
        end as filemaker_digits
    from typed

),

final as (

    select
        patient_id,
        filemaker_patient_id,
        filemaker_digits,
        count(*) as line_count,
        count(*) filter (
            where filemaker_id_text is not null and filemaker_patient_id is null
        ) as unreadable_line_count
    from with_digits
    group by patient_id, filemaker_patient_id, filemaker_digits

)

select * from final
