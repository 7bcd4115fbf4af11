-- One row per batch with more than 30 images, linked or already linked.

with images as not materialized (

    select recid_number as recid, patient_id, batch_id
    from {{ ref('image_outcome') }}
    where
        outcome in ('linked', 'already_linked')
        and batch_id is not null

),

large_batches as (

    select batch_id, count(*) as image_count
    from images
    group by batch_id
    having count(*) > 30

),

final as (

    select
        cast(null as text) as image_id,
        min(images.recid) as recid,
        min({{ by_code_point('images.patient_id') }}) as patient_id,
        large_batches.batch_id,
        cast(large_batches.image_count as varchar) || ' images in one batch'
            as detail
    from large_batches
    inner join images on images.batch_id = large_batches.batch_id
    group by large_batches.batch_id, large_batches.image_count

)

select * from final
