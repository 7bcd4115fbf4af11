-- Which records share a number, an image id or the bytes of a picture?

with outcomes as (

    select * from {{ ref('image_outcome') }}

),

findings as (

    select * from {{ ref('review_findings') }}

),

final as (

    select
        'record number' as what_is_shared,
        {{ as_text('recid_number') }} as shared_value,
        recid_number as recid,
        image_id,
        filemaker_patient_id,
        patient_id
    from outcomes
    where recid_row_count > 1

    union all

    select
        'image id' as what_is_shared,
        filemaker_id as shared_value,
        recid_number as recid,
        image_id,
        filemaker_patient_id,
        patient_id
    from outcomes
    where filemaker_id_row_count > 1

    union all

    select
        'bytes' as what_is_shared,
        detail as shared_value,
        recid,
        image_id,
        {{ as_text('null') }} as filemaker_patient_id,
        patient_id
    from findings
    where finding in ('same_bytes_two_patients', 'same_bytes_same_patient')

)

select * from final
order by
    {{ by_code_point('what_is_shared') }},
    {{ by_code_point('shared_value') }},
    recid,
    {{ by_code_point('image_id') }},
    {{ by_code_point('filemaker_patient_id') }},
    {{ by_code_point('patient_id') }}
