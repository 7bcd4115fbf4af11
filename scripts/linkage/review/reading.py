"""What the pages show: the marts, and what copying and publishing have done since they were built."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import duckdb

from linkage.errors import UnusableInput
from linkage.macros import macro_sql
from linkage.seeds import SEED_COLUMNS, load_seed

Row = dict[str, Any]
FETCHED = 2_000  # rows at a time

# Tables of this step's own, in the connection's database `memory`.
#
# shown_object: one row per object of the dump, with its outcome.
#
# shown_image: one row per row of the export. `person` is whose page shows the row: Nexus's patient or, where Nexus does
# not have exactly one, `filemaker-` and FileMaker's patient id; `unknown` for an image that Nexus holds under a patient
# whom nobody knows. `copy` is verified, failed, held or to_do for linked rows, and verified or null for rows that are
# already linked. `published` is `in Nexus` as of the export from Nexus, or `since the export`. The picture is the
# copy where it is verified, else the object of the dump.
TABLES = """
create table memory.newest_result as {newest};

create table memory.shown_object as
select
    bucket, "key", size, etag, recid, outcome, reason, record_reason,
    split_part("key", '/', -1) as name,
    case when recid is not null then split_part("key", '.', -1) end as extension,
from object_outcome;

create table memory.nexus_batch as
select batch_id, min(captured_date) as captured_date
from stg_nexus_image_batches
where batch_id is not null
group by batch_id;

create table memory.shown_image as
with outcomes as (

    select
        outcomes.recid as recid_text,
        outcomes.recid_number as recid,
        outcomes.outcome,
        outcomes.reason,
        outcomes.image_id,
        outcomes.filemaker_id,
        outcomes.patient_id,
        outcomes.filemaker_patient_id,
        outcomes.id_contact,
        outcomes.patient_count,
        outcomes.batch_id,
        outcomes.category,
        outcomes.date as date_text,
        outcomes.filemaker_date,
        outcomes.object_count,
        case outcomes.outcome
            when 'already_linked' then coalesce(nexus_batch.captured_date, outcomes.filemaker_date)
            else outcomes.filemaker_date
        end as captured_date,
        outcomes.source_bucket,
        outcomes.source_key,
        outcomes.source_etag,
        outcomes.source_size,
        outcomes.extension,
        case when outcomes.outcome <> 'skipped' then coalesce($destination_bucket, outcomes.source_bucket) end
            as destination_bucket,
        case when outcomes.outcome <> 'skipped' then outcomes.s3_key end as destination_key,
    from image_outcome as outcomes
    left join memory.nexus_batch on nexus_batch.batch_id = outcomes.batch_id

)

select
    outcomes.*,
    case
        when outcomes.outcome = 'already_linked' then coalesce(outcomes.patient_id, 'unknown')
        else coalesce(outcomes.patient_id, 'filemaker-' || outcomes.filemaker_patient_id)
    end as person,
    case
        when
            result.outcome in ('copied', 'already_present')
            and result.source_etag = outcomes.source_etag
            and result.size = cast(outcomes.source_size as varchar)
            then 'verified'
        when outcomes.outcome <> 'linked' then null
        when result.outcome = 'held_back' then 'held'
        when
            result.outcome not in ('copied', 'already_present')
            and result.source_etag = outcomes.source_etag
            then 'failed'
        else 'to_do'
    end as copy,
    result.outcome as copy_outcome,
    substr(result.recorded_at, 1, 10) as copied_on,
    result.destination_etag,
    case
        when outcomes.outcome = 'already_linked' then 'in Nexus'
        when outcomes.outcome = 'linked' and published.is_after_export then 'since the export'
    end as published,
    case
        when outcomes.outcome <> 'linked' or published.is_after_export then substr(published.published_at, 1, 10)
    end as published_on,
    case when copy = 'verified' then outcomes.destination_bucket else outcomes.source_bucket end as picture_bucket,
    case when copy = 'verified' then outcomes.destination_key else outcomes.source_key end as picture_key,
    case when copy = 'verified' then result.destination_etag else outcomes.source_etag end as picture_etag,
from outcomes
left join memory.newest_result as result
    on result.destination_bucket = outcomes.destination_bucket
    and result.destination_key = outcomes.destination_key
