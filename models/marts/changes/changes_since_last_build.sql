-- One row per change of a record since the last build of this data folder that
-- passed; none if there is no such build.

with differing as (

    select * from {{ ref('build_differences') }}

),

changes as (

    {% for kind, parts in kinds_of_change().items() -%}
    {{ "union all" if not loop.first }}
    select
        record,
        '{{ kind }}' as change,
        {{ parts[1] }} as before,
        {{ parts[2] }} as after
    from differing
    where {{ parts[0] }}
    {% endfor %}
),

final as (

    select
        nullif(record, '') as recid,
        cast(change as text) as change,
        cast(before as text) as before,
        cast(after as text) as after
    from changes

)

select * from final
