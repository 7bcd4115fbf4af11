-- Every skipped row and every unmatched object has a reason, and it is one that
-- the reference seed lists for it; nothing else has a reason.
{{ config(meta={'sentence': true}) }}

with given as (

    select distinct
        'row' as applies_to,
        outcome = 'skipped' as needs_one,
        reason
    from {{ ref('image_outcome') }}

    union all

    select distinct
        'object' as applies_to,
        outcome = 'unmatched' as needs_one,
        reason
    from {{ ref('object_outcome') }}

)

select
    given.applies_to,
    given.reason,
    'A reason is missing, or seeds/reference/reasons.csv does not list it for'
    || ' an ' || case given.applies_to when 'row' then 'export row' else 'object'
    end || ': ' || coalesce(given.reason, '(none)') || '.' as sentence
from given
left join {{ ref('stg_reasons') }} as reasons
    on reasons.reason = given.reason and reasons.applies_to = given.applies_to
where
    given.needs_one <> (reasons.reason is not null)
    or (given.reason is not null and reasons.reason is null)
