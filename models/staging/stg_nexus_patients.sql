-- One row per pair of a Nexus patient and a FileMaker id that the patient has.

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

final as (

    select
        patient_id,
        filemaker_patient_id,
        count(*) as line_count,
        count(*) filter (
            where filemaker_id_text is not null and filemaker_patient_id is null
        ) as unreadable_line_count
    from typed
    group by patient_id, filemaker_patient_id

)

select * from final
