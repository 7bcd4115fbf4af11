-- The dump is a backup: nothing is ever copied into it.
{%- set source_prefix = var('source_prefix') %}
{{ config(meta={'sentence': true}) }}

select
    image_id,
    'The copy of image ' || image_id
    || ' would be written into the dump: correct destination_key_template.'
        as sentence
from {{ ref('copy_manifest') }}
where
    {% if source_prefix -%}
    {{ has_prefix('destination_key', source_prefix) }}
    {%- else -%}
    destination_bucket in (
        select bucket from {{ ref('stg_s3_objects') }}
    )
    {%- endif %}
