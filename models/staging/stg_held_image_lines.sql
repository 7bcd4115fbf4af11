-- One row per line of held_images.csv in which anything is written, with the
-- number of the line in the file, blank lines not counted.

with source as (

    select * from {{ ref('held_images') }}

),

-- a value may have line feeds
measured as (

    select
        *,
        coalesce(recid, '') || coalesce(held_by, '') || coalesce(held_on, '')
            as written
    from source

),

numbered as (

    select
        *,
        1 + record_number + coalesce(
            sum(
                length(written) - length(replace(written, chr(10), ''))
            ) over (
                order by record_number
                rows between unbounded preceding and 1 preceding
            ),
            0
        ) as line_number
    from measured

),

final as (

    select
        cast(line_number as bigint) as line_number,
        nullif({{ to_recid(trimmed('recid')) }}, 0) as recid
    from numbered
    where written <> ''

)

select * from final
