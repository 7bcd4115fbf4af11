-- The listing and source_prefix belong together: with a prefix that no object
-- has, every image would seem to be missing.
{{ config(meta={'sentence': true}) }}

with inventory as (

    select * from {{ ref('stg_s3_inventory') }}

),

counted as (

    select
        count(*) as line_count,
        count(*) filter (where is_in_dump) as object_count
    from inventory

),

folders as (

    select
        {{ folder('key') }} as folder,
        count(*) as line_count
    from inventory
    where key is not null
    group by 1

),

-- a folder with few of the objects may be named after a person
commonest as (

    select folders.folder
    from folders
    cross join counted
    where folders.line_count * 10 >= counted.line_count
    order by
        folders.line_count desc,
        {{ by_code_point('folders.folder') }} asc
    limit 1

)

select
    counted.line_count,
    'None of the ' || {{ as_text('counted.line_count') }}
    || ' objects in s3_inventory.csv is under source_prefix '
    || {{ text_literal(setting('source_prefix')) }} || ' ('
    || case
        when commonest.folder is null then 'they are under many prefixes'
        when commonest.folder = '' then 'most of them are under no prefix'
        else 'most of them are under ' || commonest.folder
    end
    || '): set source_prefix in dbt_project.yml to the prefix of the dump, or'
    || ' list the dump again, and run `dbt build` again.' as sentence
from counted
left join commonest on true
where counted.line_count > 0 and counted.object_count = 0
