-- The dump is a backup: nothing is ever copied into it. Without a prefix it is
-- the whole bucket.
{{ config(meta={'sentence': true}) }}
{%- set source_prefix = setting('source_prefix') %}

with dump_buckets as (

    select distinct bucket
    from {{ ref('stg_s3_objects') }}
    where {{ text_literal(source_prefix) }} = ''

)

select
    manifest.image_id,
    'The copy of image ' || manifest.image_id
    || ' would be written into the dump: correct destination_key_template.'
        as sentence
from {{ ref('copy_manifest') }} as manifest
left join dump_buckets
    on dump_buckets.bucket = manifest.destination_bucket
where
    dump_buckets.bucket is not null
    or (
        {{ text_literal(source_prefix) }} <> ''
        and {{ has_prefix('manifest.destination_key', source_prefix) }}
    )
