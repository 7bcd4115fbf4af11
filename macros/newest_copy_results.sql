{# Of the rows of the relation `results`, those that are the newest about their
   destination: the last in the file, by record_number, and never by their time,
   for a clock can go back. dbt is not the only one to render this file:
   linkage.seeds.newest_copy_results does, for the copier and for publishing. #}
{% macro newest_copy_results(results) -%}
    select results.*
    from {{ results }} as results
    inner join (
        select max(record_number) as record_number
        from {{ results }}
        group by destination_bucket, destination_key
    ) as newest
        on newest.record_number = results.record_number
{%- endmacro %}
