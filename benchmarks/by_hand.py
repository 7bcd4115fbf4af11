"""The marts without dbt: one DuckDB script, written for speed, that reads the seeds and makes what `dbt build` makes.

The yardstick of `python -m benchmarks build`. It has the rules for the default settings only, no tests, no
findings, no memory of other builds, and no staging: each CSV file is read once, straight into what the marts need.
Marts are tables or views as they are in dbt. It also writes the manifest, beside the database, because the build does.
A test compares the rows of the marts with dbt's on the sample (tests/warehouse/test_build.py).

Usage: python -m benchmarks.by_hand DATA_FOLDER DATABASE MEMORY_LIMIT TODAY
"""

import sys
from pathlib import Path

import duckdb

from linkage.seeds import DIALECT, SEED_COLUMNS, literal

PREFIX = "filemaker-import/images-bulk-dump/"
WHITE_SPACE = "' ' || chr(9) || chr(10) || chr(11) || chr(12) || chr(13) || chr(160)"
UUID = "'[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}'"
EXTENSIONS = "('jpg', 'jpeg', 'png', 'gif', 'webp', 'tif', 'tiff', 'bmp', 'heic', 'heif')"
REASONS = {
    "skipped": (
        "invalid_recid", "duplicate_recid", "duplicate_filemaker_id", "held_back", "not_exported",
        "missing_patient_id", "invalid_patient_id", "missing_date", "invalid_date", "future_date",
        "patient_not_found", "ambiguous_patient", "missing_object", "ambiguous_object", "unsupported_file_type",
        "empty_object",
    ),
    "unmatched": ("unrecognised_key", "no_metadata", "record_skipped"),
}  # fmt: skip

MART_NAMES = (
    "image_outcome", "object_outcome", "image_batch", "image", "copy_manifest", "batches_to_relink", "skipped_images",
    "unmatched_objects", "unmatched_patients", "import_summary", "copy_status", "stale_copies", "date_order_evidence",
    "record_number_evidence",
)  # fmt: skip

MACROS = f"""
create temp macro trimmed(value) as case when regexp_full_match(value, '[!-~]([ -~]*[!-~])?') then value
    else nullif(trim(value, {WHITE_SPACE}), '') end;
create temp macro as_uuid(value) as case when regexp_full_match(value, {UUID}) then lower(value) end;
create temp macro as_recid(value) as case
    when regexp_full_match(value, '[0-9]{{1,18}}') then cast(value as bigint)
    when regexp_full_match(value, '[0-9]{{1,3}}[.]000') then null
    when regexp_full_match(value, '([0-9]+|[0-9]{{1,3}}(,[0-9]{{3}})+)([.]0*)?') then try_cast(
        case when length(ltrim(replace(split_part(value, '.', 1), ',', ''), '0')) <= 18
            then replace(split_part(value, '.', 1), ',', '') end as bigint)
end;
create temp macro as_kind(value) as case
    when value in ('jpg', 'jpeg', 'jpe', 'jfif', 'heic', 'heif', 'hif') then 'jpg'
    when value in ('tif', 'tiff') then 'tif' when value in ('bmp', 'dib') then 'bmp'
    when value in ('dcm', 'dicom') then 'dcm' when value in ('jp2', 'j2k') then 'jp2'
    when value in ('mov', 'qt', 'mp4', 'm4v') then 'mov' when value in ('mpg', 'mpeg', 'mpe') then 'mpg'
    when value in ('3gp', '3g2') then '3gp' when value in ('aif', 'aiff') then 'aif'
    when value in ('png', 'gif', 'webp', 'avif', 'svg', 'psd', 'pdf', 'dng', 'cr2', 'cr3', 'nef', 'arw', 'orf', 'rw2',
        'raf', 'avi', 'wmv', 'mkv', 'webm', 'mts', 'mp3', 'm4a', 'wav') then value
end;
create temp macro as_size(value) as case when regexp_full_match(value, '[0-9]{{1,18}}') then cast(value as bigint) end;
create temp macro digest(name) as md5(unhex('545cf1367f554c098ccea53086e493a6') || encode(name));
create temp macro as_id(digest) as substr(digest, 1, 8) || '-' || substr(digest, 9, 4) || '-3' || substr(digest, 14, 3)
    || '-' || substr('89ab89ab89ab89ab', strpos('0123456789abcdef', substr(digest, 17, 1)), 1)
    || substr(digest, 18, 3) || '-' || substr(digest, 21, 12);
create temp macro date_of(y, m, d) as case when y between 1 and 9999 and m between 1 and 12 and d between 1 and 31
    then try_cast(lpad(cast(y as varchar), 4, '0') || '-' || m || '-' || d as date) end;
"""

