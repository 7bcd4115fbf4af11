{# The mark of a build that passed is a comment on the mart build_settings, and
   on Spark, whose files others take away, a table of its own (write_proof). It
   is set after a whole build in which every node passed, and removed before any
   run that makes something that is handed over. publish_to_nexus.py and
   write_manifest.py look for it (scripts/linkage/warehouse/mark.py). #}

{# Set the mark, or remove it where `mark` is none, if the mart exists. A DuckDB
   file may also have the marts of an earlier build in another schema: there the
   mark is removed in any case, because what is published is what is marked. #}
{% macro mark_build(mark) %}
    {{ return(adapter.dispatch('mark_build', 'image_linkage')(mark)) }}
{% endmacro %}

{% macro spark__mark_build(mark) %}
    {% do write_proof(mark is not none) %}
{% endmacro %}

{% macro default__mark_build(mark) %}
    {% set mart = graph.nodes['model.image_linkage.build_settings'] %}
    {% set own = adapter.get_relation(mart.database, mart.schema, mart.alias) %}
    {% set marked = [] %}
    {% if target.type == 'duckdb' %}
        {% set query = "select schema_name from duckdb_tables()"
            ~ " where database_name = current_database()"
            ~ " and table_name = 'build_settings' and comment is not null" %}
        {% set marked = run_query(query).columns[0].values() | list %}
    {% endif %}
    {% call statement('mark_build') %}
        {% for schema in marked %}
        comment on table "{{ schema }}".build_settings is null;
        {% endfor %}
        {% if own %}
        comment on table {{ mart.relation_name }}
        is {{ text_literal(mark) if mark else 'null' }};
        {% endif %}
        select 1;
    {% endcall %}
    {% do adapter.commit() %}
{% endmacro %}

{# Whether any of these nodes is a table or view that an application depends on:
   copying and publishing are exposures of this type (models/exposures.yml). The
   review site, which hands nothing over, compares the marts with each other. #}
{% macro makes_what_is_handed_over(unique_ids) %}
    {% set behind = [] %}
    {% for exposure in graph.exposures.values() %}
        {% if exposure.type == 'application' %}
            {% do behind.extend(exposure.depends_on.nodes) %}
        {% endif %}
    {% endfor %}
    {# the list grows while it is walked through #}
    {% for unique_id in behind %}
        {% if unique_id in unique_ids %}
            {{ return(true) }}
        {% endif %}
        {% for parent in graph.nodes[unique_id].depends_on.nodes %}
            {# what builds remember is a source, which no run makes #}
            {% if parent in graph.nodes and parent not in behind %}
                {% do behind.append(parent) %}
            {% endif %}
        {% endfor %}
    {% endfor %}
    {{ return(false) }}
{% endmacro %}
