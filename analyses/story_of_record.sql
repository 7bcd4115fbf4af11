-- What is known about one record?
{%- set asked = text_literal(var('asked_recid', '18')) %}

with asked as (

    select {{ to_bigint('cast(' ~ asked ~ ' as varchar)') }} as recid

),

outcomes as (

    select
        image_outcomes.*,
        row_number() over (
            order by
                {{ by_code_point('image_outcomes.recid') }},
                {{ by_code_point('image_outcomes.filemaker_id') }},
                {{ by_code_point('image_outcomes.filemaker_patient_id') }},
                image_outcomes.filemaker_date,
                {{ by_code_point('image_outcomes.category') }}
        ) as occurrence
    from {{ ref('image_outcome') }} as image_outcomes
    inner join asked on asked.recid = image_outcomes.recid_number

),

objects as (

    select object_outcomes.*
    from {{ ref('object_outcome') }} as object_outcomes
    inner join asked on asked.recid = object_outcomes.recid

),

copies as (

    select copy_states.*
    from {{ ref('copy_status') }} as copy_states
    inner join outcomes on outcomes.image_id = copy_states.image_id

),

findings as (

    select
        case
            when asked.recid = review_findings.recid then 'finding'
            else
                'finding about record '
                || {{ as_text('review_findings.recid') }}
        end as part,
        review_findings.finding,
        review_findings.detail
    from {{ ref('review_findings') }} as review_findings
    inner join asked
        on
            asked.recid = review_findings.recid
            or asked.recid = review_findings.related_recid

),

changes as (

    select record_changes.*
    from {{ ref('changes_since_last_build') }} as record_changes
    inner join asked
        on {{ as_text('asked.recid') }} = record_changes.recid

),

facts as (

    {% for name, value in [
        ('outcome', 'outcome'),
        ('reason', 'reason'),
        ('day', iso_date_text('filemaker_date')),
        ('type', 'category'),
        ('image id in FileMaker', 'filemaker_id'),
        ('patient in FileMaker', 'filemaker_patient_id'),
        ('patient in Nexus', 'patient_id'),
        ('batch', 'batch_id'),
        ('image', 'image_id'),
        ('key of the copy', 's3_key'),
    ] -%}
    select
        1 as part_order,
        'row ' || {{ as_text('occurrence') }} || ' of the export' as part,
        {{ loop.index }} as fact_order,
        '{{ name }}' as fact,
        {{ value }} as value
    from outcomes

    union all

    {% endfor -%}
    select
        2 as part_order,
        'object in the dump' as part,
        1 as fact_order,
        key as fact,
        {{ as_text('size') }} || ' bytes' as value
    from objects

    union all

    select
        3 as part_order,
        'copy' as part,
        1 as fact_order,
        status as fact,
        coalesce(
            last_outcome || ' at ' || recorded_at
            || coalesce(': ' || error, ''),
            'not tried yet'
        ) as value
    from copies

    union all

    select
        4 as part_order,
        part,
        1 as fact_order,
        finding as fact,
        detail as value
    from findings

    union all

    select
        5 as part_order,
        'change since the last build' as part,
        1 as fact_order,
        change as fact,
        coalesce(before, 'nothing') || ' → ' || coalesce(after, 'nothing')
            as value
    from changes

),

final as (

    select *
    from facts
    where value is not null

)

select part, fact, value
from final
order by
    part_order,
    {{ by_code_point('part') }},
    fact_order,
    {{ by_code_point('fact') }},
    {{ by_code_point('value') }}
