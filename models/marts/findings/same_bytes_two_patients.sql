-- One row per record and person of whom another person has a record with the
-- same bytes.

with same_bytes as (

    select * from {{ ref('int_same_bytes') }}
    where other_record_count > 0

),

final as (

    select
        image_id,
        recid,
        patient_id,
        batch_id,
        other_recid as related_recid,
        other_patient_id as related_patient_id,
        {{ same_bytes_detail('other_recid', 'other_record_count') }}
        || ' of another patient' as detail
    from same_bytes

)

select * from final
