-- Nothing is lost and nothing is counted twice: every row of the export and
-- every object of the dump has one outcome (docs/specification.md, Outcomes).
{{ config(meta={'sentence': true}) }}

{%- set rules = [
    ('export rows = linked + already linked + skipped',
        'export_rows', 'linked + already_linked + skipped'),
    ('one outcome per export row', 'export_rows', 'outcomes'),
    ('image has exactly the linked rows', 'linked', 'images'),
    ('every image has its batch', '0', 'images_without_batch'),
    ('every image is counted in its batch', 'images', 'images_in_batches'),
    ('every batch counts its own images', '0', 'batches_that_miscount'),
    ('no batch is empty', '0', 'empty_batches'),
    ('objects = linked + already linked + unmatched', 'objects',
        'linked_objects + already_linked_objects + unmatched_objects'),
    ('one outcome per object', 'objects', 'object_outcomes'),
    ('one object per linked row', 'linked', 'linked_objects'),
] %}

with export_rows as (

    select count(*) as export_rows
    from {{ ref('filemaker_images_metadata') }}

),

outcomes as (

    select
        count(*) as outcomes,
        count(*) filter (where outcome = 'linked') as linked,
        count(*) filter (where outcome = 'already_linked') as already_linked
    from {{ ref('image_outcome') }}

),

skipped as (

    select count(*) as skipped from {{ ref('skipped_images') }}

),

images_by_batch as (

    select batch_id, count(*) as image_count
    from {{ ref('image') }}
    group by batch_id

),

batches as (

    select
        coalesce(sum(images_by_batch.image_count), 0) as images,
        coalesce(sum(image_batch.image_count), 0) as images_in_batches,
        coalesce(sum(
            case
                when image_batch.id is null then images_by_batch.image_count
            end
        ), 0) as images_without_batch,
        coalesce(sum(
            case
                when
                    image_batch.image_count
                    <> coalesce(images_by_batch.image_count, 0)
                    then 1
            end
        ), 0) as batches_that_miscount,
        count(*) filter (where image_batch.image_count < 1) as empty_batches
    from images_by_batch
    full outer join {{ ref('image_batch') }} as image_batch
        on image_batch.id = images_by_batch.batch_id

),

objects as (

    select count(*) as objects
    from {{ ref('s3_inventory') }}
    where {{ has_prefix('key', setting('source_prefix')) }}

),

object_outcomes as (

    select
        count(*) as object_outcomes,
        count(*) filter (where outcome = 'linked') as linked_objects,
        count(*) filter (where outcome = 'already_linked')
            as already_linked_objects
    from {{ ref('object_outcome') }}

),

unmatched as (

    select count(*) as unmatched_objects from {{ ref('unmatched_objects') }}

),

figures as (

    select
        export_rows.*,
        outcomes.*,
        skipped.*,
        batches.*,
        objects.*,
        object_outcomes.*,
        unmatched.*
    from export_rows
    cross join outcomes
    cross join skipped
    cross join batches
    cross join objects
    cross join object_outcomes
    cross join unmatched

),

checks as (

    {% for rule, expected, found in rules -%}
    {{ "union all" if not loop.first }}
    select
        '{{ rule }}' as rule,
        {{ expected }} as expected,
        {{ found }} as found
    from figures
    {% endfor %}
)

select
    rule,
    expected,
    found,
    'The import does not add up (' || rule || ': ' || {{ as_text('expected') }}
    || ' expected, ' || {{ as_text('found') }}
    || ' found): copy nothing and report this as a defect.' as sentence
from checks
where expected <> found
