-- One row per word that names an identity document.

with source as (

    select * from {{ ref('identity_words') }}

),

final as (

    select word
    from source

)

select * from final
