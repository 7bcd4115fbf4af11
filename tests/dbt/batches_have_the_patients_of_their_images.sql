-- A warning: a batch in Nexus belongs to another patient than the one its images
-- lead to. A clinician may have moved it, so nothing here changes it.
{{ config(severity='warn', meta={'sentence': true}) }}

select
    outcomes.batch_id,
    'Nexus holds batch ' || outcomes.batch_id || ' for patient '
    || outcomes.patient_id || ', but an image in it belongs to patient '
    || min(patients.patient_id)
    || ': find out whether somebody moved it; nothing here changes it.'
        as sentence
from {{ ref('image_outcome') }} as outcomes
inner join {{ ref('stg_nexus_patients') }} as patients
    on patients.filemaker_patient_id = outcomes.filemaker_patient_id
where
    outcomes.outcome = 'already_linked'
    and outcomes.patient_count = 1
    and patients.patient_id <> outcomes.patient_id
    and outcomes.patient_id in (
        select patient_id from {{ ref('stg_nexus_patients') }}
    )
group by outcomes.batch_id, outcomes.patient_id
