-- A list that protects: a line that cannot be read would hold nothing back.
{{ config(meta={'sentence': true}) }}

with unreadable as (

    select line_number, row_number() over (order by line_number) as place
    from {{ ref('stg_held_image_lines') }}
    where recid is null

),

listed as (

    select
        count(*) as row_count,
        {{ joined_texts(
            'case when place <= 10 then ' ~ as_text('line_number') ~ ' end',
            ', ', 'line_number'
        ) }} as line_numbers
    from unreadable

)

select
    row_count,
    'held_images.csv cannot be read: '
    || case row_count when 1 then 'line ' else 'lines ' end || line_numbers
    || case
        when row_count > 10
            then ' and ' || {{ as_text('row_count - 10') }} || ' more'
        else ''
    end
    || case row_count when 1 then ' has' else ' have' end
    || ' no record number in the column recid (blank lines are not counted);'
    || ' write one on each line, such as 228, or remove the line, and run'
    || ' `dbt build` again.' as sentence
from listed
where row_count > 0
