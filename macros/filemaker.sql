{# FileMaker's record number, from a trimmed text: 6066, 6066.0, 06066 and 6,066
   are the same record. Zero counts as a number here; any other text gives null,
   and so does 6.000, which is six thousand where a dot splits thousands. Nearly
   all are plain digits, which one pattern reads. #}
{% macro to_recid(text) -%}
    case
        when {{ matches(text, '^[0-9]{1,18}$') }}
            then cast({{ text }} as bigint)
        when {{ matches(text, '^[0-9]{1,3}[.]000$') }} then null
        when {{ matches(text, '^([0-9]+|[0-9]{1,3}(,[0-9]{3})+)([.]0*)?$') }}
            then {{ to_bigint(
                "coalesce(nullif(trim(leading '0' from replace(split_part("
                ~ text ~ ", '.', 1), ',', '')), ''), '0')"
            ) }}
    end
{%- endmacro %}

{# A UUID in lower case, from a trimmed text: any 8-4-4-4-12 hex counts. #}
{% macro to_uuid_text(text) -%}
    case
        when {{ matches(
            text, '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$'
        ) }}
            then lower({{ text }})
    end
{%- endmacro %}

{# The digits of an id in lower case, whatever braces, hyphens and white space
   are between them; null where they are not `count` hexadecimal digits. #}
{% macro hex_digits(text, count) -%}
    {% set digits = "translate(lower(" ~ text ~ "), '{}-' || "
        ~ white_space() ~ ", '')" -%}
    case
        when {{ matches(digits, '^[0-9a-f]{' ~ count ~ '}$') }}
            then {{ digits }}
    end
{%- endmacro %}

{# The kind of media file that an extension in lower case stands for; null where
   it is not known as one of a media file, such as what follows the dot in
   Smith.J. Some kinds have several extensions, and what a phone calls HEIC
   often becomes a JPEG on its way into FileMaker or out of it. #}
{% macro file_type(extension) -%}
    case
        {%- for extensions in [
            ['jpg', 'jpeg', 'jpe', 'jfif', 'heic', 'heif', 'hif'],
            ['tif', 'tiff'], ['bmp', 'dib'], ['dcm', 'dicom'], ['jp2', 'j2k'],
            ['mov', 'qt', 'mp4', 'm4v'], ['mpg', 'mpeg', 'mpe'],
            ['3gp', '3g2'], ['aif', 'aiff'],
        ] %}
        when {{ extension }} in ('{{ extensions | join("', '") }}')
            then '{{ extensions[0] }}'
        {%- endfor %}
        when {{ extension }} in (
            'png', 'gif', 'webp', 'avif', 'svg', 'psd', 'pdf', 'dng', 'cr2',
            'cr3', 'nef', 'arw', 'orf', 'rw2', 'raf', 'avi', 'wmv', 'mkv',
            'webm', 'mts', 'mp3', 'm4a', 'wav'
        )
            then {{ extension }}
    end
{%- endmacro %}

{# The date of three whole numbers; null where the calendar has none. #}
{% macro calendar_date(year, month, day) -%}
    case
        when
            {{ year }} between 1 and 9999
            and {{ month }} between 1 and 12
            and {{ day }} between 1 and case
                when {{ month }} in (4, 6, 9, 11) then 30
                when {{ month }} <> 2 then 31
                when {{ year }} % 4 <> 0 then 28
                when {{ year }} % 100 = 0 and {{ year }} % 400 <> 0 then 28
                else 29
            end
            then make_date(
                cast({{ year }} as integer),
                cast({{ month }} as integer),
                cast({{ day }} as integer)
            )
    end
{%- endmacro %}

{# A date written year, month, day, from a trimmed text. #}
{% macro to_date(text) -%}
    {% set parts = "translate(" ~ text ~ ", '/.', '--')" -%}
    case
        when {{ matches(text, '^[0-9]{4}[-/.][0-9]{1,2}[-/.][0-9]{1,2}$') }}
            then {{ calendar_date(
                to_bigint("split_part(" ~ parts ~ ", '-', 1)"),
                to_bigint("split_part(" ~ parts ~ ", '-', 2)"),
                to_bigint("split_part(" ~ parts ~ ", '-', 3)")
            ) }}
    end
{%- endmacro %}

{# A date as text, YYYY-MM-DD. #}
{% macro iso_date_text(date) -%}
    {{ return(adapter.dispatch('iso_date_text', 'image_linkage')(date)) }}
{%- endmacro %}

{% macro default__iso_date_text(date) -%}
    lpad({{ as_text('extract(year from ' ~ date ~ ')') }}, 4, '0')
    || '-' || lpad({{ as_text('extract(month from ' ~ date ~ ')') }}, 2, '0')
    || '-' || lpad({{ as_text('extract(day from ' ~ date ~ ')') }}, 2, '0')
{%- endmacro %}

{# DuckDB writes every date so. #}
{% macro duckdb__iso_date_text(date) -%}
    {{ as_text(date) }}
{%- endmacro %}

{# A batch's name: 5 Nov 2016 (FileMaker Import). English in any locale. #}
{% macro batch_name(date) -%}
    {{ as_text('extract(day from ' ~ date ~ ')') }}
    || case extract(month from {{ date }})
        {%- for month in [
            'Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun',
            'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec',
        ] %}
        when {{ loop.index }} then ' {{ month }} '
        {%- endfor %}
    end
    || lpad({{ as_text('extract(year from ' ~ date ~ ')') }}, 4, '0')
    || {{ text_literal(setting('batch_name_suffix')) }}
{%- endmacro %}
