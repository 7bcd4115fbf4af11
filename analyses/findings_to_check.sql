-- What should somebody check?

with findings as (

    select * from {{ ref('review_findings') }}

),

final as (

    select
        severity,
        finding,
        count(*) as finding_count,
        count(distinct recid) as record_count,
        min(recid) as first_recid,
        what_to_do
    from findings
    group by severity, finding, what_to_do

)

select * from final
order by {{ by_code_point('severity') }}, {{ by_code_point('finding') }}
