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
        case
            when strpos("key", '/') > 0
                then substr(
                    "key", 1, length("key") - strpos(reverse("key"), '/') + 1
                )
            else ''
        end as folder,
        count(*) as line_count
    from inventory
    where "key" is not null
    group by 1

),

-- a folder with few of the objects may be named after a person
commonest as (

    select folders.folder
    from folders
    cross join counted
    where folders.line_count * 10 >= counted.line_count
    order by folders.line_count desc, {{ by_code_point('folders.folder') }}
    limit 1

)

select
    counted.line_count,
    'None of the ' || cast(counted.line_count as varchar)
    || ' objects in s3_inventory.csv is under source_prefix '
    || {{ text_literal(var('source_prefix')) }} || ' ('
    || coalesce(
        'most of them are '
        || case commonest.folder
            when '' then 'under no prefix'
            else 'under ' || commonest.folder
        end,
        'they are under many prefixes'
    )
    || '): set source_prefix in dbt_project.yml to the prefix of the dump, or'
    || ' list the dump again, and run `dbt build` again.' as sentence
from counted
left join commonest on true
where counted.line_count > 0 and counted.object_count = 0
