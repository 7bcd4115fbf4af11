-- One row per reason for which a row of the export can be skipped, with how
-- many rows it takes and what it mostly means if it takes most of them.

with figures as (

    select * from {{ ref('import_summary') }}

),

reasons as (

    select * from {{ ref('stg_reasons') }}
    where applies_to = 'row'

),

totals as (

    select
        sum(value) filter (where metric = 'export_rows') as export_rows,
        sum(value) filter (
            where metric in ('linked_images', 'already_linked_images')
        ) as linked_rows
    from figures

),

final as (

    select
        reasons.reason_order,
        reasons.reason,
        figures.value as row_count,
        cast(totals.export_rows as bigint) as export_rows,
        cast(totals.linked_rows as bigint) as linked_rows,
        reasons.mostly_means
    from reasons
    inner join figures on figures.metric = 'skipped_' || reasons.reason
    cross join totals

)

select * from final
