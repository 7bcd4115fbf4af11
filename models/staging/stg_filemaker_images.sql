-- One row per row of FileMaker's export: each text unchanged, and beside it the
-- value that was read from it, null where it cannot be read.
{%- set date_orders = ['mdy', 'dmy', 'ymd'] %}

with source as (

    select * from {{ ref('filemaker_images_metadata') }}

),

renamed as (

    select
        nullif(recid, '') as recid_text,
        nullif({{ adapter.quote('id_Contact') }}, '') as id_contact_text,
        nullif(date, '') as date_text,
        nullif({{ adapter.quote('Type') }}, '') as type_text,
        nullif({{ adapter.quote('fileName') }}, '') as file_name_text,
        nullif({{ adapter.quote('Name_of_file') }}, '') as name_of_file_text,
        {{ trimmed('recid') }} as recid_trimmed,
        {{ trimmed(adapter.quote('id_Contact')) }} as id_contact_trimmed,
        {{ trimmed('date') }} as date_trimmed,
        {{ trimmed('id') }} as id_trimmed,
        {{ ending(trimmed(adapter.quote('fileName'))) }} as file_name_ending,
        {{ trimmed(adapter.quote('NexusExportDate')) }} is not null
            as has_export_date
    from source

),

-- one or two digits for day and month, four for the year, split by / - or .
date_formed as (

    select
        *,
        coalesce({{ matches(
            'date_trimmed', '^[0-9]{1,2}[-/.][0-9]{1,2}[-/.][0-9]{4}$'
        ) }}, false) as is_year_last,
        coalesce({{ matches(
            'date_trimmed', '^[0-9]{4}[-/.][0-9]{1,2}[-/.][0-9]{1,2}$'
        ) }}, false) as is_year_first
    from renamed

),

date_slashed as (

    select
        *,
        case
            when is_year_last or is_year_first
                then replace(replace(date_trimmed, '-', '/'), '.', '/')
        end as date_slashed
    from date_formed

),

date_parts as (

    select
        *,
        cast(split_part(date_slashed, '/', 1) as integer) as date_part_1,
        cast(split_part(date_slashed, '/', 2) as integer) as date_part_2,
        cast(split_part(date_slashed, '/', 3) as integer) as date_part_3
    from date_slashed

),

typed as (

    select
        *,
        {{ to_recid('recid_trimmed') }} as recid_number,
        {{ to_uuid_text('id_contact_trimmed') }} as filemaker_patient_id,
        {{ to_uuid_text('id_trimmed') }} as filemaker_id,
        case
            when is_year_last then {{ calendar_date(
                'date_part_3', 'date_part_1', 'date_part_2'
            ) }}
        end as date_as_mdy,
        case
            when is_year_last then {{ calendar_date(
                'date_part_3', 'date_part_2', 'date_part_1'
            ) }}
        end as date_as_dmy,
        case
            when is_year_first then {{ calendar_date(
                'date_part_1', 'date_part_2', 'date_part_3'
            ) }}
        end as date_as_ymd,
        case
            when {{ matches('file_name_ending', '^[A-Za-z0-9]{1,5}$') }}
                then lower(file_name_ending)
        end as file_name_extension
    from date_parts

),

final as (

    select
        recid_text,
        -- a record's number is a positive one
        case when recid_number > 0 then recid_number end as recid,
        id_contact_text,
        id_contact_trimmed is not null as has_patient_id,
        filemaker_patient_id,
        date_text,
        date_trimmed is not null as has_date,
        date_as_{{ setting('filemaker_date_order') }} as filemaker_date,
        {% for order in date_orders -%}
        date_as_{{ order }},
        {% endfor -%}
        type_text,
        filemaker_id,
        file_name_text,
        file_name_extension,
        name_of_file_text,
        has_export_date
    from typed

)

select * from final
