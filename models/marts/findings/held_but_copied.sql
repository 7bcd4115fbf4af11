-- One row per record that is held back and of which a verified copy exists.

with held_images as (

    select recid
    from {{ ref('stg_held_images') }}
    where recid > 0

),

candidates as {{ not_materialized() }} (

    select recid, recid_row_count, image_id, patient_id, batch_id
    from {{ ref('int_image_candidates') }}
    where is_held_back

),

results as (

    select * from {{ ref('stg_copy_results') }}

),

newest_results as (

    {{ newest_copy_results('results') }}

),

copies as (

    select
        *,
        {{ record_of_key('source_key') }} as recid
    from newest_results
    -- a copy run that holds a record back says whether its copy is still there
    where
        is_verified
        or (outcome = 'held_back' and destination_etag is not null)

),

-- by the object that was copied, whether the export has the record or not; or
-- by the image's id, where the dump was somewhere else
copies_of_held as (

    select
        held_images.recid,
        copies.record_number,
        copies.image_id,
        copies.recorded_at
    from held_images
    inner join copies on copies.recid = held_images.recid

    union

    select
        candidates.recid,
        copies.record_number,
        copies.image_id,
        copies.recorded_at
    from candidates
    inner join copies on copies.image_id = candidates.image_id

),

counted as (

    select
        recid,
        count(*) as copy_count,
        min({{ by_code_point('image_id') }}) as image_id,
        max(
            case
                when {{ matches(
                    'recorded_at', '^[0-9]{4}-[0-9]{2}-[0-9]{2}T.*$'
                ) }}
                    then substr(recorded_at, 1, 10)
            end
        ) as last_verified_on
    from copies_of_held
    group by recid

),

final as (

    select
        counted.image_id,
        counted.recid,
        candidates.patient_id,
        candidates.batch_id,
        case
            when counted.copy_count = 1 then '1 verified copy'
            else {{ as_text('counted.copy_count') }} || ' verified copies'
        end
        || coalesce(', last verified on ' || counted.last_verified_on, '')
            as detail
    from counted
    left join candidates
        on
            candidates.recid = counted.recid
            and candidates.recid_row_count = 1

)

select * from final
