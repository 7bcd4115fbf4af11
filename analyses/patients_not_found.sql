-- Which patients were not found in Nexus, and how many images wait for them?

with patients as (

    select * from {{ ref('unmatched_patients') }}

),

outcomes as (

    select * from {{ ref('image_outcome') }}

),

near_misses as (

    select
        outcomes.filemaker_patient_id,
        min(findings.detail) as near_miss
    from {{ ref('review_findings') }} as findings
    inner join outcomes
        on
            outcomes.image_id = findings.image_id
            and outcomes.reason = 'patient_not_found'
    where findings.finding = 'patient_near_miss'
    group by outcomes.filemaker_patient_id

),

final as (

    select
        patients.filemaker_patient_id,
        patients.image_count,
        patients.first_date,
        patients.last_date,
        near_misses.near_miss
    from patients
    left join near_misses
        on near_misses.filemaker_patient_id = patients.filemaker_patient_id

)

select * from final
order by image_count desc, {{ by_code_point('filemaker_patient_id') }}
