{# The settings (vars) of this project. #}
{% macro setting_names() %}
    {{ return([
        'filemaker_date_order', 'source_prefix', 'destination_bucket',
        'destination_key_template', 'batch_name_suffix', 'import_source',
        'image_extensions', 'record_numbers_confirmed', 'today',
        'unlinked_policy', 'duckdb_memory_limit',
    ]) }}
{% endmacro %}

{# The vars that are no settings: what analyses/ ask about. Each has its default
   there. #}
{% macro question_names() %}
    {{ return(['asked_recid', 'asked_patient']) }}
{% endmacro %}

{# The value of a setting. The sample has its own, whatever a clinic has set in
   dbt_project.yml, except for what --vars gives. #}
{% macro setting(name) -%}
    {% set is_given = name in (invocation_args_dict.vars or {})
        or model and model.resource_type == 'unit_test' -%}
    {% if not is_given and is_sample() -%}
        {{ return(sample_settings()[name]) }}
    {%- endif -%}
    {{ return(var(name)) }}
{%- endmacro %}

{# The settings of the sample: the documented ones, on a certain day. #}
{% macro sample_settings() %}
    {{ return({
        'filemaker_date_order': 'mdy',
        'source_prefix': 'filemaker-import/images-bulk-dump/',
        'destination_bucket': '',
        'destination_key_template':
            'patients/{patient_id}/images/{batch_id}/{recid}.{extension}',
        'batch_name_suffix': ' (FileMaker Import)',
        'import_source': 'filemaker_import',
        'image_extensions': [
            'jpg', 'jpeg', 'png', 'gif', 'webp', 'tif', 'tiff', 'bmp', 'heic',
            'heif',
        ],
        'record_numbers_confirmed': false,
        'today': '2026-01-01',
        'unlinked_policy': 'report',
        'duckdb_memory_limit': var('duckdb_memory_limit'),
    }) }}
{% endmacro %}

{# End the build before anything is made if a setting cannot be used. #}
{% macro check_settings() %}
    {% for name in invocation_args_dict.vars or {} %}
        {% if name not in setting_names() + question_names() %}
            {{ exceptions.raise_compiler_error(
                '--vars names ' ~ name ~ ', which is not a setting: the'
                ~ ' settings are ' ~ setting_names() | join(', ')
            ) }}
        {% endif %}
    {% endfor %}
    {% for name in [
        'source_prefix', 'destination_bucket', 'destination_key_template',
        'batch_name_suffix', 'import_source', 'duckdb_memory_limit',
    ] %}
        {% if setting(name) is not string %}
            {{ unusable_setting(name, 'must be a text in quotation marks') }}
        {% elif modules.re.search('[\\x00-\\x1f\\x7f]', setting(name)) %}
            {{ unusable_setting(
                name, 'must not have line breaks or other control characters'
            ) }}
        {% endif %}
    {% endfor %}
    {% if setting('filemaker_date_order') not in ['mdy', 'dmy', 'ymd'] %}
        {{ unusable_setting(
            'filemaker_date_order', 'must be mdy, dmy or ymd'
        ) }}
    {% endif %}
    {% if setting('unlinked_policy') not in ['report', 'copy'] %}
        {{ unusable_setting('unlinked_policy', 'must be report or copy') }}
    {% endif %}
    {% if setting('record_numbers_confirmed') is not boolean %}
        {{ unusable_setting(
            'record_numbers_confirmed',
            'must be true or false, without quotation marks'
        ) }}
    {% endif %}
    {% if setting('today') and not is_iso_date(setting('today') | string) %}
        {{ unusable_setting('today', 'must be a date, YYYY-MM-DD, or empty') }}
    {% endif %}
    {% do check_names() %}
    {% do check_destination() %}
    {% if not is_memory_limit(setting('duckdb_memory_limit')) %}
        {{ unusable_setting(
            'duckdb_memory_limit', 'must be an amount such as 1GB or 800MB'
        ) }}
    {% endif %}
{% endmacro %}

{# Settings by which objects and batches are found. #}
{% macro check_names() %}
    {% set prefix = setting('source_prefix') %}
    {% if prefix.startswith('/') or modules.re.match('s3:', prefix, 2) %}
        {{ unusable_setting(
            'source_prefix', 'must begin with the first folder in the bucket,'
            ~ ' without the bucket and without / in front'
        ) }}
    {% elif prefix and not prefix.endswith('/') %}
        {{ unusable_setting(
            'source_prefix',
            'must end in /, or be empty if the dump is the whole bucket'
        ) }}
    {% endif %}
    {% set source = setting('import_source') %}
    {% if not source or source != source.strip() %}
        {{ unusable_setting(
            'import_source', 'must not be empty, nor have blanks around it'
        ) }}
    {% endif %}
    {% set given = setting('image_extensions') %}
    {% if given is not string and (
        given is mapping or given is not sequence or given | reject('string')
        | list
    ) %}
        {{ unusable_setting('image_extensions', 'must be a list of words') }}
    {% elif not image_extensions() %}
        {{ unusable_setting('image_extensions', 'must name an extension') }}
    {% endif %}
    {% for extension in image_extensions() %}
        {% if not modules.re.match('[a-z0-9]+\\Z', extension) %}
            {{ unusable_setting(
                'image_extensions', 'must be a list of plain words such as jpg,'
                ~ ' without dots, and ' ~ extension ~ ' is not one'
            ) }}
        {% endif %}
    {% endfor %}
{% endmacro %}

{# Settings that say where copies go. Some stores take a key for a path, where
   // is / and .. is the folder above: two keys would be one place. #}
{% macro check_destination() %}
    {% set bucket = setting('destination_bucket') %}
    {% if bucket and not modules.re.match(
        '(arn:[^ ]+|[A-Za-z0-9][A-Za-z0-9._-]+)\\Z', bucket
    ) %}
        {{ unusable_setting(
            'destination_bucket', 'must be the name of a bucket, or empty'
        ) }}
    {% endif %}
    {% do destination_key({}) %}
    {% set template = setting('destination_key_template') %}
    {% if modules.re.search(
        '^/|/\\Z|//|\\\\|(^|/)[.][.]?(/|\\Z)', template
    ) %}
        {{ unusable_setting(
            'destination_key_template', 'must not begin or end with /, nor'
            ~ ' have //, a backslash, or . or .. as the name of a folder'
        ) }}
    {% endif %}
{% endmacro %}

{# Whether DuckDB takes a text for an amount of memory, which is not tiny. #}
{% macro is_memory_limit(text) %}
    {% set amount = '((?=.*[1-9])[0-9]+([.][0-9]+)? *[mgt](i?b)?'
        ~ '|(100|[1-9][0-9]?) *%)\\Z' %}
    {{ return(modules.re.match(amount, text, 2) is not none) }}
{% endmacro %}

{% macro unusable_setting(name, meaning) %}
    {% if execute %}{{ exceptions.raise_compiler_error(
        "the var " ~ name ~ " cannot be used: it " ~ meaning
        ~ "; correct it in dbt_project.yml or in --vars"
    ) }}{% endif %}
{% endmacro %}

{# Whether a text is a date of the calendar, YYYY-MM-DD. #}
{% macro is_iso_date(text) %}
    {% if not modules.re.match('[0-9]{4}-[0-9]{2}-[0-9]{2}\\Z', text) %}
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
        (setting('today') or run_started_at.astimezone().date().isoformat())
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
        'record_numbers_confirmed': setting('record_numbers_confirmed')
            | string | lower,
    } %}
    {% for name in setting_names() if name not in settings %}
        {% do settings.update({name: setting(name) | string}) %}
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
    {% set extensions = setting('image_extensions') %}
    {% if extensions is not sequence or extensions is string %}
        {% set extensions = extensions | string | replace(',', ' ') %}
        {% set extensions = extensions.split() %}
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
    {% set template = setting('destination_key_template') | string %}
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
