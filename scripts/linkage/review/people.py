"""Who has a page, and what lists and patients' pages both show: skipped rows, findings and the records they name."""

import hashlib

import duckdb

from linkage.review.masks import shown_id
from linkage.texts import is_uuid

IN_FILEMAKER = "filemaker-"  # before FileMaker's id of a patient who is not found in Nexus
UNKNOWN = "unknown"  # the person of images that Nexus holds under nobody who is known

# memory.skipped: the skipped rows, with what to do. `pictures` are the record's objects; `patients` those whom Nexus
# has under an ambiguous FileMaker id. `other` is another record with the same image id.
#
# memory.finding: the findings, each with its `person`, which is null where nobody is known.
#
# memory.record: one row per record number that a finding or held_images.csv names, with all of its pictures. A record
# of several rows of the export has the values that all of them have.
#
# memory.batch: one row per person and batch, with the images on that person's page. `own` is whether it is, or will be,
# a batch of this import.
#
# memory.person: one row per person with a page: everybody whom a row of the export, a finding, or an ambiguous
# FileMaker id names.
TABLES = """
create table if not exists memory.skipped as
with details as (

    select distinct recid as recid_text, reason, detail
    from skipped_images

),

objects as (

    select recid, list({{'bucket': bucket, 'key': "key"}} order by bucket, "key")[:{pictures}] as pictures
    from memory.shown_object
    where recid in (select recid from memory.shown_image where outcome = 'skipped' and object_count > 1)
    group by recid

),

patients as (

    select
        filemaker_patient_id,
        list(distinct patient_id order by patient_id)[:{pictures}] as patients,
    from stg_nexus_patients
    where filemaker_patient_id in (
        select filemaker_patient_id from memory.shown_image where reason = 'ambiguous_patient'
    )
    group by filemaker_patient_id

),

same_ids as (

    select image_id, list(recid order by recid)[:2] as recids
    from memory.shown_image
    where reason = 'duplicate_filemaker_id'
    group by image_id

),

skipped as (

    select
        shown_image.*,
        reasons.reason_order,
        reasons.meaning,
        reasons.what_to_do,
        details.detail,
        coalesce(
            objects.pictures,
            case
                when picture_key is not null then [{{'bucket': picture_bucket, 'key': picture_key}}]
                else []
            end
        ) as pictures,
        coalesce(patients.patients, []) as patients,
        case when same_ids.recids[1] = shown_image.recid then same_ids.recids[2] else same_ids.recids[1] end
            as other_recid,
    from memory.shown_image
    left join stg_reasons as reasons on reasons.applies_to = 'row' and reasons.reason = shown_image.reason
    left join details on details.recid_text = shown_image.recid_text and details.reason = shown_image.reason
    left join objects on objects.recid = shown_image.recid
    left join patients
        on patients.filemaker_patient_id = shown_image.filemaker_patient_id
        and shown_image.reason = 'ambiguous_patient'
    left join same_ids
        on same_ids.image_id = shown_image.image_id and shown_image.reason = 'duplicate_filemaker_id'
    where shown_image.outcome = 'skipped'

)

select
    skipped.*,
    case
        when other.recid is not null
            then {{
                'recid': other.recid, 'person': other.person, 'captured_date': other.captured_date,
                'category': other.category, 'bucket': other.picture_bucket, 'key': other.picture_key
            }}
    end as other,
from skipped
left join memory.shown_image as other
    on other.recid = skipped.other_recid and other.reason = 'duplicate_filemaker_id';

create table if not exists memory.finding as
with of_image as (

    select image_id, min(person) as person
    from memory.shown_image
    where image_id in (select image_id from review_findings)
    group by image_id
    having count(distinct person) = 1

),

of_record as (

    select recid, min(person) as person
    from memory.shown_image
    where recid in (select recid from review_findings)
    group by recid
    having count(distinct person) = 1

)

select
    review_findings.*,
    coalesce(review_findings.patient_id, of_image.person, of_record.person) as person,
from review_findings
left join of_image on of_image.image_id = review_findings.image_id
left join of_record on of_record.recid = review_findings.recid;

create table if not exists memory.record as
with named as (

    select recid from review_findings
    union
    select related_recid from review_findings
    union
    select cast(unnest(regexp_extract_all(detail, 'in record ([0-9]{{1,18}})', 1)) as bigint)
    from review_findings
    where finding = 'date_out_of_order'
    union
    select recid from stg_held_images

),

export_rows as (

    select
        recid,
        case when count(distinct coalesce(person, '')) = 1 then min(person) end as person,
        case when count(distinct coalesce(captured_date, date '0001-01-01')) = 1 then min(captured_date) end
            as captured_date,
        case when count(distinct coalesce(category, '')) = 1 then min(category) end as category,
        case when count(*) = 1 then min(outcome) end as outcome,
        min(reason) as reason,
    from memory.shown_image
    where recid in (select recid from named)
    group by recid

),

objects as (

    select recid, picture_bucket as bucket, picture_key as "key"
    from memory.shown_image
    where recid in (select recid from named) and picture_key is not null
    union
    select recid, bucket, "key"
    from memory.shown_object
    where recid in (select recid from named) and outcome = 'unmatched'

),

pictures as (

    select recid, list({{'bucket': bucket, 'key': "key"}} order by bucket, "key")[:{pictures}] as pictures
    from objects
    group by recid

)

select
    named.recid,
    export_rows.* exclude (recid),
    export_rows.recid is not null as in_export,
    coalesce(pictures.pictures, []) as pictures,
from named
left join export_rows on export_rows.recid = named.recid
left join pictures on pictures.recid = named.recid
where named.recid > 0;

create table if not exists memory.batch as
with sources as (

    select batch_id, bool_or(import_source = $import_source) as own
    from stg_nexus_image_batches
    where batch_id is not null
    group by batch_id

)

select
    person,
    shown_image.batch_id,
    max(captured_date) as captured_date,
    count(*) as image_count,
    shown_image.batch_id is not null and coalesce(any_value(sources.own), true) as own,
from memory.shown_image
left join sources on sources.batch_id = shown_image.batch_id
where outcome <> 'skipped'
group by person, shown_image.batch_id;

create table if not exists memory.person as
with people as (

    select person from memory.shown_image
    union
    select person from memory.finding
    union
    select related_patient_id from memory.finding
    union
    select patient_id
    from stg_nexus_patients
    where filemaker_patient_id in (
        select filemaker_patient_id from memory.shown_image where reason = 'ambiguous_patient'
    )

),

export_rows as (

    select
        person,
        count(*) filter (where outcome <> 'skipped') as images,
        count(*) filter (where outcome = 'linked' and published is null) as waiting,
        count(*) filter (where outcome = 'skipped') as skipped,
        min(captured_date) filter (where outcome <> 'skipped') as first_date,
        max(captured_date) filter (where outcome <> 'skipped') as last_date,
        max(patient_count) as patient_count,
    from memory.shown_image
    group by person

),

batches as (

    select person, count(*) as batches
    from memory.batch
    group by person

),

findings as (

    select person, count(*) as findings
    from memory.finding
    group by person

),

filemaker_ids as (

    select patient_id as person, string_agg(distinct filemaker_patient_id, ' ' order by filemaker_patient_id) as ids
    from stg_nexus_patients
    group by patient_id

)

select
    people.person,
    case
        when starts_with(people.person, '{in_filemaker}') then substr(people.person, {after})
        else coalesce(filemaker_ids.ids, '')
    end as filemaker_ids,
    coalesce(images, 0) as images,
    coalesce(waiting, 0) as waiting,
    coalesce(batches, 0) as batches,
    first_date,
    last_date,
    coalesce(skipped, 0) as skipped,
    coalesce(findings, 0) as findings,
    coalesce(patient_count, 0) as patient_count,
from people
left join export_rows on export_rows.person = people.person
left join batches on batches.person = people.person
left join findings on findings.person = people.person
left join filemaker_ids on filemaker_ids.person = people.person
where people.person is not null;
"""
PICTURES = 8  # of one record, at most, on one page


