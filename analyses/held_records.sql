-- What is held back, and is any of it copied or published already?

with held as (

    select * from {{ ref('stg_held_images') }}

),

outcomes as (

    select * from {{ ref('image_outcome') }}

),

findings as (

    select
        recid,
        count(*) filter (where finding = 'held_but_copied') as copied_count,
        count(*) filter (where finding = 'held_but_published')
            as published_count
    from {{ ref('review_findings') }}
    where finding in ('held_but_copied', 'held_but_published')
    group by recid

),

final as (

    select
        held.recid,
        case
            when outcomes.outcome is null then 'in no row of the export'
            else coalesce(outcomes.reason, outcomes.outcome)
        end as outcome,
        outcomes.patient_id,
        outcomes.filemaker_date,
        coalesce(findings.copied_count, 0) as copied_images,
        coalesce(findings.published_count, 0) as published_images
    from held
    left join outcomes on outcomes.recid_number = held.recid
    left join findings on findings.recid = held.recid

)

select * from final
order by
    recid,
    {{ by_code_point('outcome') }},
    {{ by_code_point('patient_id') }},
    filemaker_date
