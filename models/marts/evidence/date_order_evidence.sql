-- One row per order in which the export's dates might have been written, with
-- what speaks against it. Records are created one after the other, so dates do
-- not go back as record numbers rise.
{%- set configured = setting('filemaker_date_order') %}

with export_rows as (

    select *
    from {{ ref('int_image_candidates') }}
    where has_date

),

readings as (

    {% for order in ['mdy', 'dmy', 'ymd'] -%}
    {{ "union all" if not loop.first }}
    select
        '{{ order }}' as date_order,
        recid,
        date_as_{{ order }} as date_read,
        date_as_{{ order }} is null
        and coalesce(date_as_mdy, date_as_dmy, date_as_ymd) is not null
            as is_impossible,
        date_as_{{ order }} is not null
        and coalesce(date_as_{{ configured }} <> date_as_{{ order }}, true)
            as is_read_otherwise
    from export_rows
    {% endfor %}
),

-- rows that share a record number count in the order of their dates
readable as (

    select
        date_order,
        date_read,
        lag(date_read) over (
            partition by date_order
            order by recid, date_read
        ) as date_before
    from readings
    where date_read is not null and recid is not null

),

steps as (

    select date_order, count(*) as steps_back
    from readable
    where date_read < date_before
    group by date_order

),

counted as (

    select
        date_order,
        count(date_read) as readable_dates,
        count(*) filter (where is_impossible) as impossible_dates,
        count(*) filter (where date_read > {{ today() }}) as future_dates,
        count(*) filter (where {{ iso_weekday('date_read') }} in (6, 7))
            as weekend_dates,
        count(*) filter (where is_read_otherwise) as dates_read_otherwise
    from readings
    group by date_order

),

misfits as (

    select
        counted.*,
        coalesce(steps.steps_back, 0) as steps_back,
        counted.impossible_dates
        + counted.future_dates
        + coalesce(steps.steps_back, 0) as misfits
    from counted
    left join steps on steps.date_order = counted.date_order

),

judged as (

    select
        misfits.*,
        case
            when misfits.date_order = configured.date_order then 'configured'
            when
                misfits.misfits * 2 <= configured.misfits
                and configured.misfits - misfits.misfits >= 3
                then 'contradicts the configured order'
            when misfits.dates_read_otherwise = 0 then 'reads no date otherwise'
            when
                configured.misfits * 2 <= misfits.misfits
                and misfits.misfits - configured.misfits >= 3
                then 'ruled out'
            else 'undecided'
        end as verdict
    from misfits
    inner join misfits as configured
        on configured.date_order = '{{ configured }}'

),

final as (

    select
        date_order,
        verdict,
        cast(readable_dates as bigint) as readable_dates,
        cast(impossible_dates as bigint) as impossible_dates,
        cast(future_dates as bigint) as future_dates,
        cast(steps_back as bigint) as steps_back,
        cast(misfits as bigint) as misfits,
        cast(weekend_dates as bigint) as weekend_dates
    from judged

)

select * from final
