-- In which order did FileMaker write day, month and year?

with evidence as (

    select * from {{ ref('date_order_evidence') }}

),

final as (

    select
        date_order,
        verdict,
        readable_dates,
        misfits,
        impossible_dates,
        future_dates,
        steps_back,
        weekend_dates
    from evidence

)

select * from final
order by misfits, {{ by_code_point('date_order') }}
