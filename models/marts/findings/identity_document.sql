-- One row per row of the export whose Type or file name has a word of an
-- identity document.
{%- set places = [
    ('Type', 'type'), ('fileName', 'file_name'),
    ('Name_of_file', 'name_of_file'),
] %}

with words as (

    select * from {{ ref('stg_identity_words') }}

),

-- rows have no key of their own, and each one counts
export_rows as {{ not_materialized() }} (

    select
        image_id,
        recid_number as recid,
        patient_id,
        batch_id,
        type,
        file_name,
        name_of_file,
        {{ lower_ascii(
            "coalesce(type, '') || ' ' || coalesce(file_name, '')"
            ~ " || ' ' || coalesce(name_of_file, '')"
        ) }} as letters,
        {{ any_row_number() }} as row_key
    from {{ ref('image_outcome') }}

),

-- nearly all rows have no such letters anywhere, which takes one comparison
suspects as {{ materialized() }} (

    select export_rows.*, words.word
    from export_rows
    inner join words on position(words.word in export_rows.letters) > 0

),

placed as (

    select
        *,
        case
            {%- for place, text in places %}
            when {{ has_word(text, 'word') }} then '{{ place }}'
            {%- endfor %}
        end as place
    from suspects

),

ranked as (

    select
        *,
        row_number() over (
            partition by row_key
            order by
                case place
                    {%- for place, text in places %}
                    when '{{ place }}' then {{ loop.index }}
                    {%- endfor %}
                end,
                {{ by_code_point('word') }}
        ) as word_rank
    from placed
    where place is not null

),

final as (

    select
        image_id,
        recid,
        patient_id,
        batch_id,
        'the word ' || word || ' in ' || place as detail
    from ranked
    where word_rank = 1

)

select * from final
