-- A warning: a record that is held back appears in no row of the export. It may
-- be a slip of the pen, and another record should be held.
{{ config(severity='warn', meta={'sentence': true}) }}

with unknown as (

    select held.recid, row_number() over (order by held.recid) as place
    from {{ ref('stg_held_images') }} as held
    left join {{ ref('int_image_candidates') }} as export_rows
        on export_rows.recid = held.recid
    where export_rows.recid is null

)

select
    count(*) as recid_count,
    'held_images.csv holds back records that no row of the export has: '
    || string_agg(cast(recid as varchar), ', ' order by recid)
        filter (where place <= 10)
    || case
        when count(*) > 10
            then ' and ' || cast(count(*) - 10 as varchar) || ' more'
        else ''
    end
    || '. Check whether these are the right record numbers.' as sentence
from unknown
having count(*) > 0
