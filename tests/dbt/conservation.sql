-- Nothing is lost and nothing is counted twice: every row of the export and every
-- object of the dump has one outcome (contract, section 7).
{{ config(meta={'sentence': true}) }}

with figures as (

    select
        (select count(*) from {{ ref('filemaker_images_metadata') }}) as export_rows,
        (select count(*) from {{ ref('image_outcome') }}) as outcomes,
        (select count(*) from {{ ref('image_outcome') }} where outcome = 'linked') as linked,
        (select count(*) from {{ ref('image_outcome') }} where outcome = 'already_linked')
            as already_linked,
        (select count(*) from {{ ref('skipped_images') }}) as skipped,
        (select count(*) from {{ ref('image') }}) as images,
        (select count(*) from {{ ref('image_batch') }}) as batches,
        (select coalesce(sum(image_count), 0) from {{ ref('image_batch') }}) as images_in_batches,
        (select count(distinct batch_id) from {{ ref('image') }}) as batches_of_images,
        (select coalesce(min(image_count), 1) from {{ ref('image_batch') }}) as smallest_batch,
        (
            select count(*)
            from {{ ref('s3_inventory') }}
            where
                substr("key", 1, {{ var('source_prefix') | length }})
                = {{ text_literal(var('source_prefix')) }}
        ) as objects,
        (select count(*) from {{ ref('object_outcome') }}) as object_outcomes,
        (select count(*) from {{ ref('object_outcome') }} where outcome = 'linked')
            as linked_objects,
        (select count(*) from {{ ref('object_outcome') }} where outcome = 'already_linked')
            as already_linked_objects,
        (select count(*) from {{ ref('unmatched_objects') }}) as unmatched_objects

),

checks as (

    select 'export rows = linked + already linked + skipped' as rule, export_rows as expected,
        linked + already_linked + skipped as found from figures
    union all
    select 'one outcome per export row' as rule, export_rows as expected, outcomes as found
    from figures
    union all
    select 'image has exactly the linked rows' as rule, linked as expected, images as found
    from figures
    union all
    select 'every image is in one batch' as rule, images as expected, images_in_batches as found
    from figures
    union all
    select 'every batch has an image' as rule, batches as expected, batches_of_images as found
    from figures
    union all
    select 'no batch is empty' as rule, 1 as expected,
        case when smallest_batch >= 1 then 1 else 0 end as found
    from figures
    union all
    select 'objects = linked + already linked + unmatched' as rule, objects as expected,
        linked_objects + already_linked_objects + unmatched_objects as found from figures
    union all
    select 'one outcome per object' as rule, objects as expected, object_outcomes as found
    from figures
    union all
    select 'one object per linked row' as rule, linked as expected, linked_objects as found
    from figures

)

select
    rule,
    expected,
    found,
    'The import does not add up (' || rule || ': ' || cast(expected as varchar) || ' expected, '
    || cast(found as varchar) || ' found): copy nothing and report this as a defect.' as sentence
from checks
where expected <> found
