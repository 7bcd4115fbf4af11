-- One row per object of the dump, with its one outcome, which is its record's.

with objects as (

    select * from {{ ref('stg_s3_objects') }}

),

image_outcomes as (

    select * from {{ ref('image_outcome') }}

),

-- rows that share a record number share its outcome; there are few of them, so
-- that only they are made distinct
records as (

    select recid_number, outcome, reason
    from image_outcomes
    where recid_row_count = 1

    union all

    select distinct recid_number, outcome, reason
    from image_outcomes
    where recid_row_count > 1

),

final as (

    select
        objects.bucket,
        objects.key,
        objects.size,
        objects.etag,
        objects.recid,
        case
            when records.outcome in ('linked', 'already_linked')
                then records.outcome
            else 'unmatched'
        end as outcome,
        case
            when objects.recid is null then 'unrecognised_key'
            when records.recid_number is null then 'no_metadata'
            when records.outcome = 'skipped' then 'record_skipped'
        end as reason,
        records.reason as record_reason
    from objects
    left join records on records.recid_number = objects.recid

)

select * from final