EXPORT = """
create temp table nexus_image as
select lower(trimmed(id)) as image_id, lower(trimmed(batch_id)) as batch_id, nullif(s3_key, '') as s3_key,
    as_uuid(trimmed(filemaker_id)) as filemaker_id, as_recid(trimmed(filemaker_id)) as recid
from {nexus_images};

create temp table nexus_batch as
select lower(trimmed(id)) as batch_id, lower(trimmed(patient_id)) as patient_id,
    trimmed(import_source) as import_source,
    case when regexp_full_match(trimmed(captured_date), '[0-9]{{4}}[-/.][0-9]{{1,2}}[-/.][0-9]{{1,2}}') then date_of(
        cast(split_part(translate(trimmed(captured_date), '/.', '--'), '-', 1) as int),
        cast(split_part(translate(trimmed(captured_date), '/.', '--'), '-', 2) as int),
        cast(split_part(translate(trimmed(captured_date), '/.', '--'), '-', 3) as int)) end as captured_date
from {nexus_image_batches};

create temp table nexus_patient as
select distinct lower(trimmed(patient_id)) as patient_id, as_uuid(trimmed(filemaker_id)) as filemaker_patient_id
from {nexus_patients};

create temp table object as
with named as (
    select bucket, "key", substr("key", {length} + 1) as name, as_size(size) as size, nullif(etag, '') as etag
    from {s3_inventory} where starts_with("key", {prefix})
), recognised as (
    select *, regexp_full_match(name, '[1-9][0-9]{{0,17}}[.][^/.]+') as is_recognised from named
)
select bucket, "key", size, etag, case when is_recognised then cast(split_part(name, '.', 1) as bigint) end as recid,
    case when is_recognised then split_part(name, '.', 2) end as extension
from recognised;

create temp table export as
with trimmed as (
    select nullif(recid, '') as recid_text, nullif("id_Contact", '') as id_contact, nullif("date", '') as date_text,
        nullif("Type", '') as type_text, nullif("fileName", '') as file_name,
        nullif("Name_of_file", '') as name_of_file, trimmed(recid) as r, trimmed("id_Contact") as c,
        trimmed("date") as d, trimmed(id) as i, trimmed("fileName") as f,
        trimmed("NexusExportDate") is not null as has_export_date
    from {filemaker_images_metadata}
), split as (
    select *, replace(replace(d, '-', '/'), '.', '/') as s,
        regexp_full_match(d, '[0-9]{{1,2}}[-/.][0-9]{{1,2}}[-/.][0-9]{{4}}') as year_last,
        regexp_full_match(d, '[0-9]{{4}}[-/.][0-9]{{1,2}}[-/.][0-9]{{1,2}}') as year_first
    from trimmed
), parts as (
    select *, case when year_last or year_first then cast(split_part(s, '/', 1) as int) end as p1,
        case when year_last or year_first then cast(split_part(s, '/', 2) as int) end as p2,
        case when year_last or year_first then cast(split_part(s, '/', 3) as int) end as p3
    from split
)
select recid_text, nullif(as_recid(r), 0) as recid, id_contact, c is not null as has_patient_id,
    as_uuid(c) as filemaker_patient_id, date_text, d is not null as has_date,
    case when year_last then date_of(p3, p1, p2) end as mdy, case when year_last then date_of(p3, p2, p1) end as dmy,
    case when year_first then date_of(p1, p2, p3) end as ymd,
    type_text, as_uuid(i) as filemaker_id, file_name, name_of_file, has_export_date,
    case when regexp_full_match(f, '(?s).*[.][A-Za-z0-9]{{1,5}}')
        then lower(reverse(split_part(reverse(f), '.', 1))) end as file_name_extension
from parts;

create temp table known as
with digests as (
    select recid, digest('image:' || filemaker_id) as digest from export where recid is not null
    union all select recid, digest('image:recid:' || recid) from export where recid is not null
)
select e.recid, n.* exclude (filemaker_id, recid) from export e join nexus_image n using (filemaker_id)
    where e.recid is not null
union all select e.recid, n.* exclude (filemaker_id, recid) from export e join nexus_image n using (recid)
union all select d.recid, n.* exclude (filemaker_id, recid) from digests d join nexus_image n
    on n.image_id = as_id(d.digest)
union all select o.recid, n.* exclude (filemaker_id, recid) from object o join nexus_image n on n.s3_key = o."key"
    where o.recid is not null;
"""

