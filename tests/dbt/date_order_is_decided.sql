-- A warning: the dates fit another order as well as the configured one.
{{ config(severity='warn', meta={'sentence': true}) }}

select
    date_order,
    'The dates do not show whether they are in the order '
    || '{{ setting("filemaker_date_order") }} or ' || date_order
    || ': check a few images whose day is known, and date_order_evidence.'
        as sentence
from {{ ref('date_order_evidence') }}
where verdict = 'undecided'
