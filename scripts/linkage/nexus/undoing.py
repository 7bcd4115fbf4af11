"""The SQL that takes a run of publishing back; the tables' owner runs it, after reading it."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

from psycopg import sql

from linkage.errors import UnusableInput
from linkage.nexus.mapping import Mapping, expression, table_name
from linkage.nexus.publish_results import INSERTED, RELINKED, Change, read_lines, row_md5

ROWS = 1_000  # of one statement
NAMED = 10  # runs that a sentence names

BEGIN = """\
-- Takes back the run of {run}: {counts}.
-- It deletes no row that was changed after the run and no batch that has other images. The last query lists what it
-- keeps, and why. Read it, then run it as the owner of the tables:  psql -v ON_ERROR_STOP=1 -f FILE
begin;
set local timezone to 'UTC';
set local datestyle to 'ISO, YMD';
set local row_security to off;
lock table {batches}, {images} in share row exclusive mode;
create temporary table linkage_undo (undo_kind text, undo_id text, undo_md5 text) on commit drop;
"""
DELETE_IMAGES = """\
analyze linkage_undo;
create temporary table linkage_undo_count on commit drop as
select distinct {images_batch_id} as counted_id
from {images}
inner join linkage_undo on undo_kind = 'image' and undo_id = {images_id};
delete from {images} as application
using linkage_undo
where undo_kind = 'image' and undo_id = {images_id} and undo_md5 = {images_md5};
"""
DELETE_BATCHES = """\
delete from {batches} as application
using linkage_undo
where
    undo_kind = 'batch' and undo_id = {batches_id} and undo_md5 = {batches_md5}
    and not exists (select from {images} where {images_batch_id} = undo_id);
"""
COUNT_IMAGES = """\
update {batches} as application
set {image_count} = counted_images
from (
    select counted_id, count(held_batch_id) as counted_images
    from linkage_undo_count
    left join (select {images_batch_id} as held_batch_id from {images}) as held on held_batch_id = counted_id
    group by counted_id
) as counted
where counted_id = {batches_id} and {image_count} is distinct from counted_images;
"""
GIVE_PATIENT_BACK = """\
update {batches} set {relink} = {previous} where {batches_id} = {id} and {batches_patient_id} = lower({patient});
insert into linkage_undo values ({relinked}, {id}, {previous});
"""
LIST_KEPT = """\
select 'image' as kept, undo_id as id, 'it was changed after the run' as because
from linkage_undo
where undo_kind = 'image' and undo_id in (select {images_id} from {images})
union all
select 'image batch', undo_id, case
    when undo_id in (select {images_batch_id} from {images}) then 'it has other images'
    else 'it was changed after the run'
end
from linkage_undo
where undo_kind = 'batch' and undo_id in (select {batches_id} from {batches})
union all
select 'relinked image batch', undo_id, 'its patient was changed after the run'
from linkage_undo
inner join (select {batches_id} as held_id, {batches_patient_id} as held_patient_id from {batches}) as held
    on held_id = undo_id and held_patient_id is distinct from lower(undo_md5)
where undo_kind = {relinked}
order by 1, 2;
commit;
"""


def undo_sql(mapping: Mapping, path: Path, run: str) -> Iterator[str]:
    """The SQL that takes back the run with this timestamp, in parts, from the lines of publish_results.csv at `path`.

    Raises UnusableInput, before the first part, if the file has no such run.
    """
    moment = find_run(path, run)
    counts = Counter((each.kind, each.action) for each in changes_of(path, moment))
    names = sql_names(mapping)
    counted = (
        f"{counts['batch', INSERTED]:,} image batches and {counts['image', INSERTED]:,} images inserted, "
        f"{counts['batch', RELINKED]:,} image batches relinked"
    )
    yield BEGIN.format(run=moment.isoformat(sep=" "), counts=counted, **names)
    inserted = (each for each in changes_of(path, moment) if each.action == INSERTED)
    while some := list(islice(inserted, ROWS)):
        rows = ",\n".join(f"({literal(each.kind)}, {literal(each.id)}, {literal(each.row_md5)})" for each in some)
        yield f"insert into linkage_undo values\n{rows};\n"
    yield DELETE_IMAGES.format(**names)
    yield DELETE_BATCHES.format(**names)
    if names["image_count"]:
        yield COUNT_IMAGES.format(**names)
    for each in changes_of(path, moment):
        if each.action == RELINKED:
            yield GIVE_PATIENT_BACK.format(
                id=literal(each.id),
                previous=literal(each.previous_patient_id),
                patient=literal(each.patient_id),
                **names,
            )
    yield LIST_KEPT.format(**names)


def find_run(path: Path, run: str) -> datetime:
    """The time of the run that `run` names; raises UnusableInput, with the runs that there are, if there is no such."""
    moments = {as_moment(each.published_at) for each in read_lines(path)}
    known = sorted((moment for moment in moments if moment), reverse=True)
    moment = as_moment(run)
    if moment and moment in moments:
        return moment
    named = ", ".join(f"'{each.isoformat(sep=' ')}'" for each in known[:NAMED]) or "none"
    more = f" and {len(known) - NAMED:,} older ones" if len(known) > NAMED else ""
    raise UnusableInput(f"{path.name} has no run with the timestamp '{run}'; its runs are {named}{more}")


def changes_of(path: Path, moment: datetime) -> Iterator[Change]:
    """The lines of the run at this time."""
    return (each for each in read_lines(path) if as_moment(each.published_at) == moment)


@lru_cache(maxsize=1)  # the lines of a run follow each other
def as_moment(text: str) -> datetime | None:
    """A time as a run prints it, in UTC unless it says otherwise; None if it is not one."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def sql_names(mapping: Mapping) -> dict[str, str]:
    """What the mapping calls the tables and columns of the statements above, as SQL."""
    # The statements look up a mapping's values themselves, for no database is asked here.
    values: dict[str, Any] = dict(mapping.settings)
    for name, query in mapping.values.items():
        values[name] = sql.SQL("({})").format(expression(query, values))
    batches, images = mapping.tables["batches"], mapping.tables["images"]

    def key(text: str | int) -> sql.Composed:
        return sql.SQL("lower(cast({} as text))").format(expression(text, values))

    names: dict[str, sql.Composable] = {
        "batches": table_name(batches.table),
        "images": table_name(images.table),
        "batches_id": key(batches.read["id"]),
        "batches_patient_id": key(batches.read["patient_id"]),
        "batches_md5": row_md5(mapping, "batches"),
        "images_id": key(images.read["id"]),
        "images_batch_id": key(images.read["batch_id"]),
        "images_md5": row_md5(mapping, "images"),
        "relink": sql.Identifier(batches.relink),
        "relinked": sql.Literal(RELINKED),
    }
    texts = {name: part.as_string() for name, part in names.items()}
    return {**texts, "image_count": sql.Identifier(batches.image_count).as_string() if batches.image_count else ""}


def literal(text: str) -> str:
    """`text` as an SQL literal of PostgreSQL."""
    return sql.Literal(text).as_string()