OUTCOME = """
create table candidate as
with same_recid as (select recid, count(*) as n from export where recid is not null group by recid having n > 1),
same_id as (
    select filemaker_id, count(*) as n from export where filemaker_id is not null group by filemaker_id having n > 1
),
patient as (
    select filemaker_patient_id, count(distinct patient_id) as n, min(patient_id) as patient_id from nexus_patient
    where filemaker_patient_id is not null group by filemaker_patient_id
),
reusable as (
    select patient_id, captured_date, min(batch_id) as batch_id from nexus_batch
    where import_source = 'filemaker_import' group by all
),
owner as (select batch_id, min(patient_id) as patient_id from nexus_batch where batch_id is not null group by batch_id),
several as (select recid, count(*) as n from object where recid is not null group by recid having n > 1),
single as (select object.* from object anti join several using (recid) where recid is not null),
held as (select distinct as_recid(trimmed(recid)) as recid from {held_images}),
image as (
    select * from known
    qualify row_number() over (partition by recid order by image_id nulls last, batch_id nulls last, s3_key nulls last)
        = 1
),
joined as (
    select e.* exclude (has_export_date), coalesce(same_recid.n, 1) as recid_row_count,
        coalesce(same_id.n, 1) as filemaker_id_row_count, held.recid is not null as is_held_back,
        not has_export_date and (select bool_or(has_export_date) from export) as is_not_exported,
        coalesce(patient.n, 0) as patient_count, case when patient.n = 1 then patient.patient_id end as patient_id,
        case when single.recid is not null then 1 else coalesce(several.n, 0) end as object_count,
        single.bucket, single.extension, single.size, single.etag, image.recid is not null as is_in_nexus,
        image.image_id as nexus_image_id, image.batch_id as nexus_batch_id, image.s3_key as nexus_s3_key,
        digest(case when filemaker_id is not null then 'image:' || filemaker_id else 'image:recid:' || e.recid end)
            as image_digest,
        digest('image_batch:' || filemaker_patient_id || ':' || strftime(mdy, '%Y-%m-%d')) as batch_digest
    from export e
    left join same_recid using (recid) left join same_id using (filemaker_id) left join held using (recid)
    left join patient using (filemaker_patient_id) left join several using (recid) left join single using (recid)
    left join image using (recid)
)
select joined.* exclude (image_digest, batch_digest), owner.patient_id as nexus_patient_id,
    as_id(image_digest) as image_id,
    case when joined.patient_id is not null and mdy is not null
        then coalesce(reusable.batch_id, as_id(batch_digest)) end as batch_id
from joined
left join reusable on reusable.patient_id = joined.patient_id and captured_date = mdy
left join owner on owner.batch_id = nexus_batch_id;

create view image_outcome as
with located as (
    select *, case when object_count = 1 then recid || '.' || extension end as original_filename,
        case when batch_id is not null and object_count = 1
            then 'patients/' || patient_id || '/images/' || batch_id || '/' || recid || '.' || extension end as target
    from candidate
), decided as (
    select *, case
        when recid is null then 'invalid_recid'
        when recid_row_count > 1 then 'duplicate_recid'
        when filemaker_id_row_count > 1 then 'duplicate_filemaker_id'
        when is_in_nexus then 'already_linked'
        when is_held_back then 'held_back'
        when is_not_exported then 'not_exported'
        when not has_patient_id then 'missing_patient_id'
        when filemaker_patient_id is null then 'invalid_patient_id'
        when not has_date then 'missing_date'
        when mdy is null then 'invalid_date'
        when mdy > date {today} then 'future_date'
        when patient_count = 0 then 'patient_not_found'
        when patient_count > 1 then 'ambiguous_patient'
        when object_count = 0 then 'missing_object'
        when object_count > 1 then 'ambiguous_object'
        when lower(extension) not in {extensions} then 'unsupported_file_type'
        when size = 0 then 'empty_object'
        else 'linked' end as decision
    from located
), classified as (
    select *, decision = 'already_linked' as is_held,
        case when decision in ('linked', 'already_linked') then decision else 'skipped' end as outcome
    from decided
)
select recid_text as recid, if(is_held, nexus_image_id, image_id) as image_id, outcome,
    case when outcome = 'skipped' then decision end as reason, if(is_held, nexus_patient_id, patient_id) as patient_id,
    if(is_held, nexus_batch_id, batch_id) as batch_id, if(is_held, nexus_s3_key, target) as s3_key,
    recid as recid_number, id_contact, filemaker_patient_id, date_text as "date", mdy as filemaker_date,
    type_text as "type", nullif(trim(type_text, {white_space}), '') as category, filemaker_id, file_name, name_of_file,
    recid_row_count, filemaker_id_row_count,
    patient_count, classified.patient_id as present_patient_id, object_count, bucket as source_bucket,
    {prefix} || original_filename as source_key,
    etag as source_etag, size as source_size, original_filename, extension
from classified;
"""

