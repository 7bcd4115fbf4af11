-- One row per column of a seed by which its lines are recognised, with how many
-- lines cannot be read there.
{%- set list_again = 'List the dump again with list_s3_objects.py.' %}
{%- set copy_again = 'Such lines show no copy as verified: run copy_objects.py'
    ~ ' again.' %}
{%- set no_batch = 'Images do not join such a batch: correct it in Nexus or in'
    ~ ' the mapping, and export again before publishing.' %}
{%- set twice = 'An image that Nexus holds may not be recognised: correct it in'
    ~ ' Nexus or in the mapping, and export again before publishing.' %}
{%- set keys = [
    ('filemaker_images_metadata', 'recid',
        'Such rows are skipped as invalid_recid: correct them in FileMaker and'
        ~ ' export again.'),
    ('s3_inventory', 'bucket', list_again),
    ('s3_inventory', 'key', list_again),
    ('s3_inventory', 'size', list_again),
    ('nexus_patients', 'patient_id',
        'Correct the mapping and export from Nexus again.'),
    ('nexus_patients', 'filemaker_id',
        'No image is linked to such a patient: correct the id in Nexus or in'
        ~ ' the mapping, and export again.'),
    ('nexus_image_batches', 'id', no_batch),
    ('nexus_image_batches', 'patient_id', no_batch),
    ('nexus_image_batches', 'captured_date', no_batch),
    ('nexus_images', 'id', twice),
    ('nexus_images', 'batch_id', twice),
    ('nexus_images', 'filemaker_id', twice),
    ('held_images', 'recid', 'Correct these lines.'),
    ('copy_results', 'image_id', copy_again),
    ('copy_results', 'destination_key', copy_again),
    ('copy_results', 'outcome', copy_again),
] %}

with filemaker_images_metadata as (

    select count(*) filter (where recid is null) as recid
    from {{ ref('int_image_candidates') }}

),

s3_inventory as (

    select
        count(*) filter (where bucket is null) as bucket,
        count(*) filter (where key is null) as key,
        count(*) filter (where size is null) as size
    from {{ ref('stg_s3_inventory') }}

),

nexus_patients as (

    select
        sum(line_count) filter (where patient_id is null) as patient_id,
        sum(unreadable_line_count) as filemaker_id
    from {{ ref('stg_nexus_patients') }}

),

nexus_image_batches as (

    select
        count(*) filter (where batch_id is null) as id,
        count(*) filter (where patient_id is null) as patient_id,
        count(*) filter (where captured_date is null) as captured_date
    from {{ ref('stg_nexus_image_batches') }}

),

nexus_images as (

    select
        count(*) filter (where image_id is null) as id,
        count(*) filter (where batch_id is null) as batch_id,
        count(*) filter (
            where has_filemaker_id and filemaker_id is null and recid is null
        ) as filemaker_id
    from {{ ref('stg_nexus_images') }}

),

held_images as (

    select count(*) filter (where recid is null) as recid
    from {{ ref('stg_held_image_lines') }}

),

copy_results as (

    select
        count(*) filter (where {{ to_uuid_text('image_id') }} is null)
            as image_id,
        count(*) filter (
            where destination_bucket is null or destination_key is null
        ) as destination_key,
        count(*) filter (where not is_known_outcome) as outcome
    from {{ ref('stg_copy_results') }}

),

final as (

    {% for seed, column, what_to_do in keys -%}
    {{ "union all" if not loop.first }}
    select
        {{ as_text(text_literal(seed)) }} as seed,
        {{ as_text(text_literal(column)) }} as column_name,
        cast(coalesce({{ column }}, 0) as bigint) as line_count,
        {{ as_text(text_literal(what_to_do)) }} as what_to_do
    from {{ seed }}
    {% endfor %}
)

select * from final
