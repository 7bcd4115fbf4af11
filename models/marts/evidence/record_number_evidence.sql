-- One row: whether record numbers and objects belong together. An image keeps
-- its extension on the way to the dump, so the extensions in the export's file
-- names are evidence: all but those of the commonest kind of file, which agrees
-- by chance. What is no known extension of a media file proves nothing.

with file_names as {{ not_materialized() }} (

    select
        recid,
        {{ file_type('file_name_extension') }} as extension,
        {{ file_type(lower_ascii('extension')) }} as object_extension,
        recid_row_count = 1 and object_count = 1 as is_pair
    from {{ ref('int_image_candidates') }}
    where recid is not null and file_name_extension is not null

),

objects as (

    select recid, {{ file_type(lower_ascii('extension')) }} as extension
    from {{ ref('stg_s3_objects') }}
    where recid is not null

),

-- one row and one object, as for nearly every record: nothing to look up
compared_pairs as (

    select
        extension,
        case when object_extension = extension then 1 else 0 end as agreeing
    from file_names
    where
        is_pair
        and extension is not null
        and object_extension is not null

),

compared_others as (

    select
        file_names.extension,
        max(
            case when objects.extension = file_names.extension then 1 else 0 end
        ) as agreeing
    from file_names
    inner join objects on objects.recid = file_names.recid
    where
        not file_names.is_pair
        and file_names.extension is not null
        and objects.extension is not null
    group by file_names.recid, file_names.extension

),

compared as (

    select * from compared_pairs

    union all

    select * from compared_others

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

counted as (

    select
        cast(coalesce(file_names, 0) as bigint) as file_names,
        cast(coalesce(telling_file_names, 0) as bigint) as telling_file_names,
        cast(coalesce(agreeing_file_names, 0) as bigint) as agreeing_file_names
    from totals

),

final as (

    select
        *,
        telling_file_names >= 5
        and agreeing_file_names * 2 < telling_file_names as is_contradicted
    from counted

)

select * from final
