-- A list that protects: a line that cannot be read would hold nothing back.
{{ config(meta={'sentence': true}) }}

with unreadable as (

    select line_number, row_number() over (order by line_number) as place
    from {{ ref('stg_held_image_lines') }}
    where recid is null

)

select
    count(*) as line_count,
    'held_images.csv: the recid cannot be read in line '
    || string_agg(
        cast(line_number as varchar), ', ' order by line_number
    ) filter (where place <= 10)
    || case
        when count(*) > 10
            then ' and ' || cast(count(*) - 10 as varchar) || ' more'
        else ''
    end
    || ' (blank lines not counted): write a record number such as 6066 in each'
    || ' of them, or remove the line, and run `dbt build` again.' as sentence
from unreadable
having count(*) > 0
