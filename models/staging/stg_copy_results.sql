-- One row per outcome that a copy run recorded.

with source as (

    select * from {{ ref('copy_results') }}

),

final as (

    select
        record_number,
        run_id,
        recorded_at,
        lower({{ trimmed('image_id') }}) as image_id,
        source_bucket,
        source_key,
        source_etag,
        destination_bucket,
        destination_key,
        destination_etag,
        {{ to_bigint('size') }} as size,
        outcome,
        {{ to_bigint('attempts') }} as attempts,
        error,
        outcome in ('copied', 'already_present') as is_verified,
        coalesce(outcome in (
            'copied', 'already_present', 'conflict', 'source_missing',
            'source_changed', 'held_back', 'failed'
        ), false) as is_known_outcome
    from source

)

select * from final
