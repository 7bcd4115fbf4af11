-- One row per object of the manifest, with the newest outcome about its
-- destination. It counts only if it is about the source's present ETag.

with manifest as (

    select * from {{ ref('copy_manifest') }}

),

results as (

    select * from {{ ref('stg_copy_results') }}

),

newest_results as (

    {{ newest_copy_results('results') }}

),

final as (

    select
        manifest.image_id,
        manifest.source_bucket,
        manifest.source_key,
        manifest.source_etag,
        manifest.source_size,
        manifest.destination_bucket,
        manifest.destination_key,
        case
            when newest_results.is_verified then 'verified'
            when newest_results.outcome <> 'held_back' then 'failed'
            -- without an outcome, or held back when it was tried
            else 'to_do'
        end as status,
        newest_results.outcome as last_outcome,
        newest_results.recorded_at,
        newest_results.attempts,
        newest_results.error
    from manifest
    left join newest_results
        on
            newest_results.destination_bucket = manifest.destination_bucket
            and newest_results.destination_key = manifest.destination_key
            and newest_results.source_etag = manifest.source_etag

)

select * from final
