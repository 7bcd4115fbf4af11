{# End the build before anything is made if a setting cannot be used. #}
{% macro check_settings() %}
    {% if var('filemaker_date_order') not in ['mdy', 'dmy', 'ymd'] %}
        {{ unusable_setting(
            'filemaker_date_order', 'must be mdy, dmy or ymd'
        ) }}
    {% endif %}
    {% if var('unlinked_policy') not in ['report', 'copy'] %}
        {{ unusable_setting('unlinked_policy', 'must be report or copy') }}
    {% endif %}
    {% if var('today') and not is_iso_date(var('today') | string) %}
        {{ unusable_setting('today', 'must be a date, YYYY-MM-DD, or empty') }}
    {% endif %}
    {% if not image_extensions() %}
        {{ unusable_setting('image_extensions', 'must name an extension') }}
    {% endif %}
    {% do destination_key({}) %}
{% endmacro %}

{% macro unusable_setting(name, meaning) %}
    {% if execute %}{{ exceptions.raise_compiler_error(
        "the var " ~ name ~ " cannot be used: it " ~ meaning
        ~ "; correct it in dbt_project.yml or in --vars"
    ) }}{% endif %}
{% endmacro %}

{# Whether a text is a date of the calendar, YYYY-MM-DD. #}
{% macro is_iso_date(text) %}
    {% if not modules.re.match('[0-9]{4}-[0-9]{2}-[0-9]{2}$', text) %}
        {{ return(false) }}
    {% endif %}
    {% set year, month, day = text.split('-') | map('int') | list %}
    {% set is_leap = year % 4 == 0 and (year % 100 or year % 400 == 0) %}
    {% set february = 29 if is_leap else 28 %}
    {% set days = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] %}
    {{ return(year >= 1 and 1 <= month <= 12 and 1 <= day <= days[month - 1]) }}
{% endmacro %}

{# The day of this build, YYYY-MM-DD: the var `today`, or the machine's local
   date when the run started. Later dates are in the future. #}
{% macro build_date() %}
    {{ return(
        (var('today') or run_started_at.astimezone().date().isoformat())
        | string
    ) }}
{% endmacro %}

{# The same as an SQL date. #}
{% macro today() -%}
    cast('{{ build_date() }}' as date)
{%- endmacro %}

{# Every setting that is in effect, by name, as a text. #}
{% macro settings_in_effect() %}
    {% set settings = {
        'data_folder': 'seeds/sample' if is_sample() else data_folder(),
        'today': build_date(),
        'image_extensions': image_extensions() | join(' '),
    } %}
    {% for name in [
        'filemaker_date_order', 'source_prefix', 'destination_bucket',
        'destination_key_template', 'batch_name_suffix', 'import_source',
        'unlinked_policy', 'duckdb_memory_limit',
    ] %}
        {% do settings.update({name: var(name) | string}) %}
    {% endfor %}
    {{ return(settings) }}
{% endmacro %}

{# The extensions that count as images, in lower case, as an SQL list. #}
{% macro image_extension_list() -%}
    (
        {%- for extension in image_extensions() -%}
            {{ text_literal(extension) }}{{ ", " if not loop.last }}
        {%- endfor -%}
    )
{%- endmacro %}

{# The var image_extensions, a list or a text with blanks, as a list. #}
{% macro image_extensions() %}
    {% set extensions = var('image_extensions') %}
    {% if extensions is string %}
        {% set extensions = extensions.replace(',', ' ').split() %}
    {% endif %}
    {{ return(extensions | map('lower') | list) }}
{% endmacro %}

{# The key of an image's copy, as an SQL text, from the var
   destination_key_template. `fields` has an SQL text for each of its fields. #}
{% macro destination_key(fields) -%}
    {% set known = [
        'patient_id', 'batch_id', 'recid', 'extension', 'captured_date',
        'filemaker_id',
    ] %}
    {% set template = var('destination_key_template') %}
    {% set terms = [] %}
    {% for part in modules.re.split('([{][^{}]*[}])', template) if part %}
        {% if part[1:-1] in known and part[0] == '{' %}
            {% do terms.append(fields.get(part[1:-1], "''")) %}
        {% elif '{' in part or '}' in part %}
            {{ unusable_setting(
                'destination_key_template',
                'must have no fields but {' ~ known | join('} {') ~ '}'
            ) }}
        {% else %}
            {% do terms.append(text_literal(part)) %}
        {% endif %}
    {% endfor %}
    {% if not terms %}
        {{ unusable_setting('destination_key_template', 'must not be empty') }}
    {% endif %}
    {{ return(terms | join(' || ')) }}
{%- endmacro %}
