-- One row per pair of a Nexus patient and a FileMaker id that the patient has.

with source as (

    select * from {{ ref('nexus_patients') }}

),

final as (

    select distinct
        lower({{ trimmed('patient_id') }}) as patient_id,
        {{ to_uuid_text(trimmed('filemaker_id')) }} as filemaker_patient_id
    from source

)

select * from final