MARTS = """
create view image as
select image_id as id, batch_id, s3_key, original_filename, source_size as file_size, category, filemaker_id,
    "type" as filemaker_type, filemaker_date, recid_number as recid, patient_id, source_bucket, source_key, source_etag
from image_outcome where outcome = 'linked';

create table image_batch as
select batch_id as id, patient_id,
    strftime(filemaker_date, '%-d ') || case month(filemaker_date) when 1 then 'Jan' when 2 then 'Feb' when 3 then 'Mar'
        when 4 then 'Apr' when 5 then 'May' when 6 then 'Jun' when 7 then 'Jul' when 8 then 'Aug' when 9 then 'Sep'
        when 10 then 'Oct' when 11 then 'Nov' else 'Dec' end || strftime(filemaker_date, ' %Y (FileMaker Import)')
        as batch_name,
    filemaker_date as captured_date, cast(null as varchar) as filemaker_batch_id, 'filemaker_import' as import_source,
    count(*) as image_count
from image group by batch_id, patient_id, filemaker_date;

create table copy_manifest as
select image_id, source_bucket, source_key, source_etag, source_size, source_bucket as destination_bucket,
    s3_key as destination_key
from image_outcome where outcome = 'linked' order by patient_id, filemaker_date, recid_number;

create table object_outcome as
with record as (
    select recid_number as recid, outcome, reason from image_outcome where recid_row_count = 1 and recid is not null
    union all select distinct recid_number, outcome, reason from image_outcome where recid_row_count > 1
)
select bucket, "key", size, etag, object.recid,
    if(outcome in ('linked', 'already_linked'), outcome, 'unmatched') as outcome,
    case when object.recid is null then 'unrecognised_key' when record.recid is null then 'no_metadata'
        when outcome = 'skipped' then 'record_skipped' end as reason,
    reason as record_reason
from object left join record using (recid);

create view skipped_images as
select recid, id_contact, "date", "type", reason, case reason
    when 'duplicate_recid' then recid_row_count || ' rows have this record number'
    when 'duplicate_filemaker_id' then filemaker_id_row_count || ' rows have this image id'
    when 'invalid_date' then 'not a date in the order mdy'
    when 'future_date' then strftime(filemaker_date, '%Y-%m-%d') || ' is after ' || {today}
    when 'ambiguous_patient' then patient_count || ' Nexus patients have this FileMaker id'
    when 'missing_object' then 'no object ' || recid_number || '.* in the dump'
    when 'ambiguous_object' then object_count || ' objects ' || recid_number || '.* in the dump'
    when 'unsupported_file_type' then 'the object is ' || source_key
    when 'empty_object' then 'the object is ' || source_key end as detail
from image_outcome where outcome = 'skipped';

create view unmatched_objects as
select bucket, "key", size, recid, reason, record_reason from object_outcome where outcome = 'unmatched';

create table unmatched_patients as
select filemaker_patient_id, count(*) as image_count, min(filemaker_date) as first_date,
    max(filemaker_date) as last_date
from image_outcome where reason = 'patient_not_found' group by filemaker_patient_id;

create table batches_to_relink as
with record as (
    select recid_number as recid, p.patient_id from image_outcome join nexus_patient p using (filemaker_patient_id)
    where outcome = 'already_linked' and patient_count = 1
), left_batch as (
    select batch_id, min(b.patient_id) as patient_id, min(captured_date) as captured_date
    from nexus_batch b left join nexus_patient p on p.patient_id = b.patient_id group by batch_id
    having count(*) = 1 and count(b.patient_id) = 1 and count(p.patient_id) = 0
), leads as (
    select image_id, case when count(patient_id) = count(*) and count(distinct patient_id) = 1 then min(patient_id) end
        as patient_id
    from known left join record using (recid) group by image_id
), batch as (
    select i.batch_id, count(*) as n, md5(string_agg(i.image_id, ',' order by i.image_id)) as image_ids_md5,
        count(leads.patient_id) as leading_images, count(distinct leads.patient_id) as patients,
        min(leads.patient_id) as lead
    from nexus_image i left join leads using (image_id) group by i.batch_id
)
select batch_id as id, patient_id, lead as new_patient_id, captured_date, n as image_count, image_ids_md5
from left_batch join batch using (batch_id) where patients = 1 and leading_images = n;

create table import_summary as
with rows as (select outcome, reason, count(*) as n from image_outcome group by all),
objects as (select outcome, reason, count(*) as n from object_outcome group by all),
figures as (
    select 'export_rows' as metric, sum(n) as n from rows
    union all select outcome_name, sum(n) from (values ('linked_images', 'linked'),
        ('already_linked_images', 'already_linked'), ('skipped_images', 'skipped')) as names (outcome_name, outcome)
        left join rows using (outcome) group by outcome_name
    union all select 'objects', sum(n) from objects
    union all select 'objects_outside_prefix', count(*) filter (not starts_with("key", {prefix})) from {s3_inventory}
    union all select outcome_name, sum(n) from (values ('already_linked_objects', 'already_linked'),
        ('unmatched_objects', 'unmatched')) as names (outcome_name, outcome)
        left join objects using (outcome) group by outcome_name
    union all select 'image_batches', count(*) from image_batch
    union all select 'objects_to_copy', count(*) from copy_manifest
    union all select 'bytes_to_copy', sum(source_size) from copy_manifest
    union all select 'skipped_' || reason, n from unnest({skipped}) as names (reason) left join rows using (reason)
    union all select 'unmatched_' || reason, n from unnest({unmatched}) as names (reason)
        left join objects using (reason)
)
select metric, cast(coalesce(n, 0) as bigint) as "value" from figures;

create temp table result as
select row_number() over () as record_number, * replace (lower(trimmed(image_id)) as image_id),
    outcome in ('copied', 'already_present') as is_verified
from {copy_results};

create temp table newest_result as
select * from result qualify record_number = max(record_number) over (partition by destination_bucket, destination_key);

create table copy_status as
select m.*, case when is_verified then 'verified' when outcome is not null then 'failed' else 'to_do' end as status,
    outcome as last_outcome, recorded_at, as_size(attempts) as attempts, error
from copy_manifest m left join newest_result r using (destination_bucket, destination_key, source_etag);

create table stale_copies as
with first as (
    select destination_bucket, destination_key, arg_min(recorded_at, record_number) as first_recorded_at
    from result where is_verified group by all
)
select r.destination_bucket, r.destination_key, r.image_id, first_recorded_at, r.recorded_at as last_recorded_at,
    present.destination_key as present_destination_key
from newest_result r
join first using (destination_bucket, destination_key)
anti join copy_manifest m using (destination_bucket, destination_key)
anti join nexus_image n on n.s3_key = r.destination_key
left join copy_manifest present on present.image_id = r.image_id
where is_verified;
"""

