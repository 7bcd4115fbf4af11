{# Ids are name-based UUIDs (RFC 9562, version 3) of a name in lower case, in
   the namespace of this project. A model takes two steps: one column for the
   name's digest, then the id of that column. In one expression DuckDB would
   compute the digest once for each part of the id, which takes five times as
   long. #}

{# The UUID of a digest, which is an MD5 in hex. #}
{% macro id_of_digest(digest) -%}
    substr({{ digest }}, 1, 8)
    || '-' || substr({{ digest }}, 9, 4)
    || '-3' || substr({{ digest }}, 14, 3)
    || '-' || substr(
        '89ab89ab89ab89ab',
        position(substr({{ digest }}, 17, 1) in '0123456789abcdef'),
        1
    )
    || substr({{ digest }}, 18, 3)
    || '-' || substr({{ digest }}, 21, 12)
{%- endmacro %}

{# MD5, in hex, of the namespace's sixteen bytes and the name's. #}
{% macro md5_in_namespace(name) -%}
    {{ return(adapter.dispatch('md5_in_namespace', 'image_linkage')(name)) }}
{%- endmacro %}

{% macro default__md5_in_namespace(name) -%}
    md5(
        decode('545cf1367f554c098ccea53086e493a6', 'hex')
        || convert_to({{ name }}, 'UTF8')
    )
{%- endmacro %}

{% macro duckdb__md5_in_namespace(name) -%}
    md5(unhex('545cf1367f554c098ccea53086e493a6') || encode({{ name }}))
{%- endmacro %}

{% macro spark__md5_in_namespace(name) -%}
    md5(
        unhex('545cf1367f554c098ccea53086e493a6')
        || encode({{ name }}, 'UTF-8')
    )
{%- endmacro %}

{# The digest of an image's id, by its FileMaker image id. #}
{% macro image_digest_by_filemaker_id(filemaker_id) -%}
    {{ md5_in_namespace("'image:' || " ~ filemaker_id) }}
{%- endmacro %}

{# The digest of an image's id, by its record number. #}
{% macro image_digest_by_recid(recid) -%}
    {{ md5_in_namespace("'image:recid:' || " ~ as_text(recid)) }}
{%- endmacro %}

{# The digest of the id of the batch of one patient and day, by FileMaker's
   patient id. #}
{% macro image_batch_digest(filemaker_patient_id, date) -%}
    {{ md5_in_namespace(
        "'image_batch:' || " ~ filemaker_patient_id
        ~ " || ':' || " ~ iso_date_text(date)
    ) }}
{%- endmacro %}
