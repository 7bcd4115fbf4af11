-- One row per setting, with the value that this build was made with. The mark of
-- a build that passed is a comment on this table.

{% for name, value in settings_in_effect().items() | sort -%}
{{ "union all" if not loop.first }}
select
    cast('{{ name }}' as text) as name,
    cast({{ text_literal(value) }} as text) as value
{% endfor %}
