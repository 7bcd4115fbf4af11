-- Which copies are no longer needed?

with copies as (

    select * from {{ ref('stale_copies') }}

),

outcomes as (

    select * from {{ ref('image_outcome') }}

),

-- several rows of the export can lead to one image id
records as (

    select
        image_id,
        min(recid_number) as recid
    from outcomes
    group by image_id

),

final as (

    select
        records.recid,
        copies.destination_bucket,
        copies.destination_key,
        copies.last_recorded_at,
        copies.present_destination_key
    from copies
    left join records on records.image_id = copies.image_id

)

select * from final
order by
    recid,
    {{ by_code_point('destination_bucket') }},
    {{ by_code_point('destination_key') }}
