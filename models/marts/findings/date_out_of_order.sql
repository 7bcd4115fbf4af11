-- One row per record whose date is before that of the record below it by
-- number, or after that of the record above it, though those two are in order.

with records as (

    select recid, filemaker_date
    from {{ ref('int_image_candidates') }}
    where
        recid is not null
        and recid_row_count = 1
        and filemaker_date is not null

),

outcomes as {{ not_materialized() }} (

    select * from {{ ref('image_outcome') }}

),

with_neighbours as (

    select
        recid,
        filemaker_date,
        lag(recid) over by_number as recid_below,
        lag(filemaker_date) over by_number as date_below,
        lead(recid) over by_number as recid_above,
        lead(filemaker_date) over by_number as date_above
    from records
    window by_number as (order by recid)

),

out_of_order as (

    select *
    from with_neighbours
    where
        date_below <= date_above
        and (filemaker_date < date_below or filemaker_date > date_above)

),

final as (

    select
        outcomes.image_id,
        out_of_order.recid,
        outcomes.patient_id,
        outcomes.batch_id,
        out_of_order.recid_below as related_recid,
        {{ iso_date_text('out_of_order.filemaker_date') }} || ', but '
        || {{ iso_date_text('out_of_order.date_below') }} || ' in record '
        || {{ as_text('out_of_order.recid_below') }} || ' and '
        || {{ iso_date_text('out_of_order.date_above') }} || ' in record '
        || {{ as_text('out_of_order.recid_above') }} as detail
    from out_of_order
    inner join outcomes on outcomes.recid_number = out_of_order.recid

)

select * from final
