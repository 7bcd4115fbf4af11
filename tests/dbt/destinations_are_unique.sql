-- No two images share a destination: only one of them would be copied.
{{ config(meta={'sentence': true}) }}

select
    destination_bucket,
    destination_key,
    {{ as_text('count(*)') }}
    || ' images would be copied to one destination (one is image '
    || min(image_id) || '): put {recid} into destination_key_template.'
        as sentence
from {{ ref('copy_manifest') }}
group by destination_bucket, destination_key
having count(*) > 1