EVIDENCE = """
create table date_order_evidence as
with reading as (
    select date_order, recid, date_read, date_read is null and coalesce(mdy, dmy, ymd) is not null as is_impossible,
        date_read is not null and coalesce(mdy <> date_read, true) as is_read_otherwise
    from (
        select 'mdy' as date_order, recid, mdy as date_read, mdy, dmy, ymd from candidate where has_date
        union all select 'dmy', recid, dmy, mdy, dmy, ymd from candidate where has_date
        union all select 'ymd', recid, ymd, mdy, dmy, ymd from candidate where has_date
    )
), step as (
    select date_order, count(*) as n from (
        select date_order, date_read, lag(date_read) over (partition by date_order order by recid, date_read) as before
        from reading where date_read is not null and recid is not null
    ) where date_read < before group by date_order
), counted as (
    select date_order, count(date_read) as readable_dates, count(*) filter (where is_impossible) as impossible_dates,
        count(*) filter (where date_read > date {today}) as future_dates, coalesce(any_value(step.n), 0) as steps_back,
        count(*) filter (where isodow(date_read) in (6, 7)) as weekend_dates,
        count(*) filter (where is_read_otherwise) as otherwise
    from reading left join step using (date_order) group by date_order
), misfit as (select *, impossible_dates + future_dates + steps_back as misfits from counted)
select m.date_order, case
        when m.date_order = 'mdy' then 'configured'
        when m.misfits * 2 <= c.misfits and c.misfits - m.misfits >= 3 then 'contradicts the configured order'
        when m.otherwise = 0 then 'reads no date otherwise'
        when c.misfits * 2 <= m.misfits and m.misfits - c.misfits >= 3 then 'ruled out'
        else 'undecided' end as verdict,
    m.readable_dates, m.impossible_dates, m.future_dates, m.steps_back, m.misfits, m.weekend_dates
from misfit m join misfit c on c.date_order = 'mdy';

create table record_number_evidence as
with compared as (
    select e.recid, e.extension, bool_or(o.extension = e.extension) as agrees
    from (
        select recid, as_kind(file_name_extension) as extension from candidate where file_name_extension is not null
    ) e join (select recid, as_kind(lower(extension)) as extension from object where recid is not null) o using (recid)
    where e.extension is not null and o.extension is not null group by all
), ranked as (
    select count(*) as n, count(*) filter (where agrees) as agreeing,
        row_number() over (order by count(*) desc, extension) as place
    from compared group by extension
)
select cast(coalesce(sum(n), 0) as bigint) as file_names,
    cast(coalesce(sum(n) filter (where place > 1), 0) as bigint) as telling_file_names,
    cast(coalesce(sum(agreeing) filter (where place > 1), 0) as bigint) as agreeing_file_names,
    telling_file_names >= 5 and agreeing_file_names * 2 < telling_file_names as is_contradicted
from ranked;
"""


