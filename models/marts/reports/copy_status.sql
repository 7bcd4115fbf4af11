-- One row per object of the manifest, with what the last copy run said of it.
-- A result counts only if its destination and the source's ETag are the
-- manifest's.

with manifest as (

    select * from {{ ref('copy_manifest') }}

),

results as (

    select * from {{ ref('stg_copy_results') }}

),

ranked as (

    select
        *,
        row_number() over (
            partition by destination_bucket, destination_key, source_etag
            order by
                {{ by_code_point('recorded_at') }} desc,
                is_verified,
                {{ by_code_point('outcome') }},
                {{ by_code_point('run_id') }}
        ) as newest_first
    from results

),

last_results as (

    select * from ranked where newest_first = 1

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
            when last_results.is_verified then 'verified'
            when last_results.outcome is not null then 'failed'
            else 'to_do'
        end as status,
        last_results.outcome as last_outcome,
        last_results.recorded_at,
        last_results.attempts,
        last_results.error
    from manifest
    left join last_results
        on
            last_results.destination_bucket = manifest.destination_bucket
            and last_results.destination_key = manifest.destination_key
            and last_results.source_etag = manifest.source_etag

)

select * from final
