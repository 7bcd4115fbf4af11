-- One row per word that names an identity document.

with source as (

    select * from {{ ref('identity_words') }}

),

trimmed as (

    select {{ lower_ascii(trimmed('word')) }} as word
    from source

),

-- no other text can be a word of a text
final as (

    select case when {{ matches('word', '^[a-z]+$') }} then word end as word
    from trimmed

)

select * from final
