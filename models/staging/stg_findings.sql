-- One row per kind of finding.

with source as (

    select * from {{ ref('findings') }}

),

final as (

    select
        finding,
        severity,
        meaning,
        what_to_do
    from source

)

select * from final
