-- A warning: nothing in the dates tells the configured order from another one.
{{ config(severity='warn', meta={'sentence': true}) }}

select
    date_order,
    'The dates do not tell whether they are in the order '
    || '{{ var("filemaker_date_order") }} or ' || date_order
    || ': look at a few pictures whose day is known, and at'
    || ' date_order_evidence.' as sentence
from {{ ref('date_order_evidence') }}
where verdict = 'undecided'
