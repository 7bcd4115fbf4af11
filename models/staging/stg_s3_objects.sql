-- One row per object of the dump, as listed. Values are taken unchanged.
{%- set source_prefix = var('source_prefix') %}

with source as (

    select * from {{ ref('s3_inventory') }}

),

in_dump as (

    select
        bucket,
        "key",
        substr("key", {{ source_prefix | length + 1 }}) as name,
        {{ to_bigint('size') }} as size,
        nullif(etag, '') as etag
    from source
    where {{ has_prefix('"key"', source_prefix) }}

),

-- 228.jpg belongs to record 228; 0228.jpg, 228_a.jpg and sub/228.jpg do not
recognised as (

    select
        *,
        coalesce(
            {{ matches('name', '^[1-9][0-9]{0,17}[.][^/.]+$') }}, false
        ) as is_recognised
    from in_dump

),

final as (

    select
        bucket,
        "key",
        size,
        etag,
        cast(
            case when is_recognised then split_part(name, '.', 1) end as bigint
        ) as recid,
        case when is_recognised then split_part(name, '.', 2) end as extension
    from recognised

)

select * from final
