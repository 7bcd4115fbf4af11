-- No two images share a destination: one would hide the other.
{{ config(meta={'sentence': true}) }}

select
    destination_bucket,
    destination_key,
    cast(count(*) as varchar)
    || ' images would be copied to one destination (one is image '
    || min(image_id) || '): let destination_key_template name the record.'
        as sentence
from {{ ref('copy_manifest') }}
group by destination_bucket, destination_key
having count(*) > 1
