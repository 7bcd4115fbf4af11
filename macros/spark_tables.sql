{# What dbt does on Spark: read the seeds that scripts/stage_seeds.py has
   checked and written as Parquet, keep every table as Parquet in a folder of
   its name, and prove a build that passed. Spark's own CSV reader is not used:
   it takes what must be refused, such as a quotation mark that swallows the
   rest of a file. #}

{# A seed: every column text. The number of its rows must be what was staged. #}
{% materialization seed, adapter='spark' %}
    {%- set target_relation = this.incorporate(type='table') -%}
    {%- set columns = model.columns.keys() | list -%}
    {%- if config.get('meta', {}).get('record_number') -%}
        {%- do columns.append('record_number') -%}
    {%- endif -%}
    {{ run_hooks(pre_hooks) }}
    {% do drop_any(target_relation) %}

    {# a statement of the name `main` would make dbt write it to a file, whose
       path is the seed's: over the seed, where that is an absolute path #}
    {% call statement('load_seed') %}
        create table {{ target_relation }} using parquet
        {{ folder_clause(this.schema, this.identifier) }} as
        select
            {%- for column in columns %}
            {{ adapter.quote(column) }}{{ "," if not loop.last }}
            {%- endfor %}
        from {{ staged(model.name) }}
    {% endcall %}
    {%- set loaded = run_query(
        'select count(*) from ' ~ target_relation
    ).columns[0][0] | int -%}
    {%- set expected = run_query(
        'select row_count from ' ~ staged('staged') ~ " where seed = '"
        ~ model.name ~ "'"
    ).columns[0][0] | int -%}
    {%- if loaded != expected -%}
        {{ exceptions.raise_compiler_error(
            model.name ~ '.parquet has ' ~ loaded ~ ' rows, not the '
            ~ expected ~ ' that were staged: run stage_seeds.py again, and'
            ~ ' copy the whole folder to where Spark reads it'
        ) }}
    {%- endif -%}

    {% do store_result('main', response='CREATE') %}
    {% do store_result('agate_table', response='CREATE') %}
    {{ run_hooks(post_hooks) }}
    {{ return({'relations': [target_relation]}) }}
{% endmaterialization %}

{# A file of the staged folder, as a relation. #}
{% macro staged(name) -%}
    parquet.`{{ env_var('LINKAGE_STAGED', '').rstrip('/') }}/{{ name }}.parquet`
{%- endmacro %}

{# Drop a table or view of this name, whichever there is. #}
{% macro drop_any(relation) %}
    {% set found = adapter.get_relation(
        relation.database, relation.schema, relation.identifier
    ) %}
    {% if found %}
        {% do adapter.drop_relation(found) %}
    {% endif %}
{% endmacro %}

{% macro spark__file_format_clause() -%}
    using parquet
{%- endmacro %}

{% macro spark__location_clause() -%}
    {{ folder_clause(this.schema, this.identifier) }}
{%- endmacro %}

{# Where a table's files are: in the schema's folder, under the table's name.
   Spark would refuse a folder that is there already, if it were left to choose:
   one of a table that an earlier session made. #}
{% macro folder_clause(schema, name) -%}
    {%- set about = run_query('describe schema ' ~ adapter.quote(schema)) -%}
    location '{{ dict(about.rows.values())['Location'] }}/{{ name }}'
{%- endmacro %}

{# In Spark's literals a backslash escapes, too: dbt's own macro forgets it. #}
{% macro spark__escape_single_quotes(expression) -%}
    {{ expression | replace("\\", "\\\\") | replace("'", "\\'") }}
{%- endmacro %}

{# The columns of a contract, whose `text` Spark does not know. #}
{% macro spark__get_empty_schema_sql(columns) %}
    select
    {%- for column in columns.values() %}
        cast(null as {{ type_on_spark(column.data_type) }})
            as {{ adapter.quote(column.name) }}{{ "," if not loop.last }}
    {%- endfor %}
{% endmacro %}

{% macro type_on_spark(type) -%}
    {{ return('string' if type == 'text' else type) }}
{%- endmacro %}

{# End the build if Spark reads SQL in another way than models are written for,
   or if what was staged is missing or another data folder's. #}
{% macro check_spark() %}
    {% set answer = run_query("select 'it''s' || '\\\\'").columns[0][0] %}
    {% if answer != "it's\\" %}
        {% do exceptions.raise_compiler_error(
            "this Spark reads text literals in another way than Spark 4 does"
            ~ ' by default: use Spark 4, with spark.sql.parser'
            ~ '.escapedStringLiterals and spark.sql.legacy'
            ~ '.consecutiveStringLiterals.enabled as they are by default'
        ) %}
    {% endif %}
    {% if not env_var('LINKAGE_STAGED', '') %}
        {% do exceptions.raise_compiler_error(
            'LINKAGE_STAGED is not set: run `python scripts/stage_seeds.py'
            ~ ' FOLDER`, and name the folder as Spark sees it'
        ) %}
    {% endif %}
    {% set folders = try_or_compiler_error(
        'Spark cannot read staged.parquet in LINKAGE_STAGED: run `python'
        ~ ' scripts/stage_seeds.py FOLDER`, copy the whole folder to where'
        ~ ' Spark reads it, and name it as Spark sees it',
        run_query, 'select distinct data_folder from ' ~ staged('staged')
    ).columns[0].values() | list %}
    {% set folder = settings_in_effect()['data_folder'] %}
    {% if folders != [folder] %}
        {% do exceptions.raise_compiler_error(
            'LINKAGE_STAGED has the seeds of another data folder than '
            ~ folder ~ ': run `python scripts/stage_seeds.py FOLDER` again'
        ) %}
    {% endif %}
{% endmacro %}

{# The proof of a build that passed: a table with a row for each mart, for each
   other model that the review site reads, and for each seed, for those who take
   the files away from Spark. Of a model it has the SHA-256 of the names of the
   files with its rows, which no two builds share. Without a build that passed
   it has no row. Its folder may be there without the table: a session's
   catalog ends with it. #}
{% macro write_proof(passed) %}
    {% set mart = graph.nodes['model.image_linkage.build_settings'] %}
    {% set proof = api.Relation.create(
        schema=mart.schema, identifier='build_proof', type='table'
    ) %}
    {% set read = [] %}
    {% for exposure in graph.exposures.values() %}
        {% do read.extend(exposure.depends_on.nodes) %}
    {% endfor %}
    {% if adapter.check_schema_exists(mart.database, mart.schema) %}
        {% do run_query('drop table if exists ' ~ proof) %}
        {% call statement('write_proof') %}
            create table {{ proof }} using parquet
            {{ folder_clause(mart.schema, 'build_proof') }} as
            {% if passed %}
            {% for node in graph.nodes.values()
                if node.resource_type == 'model'
                and (node.fqn[1] == 'marts' or node.unique_id in read) %}
            select
                'mart' as kind,
                '{{ node.alias }}' as name,
                count(*) as row_count,
                sha2(array_join(sort_array(collect_set(
                    _metadata.file_name
                )), ','), 256) as digest
            from {{ node.relation_name }}
            union all
            {% endfor %}
            select
                'seed' as kind,
                seed as name,
                row_count,
                sha256 as digest
            from {{ staged('staged') }}
            {% else %}
            select
                cast(null as string) as kind,
                cast(null as string) as name,
                cast(null as bigint) as row_count,
                cast(null as string) as digest
            where false
            {% endif %}
        {% endcall %}
    {% endif %}
{% endmacro %}
