-- One row per record of which anything that is remembered is not as the last
-- build of this data folder that passed saw it; none if there is no such build.

with records_now as {{ not_materialized() }} (

    select * from {{ ref('build_outcome') }}

),

records_before as {{ not_materialized() }} (

    select *
    from {{ source('memory', 'last_build_outcome') }}
    where data_folder = {{ text_literal(data_folder()) }}

),

last_build as (

    select count(*) as row_count from records_before

),

final as (

    select
        coalesce(records_now.record, records_before.record) as record,
        coalesce(records_now.occurrence, records_before.occurrence)
            as occurrence,
        records_before.record is not null as was_there,
        records_now.record is not null as is_there,
        records_before.is_repeated as is_repeated_before,
        records_now.is_repeated as is_repeated_after,
        records_before.decision as decision_before,
        records_now.decision as decision_after,
        records_before.filemaker_patient_id
            as filemaker_patient_id_before,
        records_now.filemaker_patient_id as filemaker_patient_id_after,
        records_before.filemaker_date as filemaker_date_before,
        records_now.filemaker_date as filemaker_date_after,
        records_before.patient_id as patient_id_before,
        records_now.patient_id as patient_id_after,
        records_before.published_patient_id
            as published_patient_id_before,
        records_now.published_patient_id as published_patient_id_after,
        records_before.batch_id as batch_id_before,
        records_now.batch_id as batch_id_after
    from records_before
    full outer join records_now
        on
            records_now.record = records_before.record
            and records_now.occurrence = records_before.occurrence
    where
        (select last_build.row_count from last_build) > 0
        and (
            records_now.is_repeated
            is distinct from records_before.is_repeated
            or records_now.decision is distinct from records_before.decision
            or records_now.filemaker_patient_id
            is distinct from records_before.filemaker_patient_id
            or records_now.filemaker_date
            is distinct from records_before.filemaker_date
            or records_now.patient_id is distinct from records_before.patient_id
            or records_now.published_patient_id
            is distinct from records_before.published_patient_id
            or records_now.batch_id is distinct from records_before.batch_id
        )

)

select * from final
