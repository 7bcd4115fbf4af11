-- A warning: an object that is listed twice counts as two, so its record
-- becomes ambiguous_object.
{{ config(severity='warn', meta={'sentence': true}) }}

select
    recid,
    'The listing names an object of record '
    || coalesce({{ as_text('recid') }}, '(none)')
    || ' more than once: list the dump again.' as sentence
from {{ ref('object_outcome') }}
group by bucket, key, recid
having count(*) > 1
