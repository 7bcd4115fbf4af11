-- One row per batch with more than 30 images, linked or already linked.

with batch_ids as {{ not_materialized() }} (

    select batch_id from {{ ref('int_image_candidates') }}

    union all

    select nexus_batch_id as batch_id from {{ ref('int_image_candidates') }}

),

images as {{ not_materialized() }} (

    select recid_number as recid, patient_id, batch_id
    from {{ ref('image_outcome') }}
    where outcome in ('linked', 'already_linked')

),

-- whatever the rows' outcomes are, no other batch can be large
possible as (

    select batch_id
    from batch_ids
    where batch_id is not null
    group by batch_id
    having count(*) > 30

),

final as (

    select
        {{ as_text('null') }} as image_id,
        min(images.recid) as recid,
        min({{ by_code_point('images.patient_id') }}) as patient_id,
        images.batch_id,
        {{ as_text('count(*)') }} || ' images in one batch' as detail
    from possible
    inner join images on images.batch_id = possible.batch_id
    group by images.batch_id
    having count(*) > 30

)

select * from final
