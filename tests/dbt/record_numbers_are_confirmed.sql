-- A warning: the extensions speak against the record numbers, and a person has
-- confirmed these.
{{ config(severity='warn', meta={'sentence': true}) }}

select
    telling_file_names,
    agreeing_file_names,
    'Of ' || {{ as_text('telling_file_names') }}
    || ' file names with an extension other than the commonest, only '
    || {{ as_text('agreeing_file_names') }}
    || ' agree with their object; record_numbers_confirmed says that the'
    || ' record numbers were checked: set it to false for any other export.'
        as sentence
from {{ ref('record_number_evidence') }}
where is_contradicted and {{ setting('record_numbers_confirmed') }}
