-- One row per object to copy, in the order of patient, date and record. Objects
-- of patients not found in Nexus come last, if unlinked_policy asks for them.

with outcomes as (

    select * from {{ ref('image_outcome') }}

),

linked as (

    select
        *,
        1 as part,
        patient_id as owner_id,
        s3_key as destination_key
    from outcomes
    where outcome = 'linked'

),

{% set parts = ['linked'] -%}
{% if setting('unlinked_policy') == 'copy' -%}
{% set parts = ['linked', 'unlinked'] -%}
slugged as (

    select
        *,
        trim(
            both '-' from {{ replace_runs(
                lower_ascii("coalesce(type, '')"), '[^a-z0-9]+', '-'
            ) }}
        ) as type_slug
    from outcomes
    where
        reason = 'patient_not_found'
        and object_count = 1
        and {{ lower_ascii('extension') }} in {{ image_extension_list() }}
        and coalesce(source_size, 1) <> 0

),

unlinked as (

    select
        *,
        2 as part,
        filemaker_patient_id as owner_id,
        'unlinked/' || coalesce(nullif(type_slug, ''), 'untyped')
        || '/' || {{ as_text('recid_number') }} || '.' || extension
            as destination_key
    from slugged

),

{% endif -%}
objects as (

    {% for part in parts -%}
    {{ "union all" if not loop.first }}
    select
        image_id,
        source_bucket,
        source_key,
        source_etag,
        source_size,
        destination_key,
        part,
        owner_id,
        filemaker_date,
        recid_number
    from {{ part }}
    {% endfor %}
),

final as (

    select
        image_id,
        source_bucket,
        source_key,
        source_etag,
        source_size,
        {% if setting('destination_bucket') -%}
        {{ text_literal(setting('destination_bucket')) }} as destination_bucket,
        {%- else -%}
        source_bucket as destination_bucket,
        {%- endif %}
        destination_key
    from objects
    order by part, {{ by_code_point('owner_id') }}, filemaker_date, recid_number

)

select * from final