def main(data: Path, database: Path, memory_limit: str, today: str) -> None:
    """Make the marts of the data folder `data` in the new DuckDB file `database`, and the manifest beside it."""
    connection = duckdb.connect(str(database))
    connection.execute(f"set memory_limit = {literal(memory_limit)}")
    connection.execute("set enable_progress_bar = false")
    parts = {
        "today": literal(today),
        "prefix": literal(PREFIX),
        "length": str(len(PREFIX)),
        "extensions": EXTENSIONS,
        "white_space": WHITE_SPACE,
        **{kind: str(list(names)) for kind, names in REASONS.items()},
    }
    for seed, columns in SEED_COLUMNS.items():
        types = ", ".join(f"{literal(column)}: 'varchar'" for column in columns)
        parts[seed] = f"read_csv({literal(str(data / f'{seed}.csv'))}, columns = {{{types}}}, {DIALECT})"
    connection.execute(MACROS)
    for step in (EXPORT, OUTCOME, MARTS, EVIDENCE):
        connection.execute(step.format(**parts))
    manifest = literal(str(database.with_suffix(".csv")))
    connection.execute(f"copy copy_manifest to {manifest} (format csv, header true)")


def differences(built: Path, by_hand: Path) -> list[str]:
    """The marts that the DuckDB files of dbt and of this script do not have the same rows of.

    The script finds nothing to review and remembers no build: these figures of import_summary are dbt's alone.
    """
    connection = duckdb.connect()
    connection.execute(f"attach {literal(str(built))} as built (read_only)")
    connection.execute(f"attach {literal(str(by_hand))} as by_hand (read_only)")
    found = []
    for mart in MART_NAMES:
        columns = ", ".join(
            f'"{name}"'
            for (name,) in connection.execute(
                "select column_name from duckdb_columns() where database_name = 'built' and table_name = ?", [mart]
            ).fetchall()
        )
        figures = "where not regexp_full_match(metric, '(finding|changes|rows)_.*')" if mart == "import_summary" else ""
        rows = [f"select {columns} from {file}.main.{mart} {figures}" for file in ("built", "by_hand")]
        unequal = connection.execute(
            f"select count(*) from (({rows[0]} except all {rows[1]}) union all ({rows[1]} except all {rows[0]}))"
        ).fetchone()
        if unequal != (0,):
            found.append(mart)
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4])
