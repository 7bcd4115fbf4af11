-- One row per line of the listing, in the dump or not. Values are taken
-- unchanged.
{%- set source_prefix = setting('source_prefix') | string %}

with source as (

    select * from {{ ref('s3_inventory') }}

),

final as (

    select
        bucket,
        key,
        {{ to_bigint('size') }} as size,
        nullif(etag, '') as etag,
        {{ has_prefix('key', source_prefix) }} as is_in_dump,
        substr(key, {{ source_prefix | length + 1 }}) as name
    from source

)

select * from final