left join memory.published on published.id = outcomes.image_id;

create table memory.sample as
select image_id, row_number() over (order by turn, digest) as place
from (
    select image_id, md5(image_id) as digest, row_number() over (partition by person order by md5(image_id)) as turn
    from memory.shown_image
    where outcome <> 'skipped' and picture_key is not null
)
order by place
limit $sample;
"""
# The objects that pages show: of linked rows the copy or the original, of skipped rows and unmatched objects what the
# dump has. `person` and `place` (in the sample) are those of the row, if there is one.
WANTED = """
select picture_bucket as bucket, picture_key as "key", picture_etag as etag, source_size as size, extension,
    person, patient_id, filemaker_patient_id, sample.place,
from memory.shown_image
left join memory.sample on sample.image_id = shown_image.image_id
where picture_key is not null

union all by name

select
    shown_object.bucket, shown_object."key", shown_object.etag, shown_object.size,
    lower(split_part(shown_object.name, '.', -1)) as extension,
from memory.shown_object
where shown_object.outcome = 'unmatched'
"""
# A linked image that was published before the export is not in Nexus any more: that run was taken back.
PUBLISHED = """
create table memory.published as
select
    id,
    max(published_at) as published_at,
    coalesce(epoch(max(try_cast(published_at as timestamptz))) > $exported, false) as is_after_export,
from memory.publish_results
where kind = 'image' and action = 'inserted'
group by id
"""


def prepare(
    warehouse: duckdb.DuckDBPyConnection, settings: dict[str, str], folder: Path, *, sample: int | None = None
) -> None:
    """Make the tables shown_object, shown_image and sample, with the results of copying and publishing as they are now.

    The sample has `sample` images, every patient's first image before any patient's second, the same each time.

    The results are `copy_results.csv` and `publish_results.csv` in the data folder `folder`; where there are none,
    nothing has been copied or published.

    Raises UnusableInput if they cannot be read.
    """
    columns = list(SEED_COLUMNS["copy_results"])
    load(warehouse, folder / "copy_results.csv", "memory.copy_results", columns)
    load(warehouse, folder / "publish_results.csv", "memory.publish_results", ["published_at", "kind", "id", "action"])
    images = folder / "nexus_images.csv"
    warehouse.execute(PUBLISHED, {"exported": images.stat().st_mtime if images.exists() else 0})
    parameters = {"destination_bucket": settings["destination_bucket"] or None, "sample": sample or 0}
    create = TABLES.format(newest=macro_sql("newest_copy_results", "memory.copy_results"))
    for statement in duckdb.extract_statements(create):
        warehouse.execute(statement, {name: parameters[name] for name in statement.named_parameters})


def load(warehouse: duckdb.DuckDBPyConnection, path: Path, table: str, columns: list[str]) -> None:
    """Make a table of the file at `path`, to which a step may be appending just now; empty if there is no file."""
    if not path.exists():
        types = ", ".join(f"{column} varchar" for column in columns)
        warehouse.execute(f"create table {table} ({types}, record_number bigint)")
        return
    problem = load_seed(warehouse, path, table, columns, record_number=True, appended=True)
    if problem:
        raise UnusableInput(problem)


def select(warehouse: duckdb.DuckDBPyConnection, query: str, parameters: dict[str, Any] | None = None) -> Iterator[Row]:
    """The rows of a query, by column name; several queries may be read in turn.

    Names without a schema are those of the marts; `memory.shown_image` and `memory.shown_object` are there as well.
    """
    path = warehouse.execute("select current_setting('search_path')").fetchall()[0][0]
    with warehouse.cursor() as cursor:
        cursor.execute(f"set search_path = '{path}'")
        cursor.execute(query, parameters)
        names = [column[0] for column in cursor.description or []]
        while rows := cursor.fetchmany(FETCHED):
            for row in rows:
                yield dict(zip(names, row, strict=True))


def in_parts(rows: Iterable[Row], size: int) -> Iterator[list[Row]]:
    """The rows in parts of at most `size`, of which only one is in memory."""
    rows = iter(rows)
    while part := list(islice(rows, size)):
        yield part
