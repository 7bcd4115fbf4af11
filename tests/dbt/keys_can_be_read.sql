-- A warning: lines of an input become nothing, because what they are recognised
-- by cannot be read.
{{ config(severity='warn', meta={'sentence': true, 'sentences': 20}) }}

select
    seed,
    column_name,
    seed || '.csv: ' || column_name || ' is missing or cannot be read in '
    || {{ as_text('line_count') }}
    || case line_count when 1 then ' line. ' else ' lines. ' end
    || what_to_do as sentence
from {{ ref('unreadable_keys') }}
where line_count > 0
