-- One row per object of the dump, as listed. Values are taken unchanged.

with in_dump as (

    select * from {{ ref('stg_s3_inventory') }}
    where is_in_dump

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
        key,
        size,
        etag,
        cast(
            case when is_recognised then split_part(name, '.', 1) end as bigint
        ) as recid,
        case when is_recognised then split_part(name, '.', 2) end as extension
    from recognised

)

select * from final
