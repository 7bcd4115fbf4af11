-- Does everything add up?

with figures as (

    select * from {{ ref('import_summary') }}

),

totals as (

    {% for counted, total, linked, already_linked, left_over in [
        ('export rows', 'export_rows', 'linked_images',
            'already_linked_images', 'skipped_images'),
        ('objects', 'objects', 'linked_images',
            'already_linked_objects', 'unmatched_objects'),
    ] -%}
    {{ "union all" if not loop.first }}
    select
        '{{ counted }}' as counted,
        {% for name, metric in [
            ('total', total),
            ('linked', linked),
            ('already_linked', already_linked),
            ('skipped_or_unmatched', left_over),
        ] -%}
        cast(sum(value) filter (where metric = '{{ metric }}') as bigint)
            as {{ name }},
        {% endfor -%}
        {{ loop.index }} as counted_order
    from figures
    {% endfor %}
),

final as (

    select
        counted,
        total,
        linked,
        already_linked,
        skipped_or_unmatched,
        total - linked - already_linked - skipped_or_unmatched as difference
    from totals

)

select * from final
order by counted
