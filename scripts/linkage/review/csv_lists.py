"""The lists for spreadsheets: whole, masked, and without formulas."""

from collections.abc import Callable, Mapping

from linkage.review import captions
from linkage.review.masks import shown_date, shown_id, shown_recid, write_list
from linkage.review.people import IN_FILEMAKER
from linkage.review.reading import Row
from linkage.review.site import Site

Value = Callable[[Row, Mapping[str, str]], object]


def column(name: str) -> Value:
    """A value as it is."""
    return lambda row, _: row[name]


def an_id(name: str) -> Value:
    """An id of Nexus's, masked if it can be anything."""
    return lambda row, _: shown_id(row[name])


def record(row: Row, _: Mapping[str, str]) -> str:
    """The record number, or what may be shown of FileMaker's text in its place."""
    return str(row["recid"]) if row["recid"] is not None else shown_recid(row["recid_text"])


def taken_on(row: Row, _: Mapping[str, str]) -> str:
    """The day of the image as an ISO date, or what may be shown of FileMaker's text in its place."""
    return str(row["captured_date"] or shown_date(row["date_text"]))


def change(name: str) -> Value:
    """What a change was from or to."""
    return lambda row, _: row[name] if row["change"] not in captions.CHANGED_VALUES else shown_id(row[name])


def what_is_wrong(row: Row, settings: Mapping[str, str]) -> str:
    """What a reason or a finding means, with the row's own detail."""
    detail = captions.finding_detail(row["detail"]) if row["found"] else captions.row_detail(row, settings)
    return f"{row['meaning']} ({detail})" if detail else row["meaning"]


SKIPPED: dict[str, Value] = {
    "recid": record,
    "filemaker_id": column("filemaker_id"),
    "reason": column("reason"),
    "detail": captions.row_detail,
    "what_to_do": column("what_to_do"),
    "other_recid": column("other_recid"),
    "patient_id": an_id("patient_id"),
    "id_contact": lambda row, _: captions.contact(row),
    "date": taken_on,
    "category": column("category"),
    "objects": lambda row, settings: " ".join(captions.key(one["key"], settings) for one in row["pictures"]),
}
OBJECTS: dict[str, Value] = {
    "bucket": column("bucket"),
    "key": lambda row, settings: captions.key(row["key"], settings),
    "size": column("size"),
    "recid": column("recid"),
    "reason": column("reason"),
    "record_reason": column("record_reason"),
}
UNMATCHED_PATIENTS: dict[str, Value] = {
    "filemaker_patient_id": column("filemaker_patient_id"),
    "image_count": column("image_count"),
    "first_date": column("first_date"),
    "last_date": column("last_date"),
    "near_miss": column("near_miss"),
    "related_patient_id": an_id("related_patient_id"),
}
HELD: dict[str, Value] = {
    "recid": column("recid"),
    "state": column("kind"),
    "reason": column("reason"),
    "person": lambda row, _: captions.person_name(row["person"]) if row["person"] else "",
    "date": column("captured_date"),
    "category": column("category"),
}
FINDINGS: dict[str, Value] = {
    "finding": column("finding"),
    "severity": column("severity"),
    "recid": column("recid"),
    "image_id": an_id("image_id"),
    "patient_id": an_id("patient_id"),
    "batch_id": an_id("batch_id"),
    "related_recid": column("related_recid"),
    "related_patient_id": an_id("related_patient_id"),
    "detail": lambda row, _: captions.finding_detail(row["detail"]),
    "what_to_do": column("what_to_do"),
}
CHANGES: dict[str, Value] = {
    "recid": lambda row, _: shown_recid(row["recid_text"]),
    "change": column("change"),
    "before": change("before"),
    "after": change("after"),
}
PATIENTS: dict[str, Value] = {
    "patient_id": lambda row, _: "" if row["person"].startswith(IN_FILEMAKER) else captions.person_name(row["person"]),
    "filemaker_id": column("filemaker_ids"),
    "images": column("images"),
    "waiting": column("waiting"),
    "batches": column("batches"),
    "first_date": column("first_date"),
    "last_date": column("last_date"),
    "skipped": column("skipped"),
    "findings": column("findings"),
}
CORRECTIONS: dict[str, Value] = {
    "recid": record,
    "filemaker_id": column("filemaker_id"),
    "what_is_wrong": what_is_wrong,
    "what_to_do": column("what_to_do"),
    "other_recid": column("other_recid"),
    "kind": column("kind"),
}
# What is to be corrected in FileMaker: rows whose remedy is there, and every finding.
TO_CORRECT = """
select
    recid, recid_text, filemaker_id, reason as kind, meaning, detail, what_to_do, other_recid, source_key,
    false as found,
from memory.skipped
where contains(what_to_do, 'FileMaker')

union all by name

select recid, finding as kind, meaning, detail, finding.what_to_do, related_recid as other_recid, true as found
from memory.finding
left join stg_findings using (finding)

order by recid nulls last, recid_text, filemaker_id, kind, detail, other_recid
"""


def write_csv(site: Site, name: str, query: str, columns: Mapping[str, Value]) -> None:
    """Write the rows of a query to the file `name` of the site, as a list for people."""
    rows = ([value(row, site.settings) for value in columns.values()] for row in site.rows(query))
    write_list(site.folder / name, columns, rows)
