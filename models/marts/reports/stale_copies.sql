-- One row per verified copy that neither the mapping nor Nexus asks for any
-- more, such as one under a patient's former id. For a person to look at; no
-- script removes them.

with results as (

    select * from {{ ref('stg_copy_results') }} where is_verified

),

manifest as (

    select * from {{ ref('copy_manifest') }}

),

nexus_keys as (

    select distinct s3_key
    from {{ ref('stg_nexus_images') }}
    where s3_key is not null

),

copies as (

    select
        destination_bucket,
        destination_key,
        min({{ by_code_point('image_id') }}) as image_id,
        min({{ by_code_point('recorded_at') }}) as first_recorded_at,
        max({{ by_code_point('recorded_at') }}) as last_recorded_at
    from results
    group by destination_bucket, destination_key

),

final as (

    select
        copies.destination_bucket,
        copies.destination_key,
        copies.image_id,
        copies.first_recorded_at,
        copies.last_recorded_at,
        present.destination_key as present_destination_key
    from copies
    left join manifest
        on
            manifest.destination_bucket = copies.destination_bucket
            and manifest.destination_key = copies.destination_key
    left join nexus_keys on nexus_keys.s3_key = copies.destination_key
    left join manifest as present on present.image_id = copies.image_id
    where manifest.image_id is null and nexus_keys.s3_key is null

)

select * from final
