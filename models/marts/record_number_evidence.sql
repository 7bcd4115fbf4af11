-- One row: whether record numbers and objects belong together. A picture keeps
-- its extension on the way to the dump, so the extensions in the export's file
-- names tell; those other than the commonest one, for that one agrees by chance.

with export_rows as (

    select recid, file_name_extension
    from {{ ref('stg_filemaker_images') }}
    where recid is not null and file_name_extension is not null

),

objects as (

    select recid, extension
    from {{ ref('stg_s3_objects') }}
    where recid is not null

),

{% set same_type -%}
case {} when 'jpeg' then 'jpg' when 'tiff' then 'tif' else {} end
{%- endset -%}

compared as (

    select
        export_rows.recid,
        {{ same_type.replace('{}', 'export_rows.file_name_extension') }} as extension,
        max(
            case
                when
                    {{ same_type.replace('{}', lower_ascii('objects.extension')) }}
                    = {{ same_type.replace('{}', 'export_rows.file_name_extension') }}
                    then 1
                else 0
            end
        ) as agreeing
    from export_rows
    inner join objects on objects.recid = export_rows.recid
    group by export_rows.recid, export_rows.file_name_extension

),

by_extension as (

    select
        extension,
        count(*) as file_names,
        sum(agreeing) as agreeing,
        row_number() over (order by count(*) desc, {{ by_code_point('extension') }}) as extension_rank
    from compared
    group by extension

),

final as (

    select
        cast(coalesce(sum(file_names), 0) as bigint) as file_names,
        cast(coalesce(sum(case when extension_rank > 1 then file_names end), 0) as bigint)
            as telling_file_names,
        cast(coalesce(sum(case when extension_rank > 1 then agreeing end), 0) as bigint)
            as agreeing_file_names
    from by_extension

)

select * from final
