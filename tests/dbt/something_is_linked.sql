-- With 20 rows or more, of which none is linked or already linked, an input or
-- a setting is wrong.
{{ config(meta={'sentence': true}) }}

with commonest as (

    select *
    from {{ ref('skipped_reasons') }}
    order by row_count desc, reason_order asc
    limit 1

)

select
    reason,
    'Nothing is linked: ' || {{ as_text('row_count') }} || ' of '
    || {{ as_text('export_rows') }} || ' rows are skipped as ' || reason
    || '. Likely cause: ' || mostly_means
    || ' Then run `dbt build` again.' as sentence
from commonest
where export_rows >= 20 and linked_rows = 0
