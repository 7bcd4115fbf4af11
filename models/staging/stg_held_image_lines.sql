-- One row per line of held_images.csv in which anything is written, with the
-- number of the line in the file, blank lines not counted.

with source as (

    select * from {{ ref('held_images') }}

),

trimmed as (

    select
        record_number,
        {{ trimmed('recid') }} as recid_trimmed,
        {{ trimmed('held_by') }} as held_by,
        {{ trimmed('held_on') }} as held_on,
        coalesce(recid, '') || coalesce(held_by, '') || coalesce(held_on, '')
            as values_joined
    from source

),

-- a value may have line feeds
measured as (

    select
        *,
        1 + length(values_joined)
        - length(replace(values_joined, chr(10), '')) as line_count
    from trimmed

),

numbered as (

    select
        *,
        2 + coalesce(sum(line_count) over (
            order by record_number
            rows between unbounded preceding and 1 preceding
        ), 0) as line_number
    from measured

),

final as (

    select
        cast(line_number as bigint) as line_number,
        nullif({{ to_recid('recid_trimmed') }}, 0) as recid
    from numbered
    where coalesce(recid_trimmed, held_by, held_on) is not null

)

select * from final
