{# A model, seed, snapshot or source by its schema and name, without the
   database. In DuckDB a database is named after its file: a view that named it
   would not work in a copy of the warehouse under another name, nor where a
   script attaches it. #}
{% macro ref() %}
    {{ return(builtins.ref(*varargs, **kwargs).include(database=false)) }}
{% endmacro %}

{% macro source() %}
    {{ return(builtins.source(*varargs, **kwargs).include(database=false)) }}
{% endmacro %}
