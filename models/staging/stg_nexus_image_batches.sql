-- One row per image batch that Nexus holds.

with source as (

    select * from {{ ref('nexus_image_batches') }}

),

trimmed as (

    select
        lower({{ trimmed('id') }}) as batch_id,
        lower({{ trimmed('patient_id') }}) as patient_id,
        {{ trimmed('batch_name') }} as batch_name,
        {{ trimmed('captured_date') }} as captured_date_text,
        {{ trimmed('import_source') }} as import_source
    from source

),

final as (

    select
        batch_id,
        patient_id,
        batch_name,
        {{ to_date('captured_date_text') }} as captured_date,
        import_source
    from trimmed

)

select * from final
