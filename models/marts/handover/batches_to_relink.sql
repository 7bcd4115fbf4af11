-- One row per batch in Nexus whose patient is no longer there, and whose images
-- all lead to one patient who is: patients who were imported into Nexus again,
-- under new ids. publish_to_nexus.py --relink gives the batches their patient.

with batches as (

    select * from {{ ref('stg_nexus_image_batches') }}

),

patients as (

    select * from {{ ref('stg_nexus_patients') }}

),

images as (

    select * from {{ ref('stg_nexus_images') }}

),

outcomes as (

    select * from {{ ref('image_outcome') }}

),

images_of_records as (

    select * from {{ ref('int_nexus_images_of_records') }}

),

-- rows whose image Nexus holds, and whose FileMaker patient is now exactly one
-- of Nexus's patients
records as (

    select
        outcomes.recid_number as recid,
        patients.patient_id
    from outcomes
    inner join patients
        on patients.filemaker_patient_id = outcomes.filemaker_patient_id
    where outcomes.outcome = 'already_linked' and outcomes.patient_count = 1

),

left_batches as (

    select
        batches.batch_id,
        min(batches.patient_id) as patient_id,
        min(batches.captured_date) as captured_date
    from batches
    left join patients on patients.patient_id = batches.patient_id
    group by batches.batch_id
    having
        count(*) = 1
        and count(batches.patient_id) = 1
        and count(patients.patient_id) = 0

),

-- an image leads to a patient if every record that it belongs to does
patients_of_images as (

    select
        images_of_records.image_id,
        case
            when
                count(records.patient_id) = count(*)
                and count(distinct records.patient_id) = 1
                then min({{ by_code_point('records.patient_id') }})
        end as patient_id
    from images_of_records
    left join records on records.recid = images_of_records.recid
    group by images_of_records.image_id

),

patients_of_batches as (

    select
        images.batch_id,
        count(*) as image_count,
        md5({{ joined_texts(
            'images.image_id', ',', by_code_point('images.image_id')
        ) }}) as image_ids_md5,
        count(patients_of_images.patient_id) as leading_image_count,
        count(distinct patients_of_images.patient_id) as patient_count,
        min({{ by_code_point('patients_of_images.patient_id') }}) as patient_id
    from images
    left join patients_of_images
        on patients_of_images.image_id = images.image_id
    group by images.batch_id

),

final as (

    select
        left_batches.batch_id as id,
        left_batches.patient_id,
        patients_of_batches.patient_id as new_patient_id,
        left_batches.captured_date,
        patients_of_batches.image_count,
        patients_of_batches.image_ids_md5
    from left_batches
    inner join patients_of_batches
        on patients_of_batches.batch_id = left_batches.batch_id
    where
        patients_of_batches.patient_count = 1
        and patients_of_batches.leading_image_count
        = patients_of_batches.image_count

)

select * from final
