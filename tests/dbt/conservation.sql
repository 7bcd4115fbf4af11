-- Nothing is lost and nothing is counted twice: every row of the export and
-- every object of the dump has one outcome (contract, section 7).
{{ config(meta={'sentence': true}) }}

{%- set count_of = {
    'export_rows': ref('filemaker_images_metadata'),
    'outcomes': ref('image_outcome'),
    'linked': ref('image_outcome') ~ " where outcome = 'linked'",
    'already_linked': ref('image_outcome')
        ~ " where outcome = 'already_linked'",
    'skipped': ref('skipped_images'),
    'images': ref('image'),
    'batches': ref('image_batch'),
    'empty_batches': ref('image_batch') ~ ' where image_count < 1',
    'objects': ref('s3_inventory') ~ ' where '
        ~ has_prefix('"key"', var('source_prefix')),
    'object_outcomes': ref('object_outcome'),
    'linked_objects': ref('object_outcome') ~ " where outcome = 'linked'",
    'already_linked_objects': ref('object_outcome')
        ~ " where outcome = 'already_linked'",
    'unmatched_objects': ref('unmatched_objects'),
} %}
{%- set rules = [
    ('export rows = linked + already linked + skipped',
        'export_rows', 'linked + already_linked + skipped'),
    ('one outcome per export row', 'export_rows', 'outcomes'),
    ('image has exactly the linked rows', 'linked', 'images'),
    ('every image is counted in its batch', 'images', 'images_in_batches'),
    ('every batch has an image', 'batches', 'batches_of_images'),
    ('no batch is empty', '0', 'empty_batches'),
    ('objects = linked + already linked + unmatched', 'objects',
        'linked_objects + already_linked_objects + unmatched_objects'),
    ('one outcome per object', 'objects', 'object_outcomes'),
    ('one object per linked row', 'linked', 'linked_objects'),
] %}

with figures as (

    select
        {% for figure, rows in count_of.items() -%}
        (select count(*) from {{ rows }}) as {{ figure }},
        {% endfor -%}
        (
            select coalesce(sum(image_count), 0)
            from {{ ref('image_batch') }}
        ) as images_in_batches,
        (
            select count(distinct batch_id)
            from {{ ref('image') }}
        ) as batches_of_images

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
    'The import does not add up (' || rule || ': ' || cast(expected as varchar)
    || ' expected, ' || cast(found as varchar)
    || ' found): copy nothing and report this as a defect.' as sentence
from checks
where expected <> found
