-- One row per verified copy that neither the mapping nor Nexus asks for any
-- longer, such as one under a patient's former id. For a person to review: no
-- script removes them.

with results as (

    select * from {{ ref('stg_copy_results') }}

),

newest_results as (

    {{ newest_copy_results('results') }}

),

manifest as (

    select * from {{ ref('copy_manifest') }}

),

nexus_keys as (

    select distinct s3_key
    from {{ ref('stg_nexus_images') }}
    where s3_key is not null

),

first_records as (

    select destination_bucket, destination_key, min(record_number) as record_number
    from results
    where is_verified
    group by destination_bucket, destination_key

),

final as (

    select
        newest_results.destination_bucket,
        newest_results.destination_key,
        newest_results.image_id,
        first_results.recorded_at as first_recorded_at,
        newest_results.recorded_at as last_recorded_at,
        present.destination_key as present_destination_key
    from newest_results
    inner join first_records
        on
            first_records.destination_bucket = newest_results.destination_bucket
            and first_records.destination_key = newest_results.destination_key
    inner join results as first_results
        on first_results.record_number = first_records.record_number
    left join manifest
        on
            manifest.destination_bucket = newest_results.destination_bucket
            and manifest.destination_key = newest_results.destination_key
    left join nexus_keys on nexus_keys.s3_key = newest_results.destination_key
    left join manifest as present on present.image_id = newest_results.image_id
    where
        newest_results.is_verified
        and manifest.image_id is null
        and nexus_keys.s3_key is null

)

select * from final
