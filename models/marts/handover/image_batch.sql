-- One row per batch that has a linked image: one patient, one day.

with images as (

    select * from {{ ref('image') }}

),

-- grouped by everything that defines a batch: an id shared by two patients or
-- days would give two rows, and fail the test that ids are unique
batches as (

    select
        batch_id,
        patient_id,
        filemaker_date,
        count(*) as image_count
    from images
    group by batch_id, patient_id, filemaker_date

),

final as (

    select
        batch_id as id,
        patient_id,
        {{ batch_name('filemaker_date') }} as batch_name,
        filemaker_date as captured_date,
        {{ as_text('null') }} as filemaker_batch_id,
        {{ text_literal(setting('import_source')) }} as import_source,
        image_count
    from batches

)

select * from final
