-- Guards the assumption that FileMaker wrote its dates in the order that the
-- var filemaker_date_order gives. Otherwise many images would silently get
-- another day.
{{ config(meta={'sentence': true}) }}

with contradicting as (

    select *
    from {{ ref('date_order_evidence') }}
    where verdict = 'contradicts the configured order'

),

best as (

    select min(misfits) as misfits from contradicting

)

select
    min(contradicting.date_order) as date_order,
    'The dates contradict filemaker_date_order '
    || '{{ setting("filemaker_date_order") }} ('
    || {{ as_text('max(configured.misfits)') }} || ' of them do not fit; as '
    || min(contradicting.date_order) || ' '
    || {{ as_text('max(best.misfits)') }}
    || ' do not): set filemaker_date_order to '
    || min(contradicting.date_order)
    || ' in dbt_project.yml and run `dbt build` again.' as sentence
from contradicting
inner join best on best.misfits = contradicting.misfits
inner join {{ ref('date_order_evidence') }} as configured
    on configured.verdict = 'configured'
having count(*) > 0
