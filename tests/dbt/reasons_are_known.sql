-- Every reason given is one of the reference seed's, and each is given in its
-- place only: a skipped row, an unmatched object.

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

select given.applies_to, given.reason
from given
left join {{ ref('stg_reasons') }} as reasons
    on reasons.reason = given.reason and reasons.applies_to = given.applies_to
where
    given.needs_one <> (reasons.reason is not null)
    or (given.reason is not null and reasons.reason is null)
