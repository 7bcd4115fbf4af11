-- One row per change of a record since the last build of this data folder that
-- passed; none if there is no such build.
{%- set was_linked = "decision_before in ('linked', 'already_linked')" %}
{%- set is_linked = "decision_after in ('linked', 'already_linked')" %}
{%- set stays_in_nexus = "decision_before = 'already_linked'"
    ~ " and decision_after = 'already_linked'" %}

{#- when a record has changed so, apart from its decision -#}
{%- set decisions = {
    'appeared': 'not was_there',
    'went': 'not is_there',
    'became_linked': 'not ' ~ was_linked ~ ' and ' ~ is_linked,
    'lost_link': was_linked ~ ' and not ' ~ is_linked,
    'left_nexus':
        "decision_before = 'already_linked' and decision_after = 'linked'",
    'reason': 'not ' ~ was_linked ~ ' and not ' ~ is_linked
        ~ ' and decision_before <> decision_after',
} %}
{%- set facts = {
    'patient': ('filemaker_patient_id', 'true'),
    'nexus_patient': (
        'patient_id',
        'filemaker_patient_id_before = filemaker_patient_id_after'
        ~ ' and (patient_id_before is not null or ' ~ stays_in_nexus ~ ')',
    ),
    'moved_in_nexus': ('published_patient_id', stays_in_nexus),
    'date': ('filemaker_date', 'true'),
    'batch': ('batch_id', was_linked ~ ' and ' ~ is_linked),
} %}

with differing as (

    select * from {{ ref('build_differences') }}

),

changes as (

    {% for kind in kinds_of_change().split() -%}
    {{ "union all" if not loop.first }}
    select
        record,
        '{{ kind }}' as change,
        {% if kind in decisions -%}
        decision_before as before,
        decision_after as after
    from differing
    where {{ decisions[kind] }}
        {%- elif kind == 'date' -%}
        {{ iso_date_text('filemaker_date_before') }} as before,
        {{ iso_date_text('filemaker_date_after') }} as after
        {%- else -%}
        {{ facts[kind][0] }}_before as before,
        {{ facts[kind][0] }}_after as after
        {%- endif %}
        {%- if kind in facts %}
    from differing
    where
        not is_repeated_before
        and not is_repeated_after
        and {{ facts[kind][1] }}
        and {{ facts[kind][0] }}_before
        is distinct from {{ facts[kind][0] }}_after
        {%- endif %}
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
