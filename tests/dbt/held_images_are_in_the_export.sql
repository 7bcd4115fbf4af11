-- A warning: a record that is held back appears in no row of the export. It may
-- be a slip, and another record should be held.
{{ config(severity='warn', meta={'sentence': true}) }}

with unknown as (

    select held.recid, row_number() over (order by held.recid) as place
    from {{ ref('stg_held_images') }} as held
    left join {{ ref('int_image_candidates') }} as export_rows
        on export_rows.recid = held.recid
    where export_rows.recid is null

),

listed as (

    select
        count(*) as row_count,
        {{ joined_texts(
            'case when place <= 10 then ' ~ as_text('recid') ~ ' end',
            ', ', 'recid'
        ) }} as recids
    from unknown

)

select
    row_count,
    'held_images.csv: no row of the export has record ' || recids
    || case
        when row_count > 10
            then ' and ' || {{ as_text('row_count - 10') }} || ' more'
        else ''
    end
    || ', so nothing is held back there: check these record numbers.'
        as sentence
from listed
where row_count > 0
