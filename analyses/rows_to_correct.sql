-- Which rows can somebody correct in FileMaker?

with outcomes as (

    select * from {{ ref('image_outcome') }}

),

reasons as (

    select * from {{ ref('stg_reasons') }}
    where applies_to = 'row'

),

-- a value that cannot be read is not shown: it may be anything
final as (

    select
        outcomes.reason,
        outcomes.recid_number as recid,
        outcomes.filemaker_id,
        outcomes.filemaker_patient_id,
        outcomes.filemaker_date,
        reasons.what_to_do
    from outcomes
    inner join reasons on reasons.reason = outcomes.reason
    where
        outcomes.reason in (
            'invalid_recid', 'duplicate_recid', 'duplicate_filemaker_id',
            'missing_patient_id', 'invalid_patient_id', 'missing_date',
            'invalid_date', 'future_date'
        )

)

select * from final
order by
    {{ by_code_point('reason') }},
    recid,
    {{ by_code_point('filemaker_id') }},
    {{ by_code_point('filemaker_patient_id') }},
    filemaker_date
