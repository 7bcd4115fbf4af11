-- Every reason given is one of the reference seed's, and each is given in its
-- place only: a skipped row, an unmatched object.

select outcomes.outcome, outcomes.reason
from (select distinct outcome, reason from {{ ref('image_outcome') }}) as outcomes
left join {{ ref('stg_reasons') }} as reasons
    on reasons.reason = outcomes.reason and reasons.applies_to = 'row'
where (outcomes.outcome = 'skipped') <> (reasons.reason is not null)

union all

select outcomes.outcome, outcomes.reason
from (select distinct outcome, reason from {{ ref('object_outcome') }}) as outcomes
left join {{ ref('stg_reasons') }} as reasons
    on reasons.reason = outcomes.reason and reasons.applies_to = 'object'
where (outcomes.outcome = 'unmatched') <> (reasons.reason is not null)
