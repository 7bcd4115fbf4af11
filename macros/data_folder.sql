{# The data folder as an absolute path: LINKAGE_DATA, or else the project's own
   sample. linkage.paths.data_folder is the same for scripts, which never write
   to the sample: for them it is data/ where LINKAGE_DATA is not set. #}
{% macro data_folder() %}
    {% if not execute %}{{ return('') }}{% endif %}
    {% set root = graph.nodes['seed.image_linkage.reasons'].root_path %}
    {% set folder = env_var('LINKAGE_DATA', '') or 'seeds/sample' %}
    {% if folder.startswith('~') %}
        {% do exceptions.raise_compiler_error(
            'LINKAGE_DATA begins with ~, which only a shell understands:'
            ~ ' write the whole path, from / on'
        ) %}
    {% endif %}
    {{ return(
        (folder if folder.startswith('/') else root ~ '/' ~ folder)
        .rstrip('/')
    ) }}
{% endmacro %}

{# Whether this build is one of the project's own sample. #}
{% macro is_sample() %}
    {% if not execute %}{{ return(false) }}{% endif %}
    {% set root = graph.nodes['seed.image_linkage.reasons'].root_path %}
    {{ return(data_folder() == root ~ '/seeds/sample') }}
{% endmacro %}

{# The file of a seed. dbt knows the seven seeds by the sample's files, which it
   reads while it parses; the file is the data folder's. So dbt's parser never
   sees a clinic's files, which it would end at, with a traceback, if one is not
   UTF-8. #}
{% macro seed_file(seed) %}
    {% if seed.original_file_path.startswith('seeds/sample/') %}
        {{ return(data_folder() ~ '/' ~ seed.name ~ '.csv') }}
    {% endif %}
    {{ return(seed.root_path ~ '/' ~ seed.original_file_path) }}
{% endmacro %}

{# Ends a build of the sample that would replace the marts of a clinic. #}
{% macro keep_marts_of_a_clinic() %}
    {% set mart = graph.nodes['model.image_linkage.build_settings'] %}
    {% if is_sample() and adapter.get_relation(
        mart.database, mart.schema, mart.alias
    ) %}
        {% set query = "select count(*) from " ~ mart.relation_name
            ~ " where name = 'data_folder' and value = 'seeds/sample'" %}
        {% if not run_query(query).columns[0][0] %}
            {% do exceptions.raise_compiler_error(
                'the sample would replace marts that were not made from it:'
                ~ ' set LINKAGE_DATA to the data folder, or build the sample'
                ~ ' in another warehouse (LINKAGE_WAREHOUSE, or'
                ~ ' LINKAGE_SCHEMA on PostgreSQL)'
            ) %}
        {% endif %}
    {% endif %}
{% endmacro %}
