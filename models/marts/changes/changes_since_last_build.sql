-- One row per change of a record since the last build of this data folder that
-- passed; none if there is no such build.
{%- set was_linked = "decision_before in ('linked', 'already_linked')" %}
{%- set is_linked = "decision_after in ('linked', 'already_linked')" %}
{%- set stays_in_nexus = "decision_before = 'already_linked'"
    ~ " and decision_after = 'already_linked'" %}

{#- for each kind the column that has changed, and when else it is reported -#}
{%- set kinds = {
    'appeared': ('decision', 'not was_there'),
    'went': ('decision', 'not is_there'),
    'became_linked': ('decision', 'not ' ~ was_linked ~ ' and ' ~ is_linked),
    'lost_link': ('decision', was_linked ~ ' and not ' ~ is_linked),
    'left_nexus': (
        'decision',
        "decision_before = 'already_linked' and decision_after = 'linked'"
    ),
    'reason': (
        'decision',
        'was_there and is_there and not ' ~ was_linked
        ~ ' and not ' ~ is_linked
    ),
    'patient': ('filemaker_patient_id', 'is_single'),
    'nexus_patient': (
        'patient_id',
        'is_single and filemaker_patient_id_before = filemaker_patient_id_after'
        ~ ' and (patient_id_before is not null or ' ~ stays_in_nexus ~ ')'
    ),
    'moved_in_nexus': (
        'published_patient_id', 'is_single and ' ~ stays_in_nexus
    ),
    'date': ('date_text', 'is_single'),
    'batch': (
        'batch_id', 'is_single and ' ~ was_linked ~ ' and ' ~ is_linked
    ),
} %}

with differing as (

    select
        *,
        coalesce(not is_repeated_before and not is_repeated_after, false)
            as is_single
    from {{ ref('build_differences') }}

),

with_date_texts as (

    select
        differing.*,
        {{ iso_date_text('filemaker_date_before') }} as date_text_before,
        {{ iso_date_text('filemaker_date_after') }} as date_text_after
    from differing

),

changes as (

    {% for kind in kinds_of_change().split() -%}
    {%- set column, condition = kinds[kind] -%}
    {{ "union all" if not loop.first }}
    select
        record,
        '{{ kind }}' as change,
        {{ column }}_before as before,
        {{ column }}_after as after
    from with_date_texts
    where
        {{ column }}_before is distinct from {{ column }}_after
        and {{ condition }}
    {% endfor %}
),

final as (

    select
        nullif(record, '') as recid,
        {{ as_text('change') }} as change,
        {{ as_text('before') }} as before,
        {{ as_text('after') }} as after
    from changes

)

select * from final
