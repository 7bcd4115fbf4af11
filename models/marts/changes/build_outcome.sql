-- One row per row of the export, with what the next build compares. Rows that
-- share a record number, or the same text where a number should be, cannot be
-- told apart: of these, only how many there are is compared.

with outcomes as {{ not_materialized() }} (

    select
        coalesce({{ as_text('recid_number') }}, recid, '') as record,
        recid_number is not null and recid_row_count = 1 as is_single,
        coalesce(reason, outcome) as decision,
        filemaker_patient_id,
        filemaker_date,
        present_patient_id as patient_id,
        case outcome when 'already_linked' then patient_id end
            as published_patient_id,
        batch_id
    from {{ ref('image_outcome') }}

),

-- there are few others, so that only they are counted
others as (

    select
        *,
        count(*) over (partition by record) > 1 as is_repeated,
        row_number() over (partition by record order by record) as occurrence
    from outcomes
    where not is_single

),

final as (

    select
        record,
        1 as occurrence,
        false as is_repeated,
        decision,
        filemaker_patient_id,
        filemaker_date,
        patient_id,
        published_patient_id,
        batch_id
    from outcomes
    where is_single

    union all

    select
        record,
        occurrence,
        is_repeated,
        decision,
        case when not is_repeated then filemaker_patient_id end
            as filemaker_patient_id,
        case when not is_repeated then filemaker_date end as filemaker_date,
        case when not is_repeated then patient_id end as patient_id,
        case when not is_repeated then published_patient_id end
            as published_patient_id,
        case when not is_repeated then batch_id end as batch_id
    from others

)

select * from final
