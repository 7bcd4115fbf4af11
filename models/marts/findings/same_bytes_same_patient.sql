-- One row per record and person who has another record with the same bytes.

with same_bytes as (

    select * from {{ ref('int_same_bytes') }}
    where own_record_count > 0

),

final as (

    select
        image_id,
        recid,
        patient_id,
        batch_id,
        own_recid as related_recid,
        {{ same_bytes_detail('own_recid', 'own_record_count') }}
        || ' of the same patient' as detail
    from same_bytes

)

select * from final
