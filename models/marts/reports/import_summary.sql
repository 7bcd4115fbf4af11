-- One row per figure of the import.

with image_outcomes as (

    select * from {{ ref('image_outcome') }}

),

object_outcomes as (

    select * from {{ ref('object_outcome') }}

),

inventory as (

    select * from {{ ref('stg_s3_inventory') }}

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

findings as (

    select * from {{ ref('stg_findings') }}

),

findings_by_kind as (

    select finding, count(*) as finding_count
    from {{ ref('review_findings') }}
    group by finding

),

changes_by_kind as (

    select change, count(*) as change_count
    from {{ ref('changes_since_last_build') }}
    group by change

),

last_build as (

    select count(*) as row_count
    from {{ source('memory', 'last_build_outcome') }}
    where data_folder = {{ text_literal(data_folder()) }}

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

-- every figure is a sum, which is zero if there is nothing to add up
figures as (

    select
        'export_rows' as metric,
        sum(row_count) as metric_value
    from rows_by_outcome

    {% for metric, outcome in [
        ('linked_images', 'linked'),
        ('already_linked_images', 'already_linked'),
        ('skipped_images', 'skipped'),
    ] -%}
    union all

    select
        '{{ metric }}' as metric,
        sum(row_count) as metric_value
    from rows_by_outcome
    where outcome = '{{ outcome }}'

    {% endfor -%}
    union all

    select
        'objects' as metric,
        sum(object_count) as metric_value
    from objects_by_outcome

    union all

    select
        'objects_outside_prefix' as metric,
        count(*) as metric_value
    from inventory
    where not is_in_dump

    {% for metric, outcome in [
        ('already_linked_objects', 'already_linked'),
        ('unmatched_objects', 'unmatched'),
    ] -%}
    union all

    select
        '{{ metric }}' as metric,
        sum(object_count) as metric_value
    from objects_by_outcome
    where outcome = '{{ outcome }}'

    {% endfor -%}
    union all

    select
        'image_batches' as metric,
        count(*) as metric_value
    from batches

    union all

    select
        'objects_to_copy' as metric,
        count(*) as metric_value
    from manifest

    union all

    select
        'bytes_to_copy' as metric,
        sum(source_size) as metric_value
    from manifest

    union all

    select
        'skipped_' || reasons.reason as metric,
        rows_by_outcome.row_count as metric_value
    from reasons
    left join rows_by_outcome on rows_by_outcome.reason = reasons.reason
    where reasons.applies_to = 'row'

    union all

    select
        'unmatched_' || reasons.reason as metric,
        objects_by_outcome.object_count as metric_value
    from reasons
    left join objects_by_outcome
        on objects_by_outcome.reason = reasons.reason
    where reasons.applies_to = 'object'

    union all

    select
        'finding_' || findings.finding as metric,
        findings_by_kind.finding_count as metric_value
    from findings
    left join findings_by_kind on findings_by_kind.finding = findings.finding

    union all

    select
        'rows_of_last_build' as metric,
        row_count as metric_value
    from last_build

    {% for kind in kinds_of_change().split() -%}
    union all

    select
        'changes_{{ kind }}' as metric,
        sum(change_count) as metric_value
    from changes_by_kind
    where change = '{{ kind }}'

    {% endfor -%}
),

final as (

    select
        metric,
        cast(coalesce(metric_value, 0) as bigint) as value
    from figures

)

select * from final
