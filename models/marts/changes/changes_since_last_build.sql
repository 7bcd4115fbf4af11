-- One row per change of a record since the last build of this data folder that
-- passed; none if there is no such build.

with records_now as not materialized (

    select * from {{ ref('build_outcome') }}

),

records_before as not materialized (

    select *
    from {{ source('memory', 'last_build_outcome') }}
    where data_folder = {{ text_literal(data_folder()) }}

),

differing as materialized (

    select
        coalesce(records_now.record, records_before.record) as record,
        case when records_before.record is null then 0 else 1 end as was_there,
        case when records_now.record is null then 0 else 1 end as is_there,
        case
            when records_before.is_repeated or records_now.is_repeated then 1
            else 0
        end as is_repeated,
        {% for column in [
            'decision', 'filemaker_patient_id', 'filemaker_date', 'patient_id',
            'published_patient_id', 'batch_id',
        ] -%}
        records_before.{{ column }} as {{ column }}_before,
        records_now.{{ column }} as {{ column }}_after
        {{- "," if not loop.last }}
        {% endfor -%}
    from records_before
    full outer join records_now
        on
            records_now.record = records_before.record
            and records_now.occurrence = records_before.occurrence
    where
        exists (select 1 from records_before)
        and (
            records_now.decision is distinct from records_before.decision
            {% for column in [
                'filemaker_patient_id', 'filemaker_date', 'patient_id',
                'published_patient_id', 'batch_id',
            ] -%}
            or records_now.{{ column }}
            is distinct from records_before.{{ column }}
            {% endfor -%}
        )

),

changes as (

    {% for kind, parts in kinds_of_change().items() -%}
    {{ "union all" if not loop.first }}
    select
        record,
        '{{ kind }}' as change,
        {{ parts[1] }} as before,
        {{ parts[2] }} as after
    from differing
    where {{ parts[0] }}
    {% endfor %}
),

final as (

    select
        nullif(record, '') as recid,
        cast(change as text) as change,
        cast(before as text) as before,
        cast(after as text) as after
    from changes

)

select * from final
