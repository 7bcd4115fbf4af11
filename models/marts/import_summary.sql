-- One row per figure of the import.

with image_outcomes as (

    select * from {{ ref('image_outcome') }}

),

object_outcomes as (

    select * from {{ ref('object_outcome') }}

),

batches as (

    select * from {{ ref('image_batch') }}

),

manifest as (

    select * from {{ ref('copy_manifest') }}

),

reasons as (

    select * from {{ ref('stg_reasons') }}

),

rows_by_outcome as (

    select outcome, reason, count(*) as row_count
    from image_outcomes
    group by outcome, reason

),

objects_by_outcome as (

    select outcome, reason, count(*) as object_count
    from object_outcomes
    group by outcome, reason

),

row_figures as (

    select
        coalesce(sum(row_count), 0) as export_rows,
        coalesce(sum(case when outcome = 'linked' then row_count end), 0) as linked_images,
        coalesce(sum(case when outcome = 'already_linked' then row_count end), 0)
            as already_linked_images,
        coalesce(sum(case when outcome = 'skipped' then row_count end), 0) as skipped_images
    from rows_by_outcome

),

object_figures as (

    select
        coalesce(sum(object_count), 0) as objects,
        coalesce(sum(case when outcome = 'already_linked' then object_count end), 0)
            as already_linked_objects,
        coalesce(sum(case when outcome = 'unmatched' then object_count end), 0)
            as unmatched_objects
    from objects_by_outcome

),

manifest_figures as (

    select
        count(*) as objects_to_copy,
        coalesce(sum(source_size), 0) as bytes_to_copy
    from manifest

),

figures as (

    {% for metric in ['export_rows', 'linked_images', 'already_linked_images', 'skipped_images'] -%}
    select '{{ metric }}' as metric, {{ metric }} as metric_value from row_figures
    union all
    {% endfor -%}
    {% for metric in ['objects', 'already_linked_objects', 'unmatched_objects'] -%}
    select '{{ metric }}' as metric, {{ metric }} as metric_value from object_figures
    union all
    {% endfor -%}
    {% for metric in ['objects_to_copy', 'bytes_to_copy'] -%}
    select '{{ metric }}' as metric, {{ metric }} as metric_value from manifest_figures
    union all
    {% endfor -%}
    select 'image_batches' as metric, count(*) as metric_value from batches

    union all

    select 'skipped_' || reasons.reason as metric, coalesce(rows_by_outcome.row_count, 0) as metric_value
    from reasons
    left join rows_by_outcome on rows_by_outcome.reason = reasons.reason
    where reasons.applies_to = 'row'

    union all

    select
        'unmatched_' || reasons.reason as metric,
        coalesce(objects_by_outcome.object_count, 0) as metric_value
    from reasons
    left join objects_by_outcome on objects_by_outcome.reason = reasons.reason
    where reasons.applies_to = 'object'

),

final as (

    select
        metric,
        cast(metric_value as bigint) as "value"
    from figures

)

select * from final
