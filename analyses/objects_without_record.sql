-- Which objects of the dump belong to no record?

with objects as (

    select * from {{ ref('unmatched_objects') }}

),

reasons as (

    select * from {{ ref('stg_reasons') }}
    where applies_to = 'object'

),

final as (

    select
        objects.reason,
        objects.recid,
        objects.bucket,
        objects.key,
        objects.size,
        reasons.what_to_do
    from objects
    inner join reasons on reasons.reason = objects.reason
    where objects.reason <> 'record_skipped'

)

select * from final
order by
    {{ by_code_point('reason') }},
    recid,
    {{ by_code_point('bucket') }},
    {{ by_code_point('key') }}