def find_people(warehouse: duckdb.DuckDBPyConnection, settings: dict[str, str]) -> None:
    """Make the tables finding, record, batch and person in `memory`, from those of `reading.py`; once is enough."""
    parameters = {"import_source": settings["import_source"]}
    create = TABLES.format(pictures=PICTURES, in_filemaker=IN_FILEMAKER, after=len(IN_FILEMAKER) + 1)
    for statement in duckdb.extract_statements(create):
        warehouse.execute(statement, {name: parameters[name] for name in statement.named_parameters})


def person_page(person: str, part: int = 1) -> str:
    """The name of a person's page below the site's folder, or of a further part of it.

    It has the id itself if that is a UUID or a number, and else a digest of it: an id may be any text.
    """
    prefix, rest = (IN_FILEMAKER, person.removeprefix(IN_FILEMAKER)) if is_in_filemaker(person) else ("", person)
    plain = is_uuid(rest) or (rest.isascii() and rest.isdigit() and len(rest) <= 18) or person == UNKNOWN
    name = prefix + rest if plain else f"id-{hashlib.sha256(person.encode()).hexdigest()[:32]}"
    return f"patients/{name}{f'-{part}' if part > 1 else ''}.html"


def is_in_filemaker(person: str) -> bool:
    """Whether a person is known by FileMaker's id only, because Nexus does not have exactly one patient with it."""
    return person.startswith(IN_FILEMAKER)


def person_title(person: str) -> str:
    """A person as the heading of their page."""
    if is_in_filemaker(person):
        return f"FileMaker patient {shown_id(person.removeprefix(IN_FILEMAKER))}"
    return "Unknown patient" if person == UNKNOWN else f"Patient {shown_id(person)}"


def person_name(person: str) -> str:
    """A person as links call them: by the id, masked if it can be anything."""
    if person == UNKNOWN:
        return "unknown patient"
    if is_in_filemaker(person):
        return f"FileMaker {shown_id(person.removeprefix(IN_FILEMAKER))}"
    return shown_id(person)
