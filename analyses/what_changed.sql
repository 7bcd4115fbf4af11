-- What has changed since the last build?

with changes as (

    select * from {{ ref('changes_since_last_build') }}

),

outcomes as (

    select
        recid_number,
        min(patient_id) as patient_id,
        min(coalesce(reason, outcome)) as outcome
    from {{ ref('image_outcome') }}
    where recid_number is not null
    group by recid_number

),

-- a record number that cannot be read is not shown: it may be anything
final as (

    select
        changes.change,
        {{ to_bigint('changes.recid') }} as recid,
        changes.before,
        changes.after,
        outcomes.outcome as present_outcome,
        outcomes.patient_id as present_patient_id
    from changes
    left join outcomes
        on outcomes.recid_number = {{ to_bigint('changes.recid') }}

)

select * from final
order by
    {{ by_code_point('change') }},
    recid,
    {{ by_code_point('before') }},
    {{ by_code_point('after') }}
