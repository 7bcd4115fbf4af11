-- One row per record that is already linked and image of it in Nexus, if Nexus
-- has the image under another patient or day than FileMaker says now.

with records as {{ not_materialized() }} (

    select
        recid_number as recid,
        filemaker_patient_id,
        filemaker_date,
        patient_count,
        present_patient_id
    from {{ ref('image_outcome') }}
    where outcome = 'already_linked'

),

images_of_records as (

    select * from {{ ref('int_nexus_images_of_records') }}

),

batches as (

    select * from {{ ref('stg_nexus_image_batches') }}

),

patients as (

    select *
    from {{ ref('stg_nexus_patients') }}
    where filemaker_patient_id is not null

),

batches_to_relink as (

    select * from {{ ref('batches_to_relink') }}

),

single_batches as (

    select
        batch_id,
        min({{ by_code_point('patient_id') }}) as patient_id,
        min(captured_date) as captured_date
    from batches
    where batch_id is not null
    group by batch_id

),

known_patients as (

    select distinct patient_id from patients

),

-- nearly all images are where FileMaker says, which takes one comparison
suspects as {{ materialized() }} (

    select distinct
        records.*,
        images_of_records.image_id,
        single_batches.batch_id,
        single_batches.patient_id,
        single_batches.captured_date
    from records
    inner join images_of_records on images_of_records.recid = records.recid
    inner join single_batches
        on single_batches.batch_id = images_of_records.batch_id
    where
        records.filemaker_date <> single_batches.captured_date
        or records.present_patient_id is null
        or records.present_patient_id <> single_batches.patient_id

),

-- Nexus's patient is another one if they do not have FileMaker's patient id,
-- and either have another or somebody else in Nexus has it. A patient without
-- any FileMaker id, whom nobody else can be, is left: nothing contradicts
-- FileMaker. Patients who were imported again are a matter for --relink.
compared as (

    select
        suspects.*,
        suspects.patient_id is not null
        and suspects.filemaker_patient_id is not null
        and same_patients.patient_id is null
        and (
            suspects.patient_count > 0 or known_patients.patient_id is not null
        )
        and batches_to_relink.id is null as is_other_patient,
        coalesce(suspects.filemaker_date <> suspects.captured_date, false)
            as is_other_date
    from suspects
    left join patients as same_patients
        on
            same_patients.patient_id = suspects.patient_id
            and same_patients.filemaker_patient_id
            = suspects.filemaker_patient_id
    left join known_patients
        on known_patients.patient_id = suspects.patient_id
    left join batches_to_relink
        on batches_to_relink.id = suspects.batch_id

),

final as (

    select
        image_id,
        recid,
        patient_id,
        batch_id,
        case
            when is_other_patient
                then 'patient ' || patient_id || ' in Nexus, '
                    || coalesce(
                        present_patient_id,
                        'FileMaker id ' || filemaker_patient_id
                    ) || ' in FileMaker'
            else ''
        end
        || case when is_other_patient and is_other_date then '; ' else '' end
        || case
            when is_other_date
                then {{ iso_date_text('captured_date') }} || ' in Nexus, '
                    || {{ iso_date_text('filemaker_date') }}
                    || ' in FileMaker'
            else ''
        end as detail
    from compared
    where is_other_patient or is_other_date

)

select * from final
