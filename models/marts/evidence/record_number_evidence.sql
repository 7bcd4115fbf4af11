-- One row: whether record numbers and objects belong together. An image keeps
-- its extension on the way to the dump, so the extensions in the export's file
-- names are evidence: all but the commonest one, which agrees by chance.
{%- set same_type -%}
case extension when 'jpeg' then 'jpg' when 'tiff' then 'tif' else extension end
{%- endset %}

with export_rows as (

    select recid, file_name_extension as extension
    from {{ ref('int_image_candidates') }}
    where recid is not null and file_name_extension is not null

),

objects as (

    select recid, {{ lower_ascii('extension') }} as extension
    from {{ ref('stg_s3_objects') }}
    where recid is not null

),

file_names as (

    select recid, {{ same_type }} as extension
    from export_rows

),

object_types as (

    select recid, {{ same_type }} as extension
    from objects

),

compared as (

    select
        file_names.recid,
        file_names.extension,
        max(
            case
                when object_types.extension = file_names.extension then 1
                else 0
            end
        ) as agreeing
    from file_names
    inner join object_types on object_types.recid = file_names.recid
    group by file_names.recid, file_names.extension

),

by_extension as (

    select
        extension,
        count(*) as file_names,
        sum(agreeing) as agreeing,
        row_number() over (
            order by count(*) desc, {{ by_code_point('extension') }}
        ) as extension_rank
    from compared
    group by extension

),

totals as (

    select
        sum(file_names) as file_names,
        sum(file_names) filter (where extension_rank > 1) as telling_file_names,
        sum(agreeing) filter (where extension_rank > 1) as agreeing_file_names
    from by_extension

),

final as (

    select
        cast(coalesce(file_names, 0) as bigint) as file_names,
        cast(coalesce(telling_file_names, 0) as bigint) as telling_file_names,
        cast(coalesce(agreeing_file_names, 0) as bigint) as agreeing_file_names
    from totals

)

select * from final
