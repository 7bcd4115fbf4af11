-- A warning: Nexus holds a batch id with another patient, day or source than we
-- compute for it. Somebody moved the batch, and publishing to it will be refused.
{{ config(severity='warn', meta={'sentence': true}) }}

select
    batches.id,
    'Nexus holds batch ' || batches.id
    || ' with another patient, day or source: find out who moved it before'
    || ' publishing.' as sentence
from {{ ref('image_batch') }} as batches
inner join {{ ref('stg_nexus_image_batches') }} as held
    on held.batch_id = batches.id
where
    held.patient_id <> batches.patient_id
    or held.captured_date <> batches.captured_date
    or held.import_source <> batches.import_source
