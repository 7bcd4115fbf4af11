-- One row per setting, with the value that this build was made with. The mark
-- of a build that passed is a comment on this table.

{% for name, value in settings_in_effect().items() | sort -%}
{{ "union all" if not loop.first }}
select
    {{ as_text(text_literal(name)) }} as name,
    {{ as_text(text_literal(value)) }} as value
{% endfor %}
