-- Guards the assumption that the images were dumped under the export's record
-- numbers. A clone of a FileMaker file numbers its records again from 1, and
-- every link would be wrong. Extensions are evidence and no proof, so a person
-- who has checked can say so.
{{ config(meta={'sentence': true}) }}

select
    telling_file_names,
    agreeing_file_names,
    'The record numbers do not fit the objects (of '
    || {{ as_text('telling_file_names') }}
    || ' file names with an extension other than the commonest, '
    || {{ as_text('agreeing_file_names') }}
    || ' agree with their object): export the table from the same FileMaker'
    || ' file as the images, not from a clone; or, if a few images that you'
    || ' open show the patients and days of their records, set'
    || ' record_numbers_confirmed to true in dbt_project.yml and run'
    || ' `dbt build` again.' as sentence
from {{ ref('record_number_evidence') }}
where is_contradicted and not {{ setting('record_numbers_confirmed') }}
