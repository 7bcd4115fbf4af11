-- One row per row of the export with a date on a Saturday or Sunday, where
-- under 2 % of all rows have one.

with export_rows as {{ not_materialized() }} (

    select * from {{ ref('image_outcome') }}

),

weekend_rows as {{ not_materialized() }} (

    select *
    from export_rows
    where {{ iso_weekday('filemaker_date') }} in (6, 7)

),

figures as (

    select
        (select count(*) from export_rows) as row_count,
        (select count(*) from weekend_rows) as weekend_count

),

final as (

    select
        weekend_rows.image_id,
        weekend_rows.recid_number as recid,
        weekend_rows.patient_id,
        weekend_rows.batch_id,
        case {{ iso_weekday('weekend_rows.filemaker_date') }}
            when 6 then 'Saturday '
            else 'Sunday '
        end || {{ iso_date_text('weekend_rows.filemaker_date') }} as detail
    from weekend_rows
    inner join figures on figures.weekend_count * 50 < figures.row_count

)

select * from final
