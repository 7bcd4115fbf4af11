-- One row per row of the export with a Type that is used once and is one letter
-- away from one that is used 20 times or more: a slip, perhaps.

with export_rows as {{ not_materialized() }} (

    select
        image_id,
        recid_number as recid,
        patient_id,
        batch_id,
        type
    from {{ ref('image_outcome') }}

),

-- there are few different texts, so that only they are trimmed
texts as (

    select
        type,
        {{ trimmed('type') }} as category,
        count(*) as row_count,
        min(recid) as recid
    from export_rows
    group by type

),

categories as (

    select
        category,
        min(type) as type,
        cast(sum(row_count) as bigint) as row_count,
        min(recid) as recid
    from texts
    where category is not null
    group by category

),

frequent as (

    select * from categories
    where row_count >= 20

),

lengths as (

    select distinct length(category) as letter_count from frequent

),

rare as (

    select distinct categories.category, categories.type
    from categories
    inner join lengths
        on
            length(categories.category) - lengths.letter_count
            between -1 and 1
    where categories.row_count = 1

),

rare_letters as (

    {{ with_and_without_each_letter('rare') }}

),

frequent_letters as (

    {{ with_and_without_each_letter('frequent') }}

),

-- the same without the letter at the same place: one is another letter; the
-- same where only one of them lacks a letter: the other has one more
ranked as (

    select
        rare.category,
        frequent.row_count,
        frequent.recid as related_recid,
        row_number() over (
            partition by rare.category
            order by
                frequent.row_count desc,
                {{ by_code_point('frequent.category') }} asc
        ) as frequent_rank
    from rare_letters as rare
    inner join frequent_letters as frequent
        on
            frequent.letters = rare.letters
            and (
                frequent.place = rare.place
                or frequent.place = 0
                or rare.place = 0
            )

),

final as (

    select
        export_rows.image_id,
        export_rows.recid,
        export_rows.patient_id,
        export_rows.batch_id,
        ranked.related_recid,
        'used once; one letter away from a type of '
        || {{ as_text('ranked.row_count') }} || ' images' as detail
    from ranked
    inner join rare on rare.category = ranked.category
    inner join export_rows on export_rows.type = rare.type
    where ranked.frequent_rank = 1

)

select * from final
