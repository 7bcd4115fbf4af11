-- A warning: more than half of the export is skipped for one reason, which is
-- seldom right. If nothing is linked, something_is_linked says so.
{{ config(severity='warn', meta={'sentence': true}) }}

select
    reason,
    {{ as_text('row_count') }} || ' of ' || {{ as_text('export_rows') }}
    || ' rows are skipped as ' || reason || '. Likely cause: '
    || mostly_means as sentence
from {{ ref('skipped_reasons') }}
where
    row_count * 2 > export_rows
    and not (export_rows >= 20 and linked_rows = 0)
