"""Pages of what is skipped, unmatched, held, found and changed: an overview, and for each kind a list with pictures."""

from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter

from linkage.errors import UnusableInput
from linkage.review import csv_lists
from linkage.review.csv_lists import write_csv
from linkage.review.explained import explanations
from linkage.review.parts import in_folder, write_parts
from linkage.review.people import find_people
from linkage.review.reading import Row
from linkage.review.site import Site

REASONS = """
select reason as kind, meaning, what_to_do, mostly_means, coalesce(count, 0) as count
from stg_reasons
left join (
    select reason, count(*) as count from {table} group by reason
) using (reason)
where applies_to = '{applies_to}'
order by reason_order
"""
SKIPPED = """
select *, reason as kind
from memory.skipped
order by reason_order, recid nulls last, recid_text, id_contact, date_text, category, image_id
"""
# The record that an unmatched object belongs to is shown where one row has its number.
OBJECTS = """
with records as (

    select recid, min(person) as person, min(captured_date) as captured_date, min(category) as category
    from memory.skipped
    group by recid
    having count(*) = 1

)

select shown_object.*, shown_object.reason as kind, person, captured_date, category
from memory.shown_object
left join stg_reasons as reasons on reasons.applies_to = 'object' and reasons.reason = shown_object.reason
left join records on records.recid = shown_object.recid and shown_object.reason = 'record_skipped'
where outcome = 'unmatched'
order by reason_order, shown_object.recid nulls last, bucket, "key"
"""
UNMATCHED_PATIENTS = """
with near_misses as (

    select person, min(detail) as near_miss, min(related_patient_id) as related_patient_id
    from memory.finding
    where finding = 'patient_near_miss'
    group by person

),

firsts as (

    select
        filemaker_patient_id,
        min_by(
            {
                'recid': recid, 'person': person, 'captured_date': captured_date, 'category': category,
                'bucket': picture_bucket, 'key': picture_key
            },
            recid
        ) as first,
    from memory.skipped
    where reason = 'patient_not_found' and picture_key is not null
    group by filemaker_patient_id

)

select
    'patients' as kind,
    'filemaker-' || unmatched_patients.filemaker_patient_id as person,
    unmatched_patients.*,
    near_miss,
    related_patient_id,
    first,
from unmatched_patients
left join near_misses on near_misses.person = 'filemaker-' || unmatched_patients.filemaker_patient_id
left join firsts on firsts.filemaker_patient_id = unmatched_patients.filemaker_patient_id
order by image_count desc, unmatched_patients.filemaker_patient_id
"""
HELD = """
select
    record.*,
    case
        when reason = 'held_back' or outcome = 'already_linked' then coalesce(reason, outcome)
        when in_export then 'skipped_before'
        else 'not_in_export'
    end as kind,
from memory.record
where recid in (select recid from stg_held_images)
order by kind, recid
"""
FINDING_KINDS = """
select finding as kind, severity, meaning, what_to_do, coalesce(count, 0) as count
from stg_findings
left join (
    select finding, count(*) as count from review_findings group by finding
) using (finding)
order by severity, finding
"""
# The records that a finding names: for a date that is out of order the one before, its own and the one after.
FINDINGS = """
select
    finding.*,
    finding.finding as kind,
    own.captured_date,
    own.category,
    case
        when finding.finding = 'date_out_of_order' then [related, own, after]
        else [own, related]
    end as records,
from memory.finding
left join memory.record as own on own.recid = finding.recid
left join memory.record as related on related.recid = finding.related_recid
left join memory.record as after
    on after.recid = cast(
        nullif(regexp_extract(finding.detail, ' and .* in record ([0-9]{1,18})$', 1), '') as bigint
    )
    and finding.finding = 'date_out_of_order'
"""
BY_KIND = "severity, finding, recid nulls last, image_id, related_recid, detail, person"
# A change's row is shown where one row has its number. People are those who have a page: a FileMaker id may be that of
# a patient in Nexus.
CHANGES = """
with records as (

    select recid, min(person) as person, min(captured_date) as captured_date, min(category) as category,
        min(picture_bucket) as bucket, min(picture_key) as "key"
    from memory.shown_image
    where recid is not null
    group by recid
    having count(*) = 1

),

people as (

    select 'patient' as change, filemaker_patient_id as id, min(person) as person
    from memory.shown_image
    where filemaker_patient_id is not null
    group by filemaker_patient_id
    having count(distinct person) = 1

    union all

    select unnest(['nexus_patient', 'moved_in_nexus']) as change, person as id, person
    from memory.person

)

select
    changes.change as kind,
    changes.change,
    changes.recid as recid_text,
    changes.before,
    changes.after,
    people_before.person as person_before,
    people_after.person as person_after,
    records.*,
from changes_since_last_build as changes
left join records on cast(records.recid as varchar) = changes.recid
left join people as people_before on people_before.change = changes.change and people_before.id = changes.before
left join people as people_after on people_after.change = changes.change and people_after.id = changes.after
order by changes.change, records.recid nulls last, changes.recid, changes.before, changes.after
"""
# What no reference seed says: what has become of held records, and what changes mean.
HELD_KINDS = {
    "held_back": (
        "The record waits: it is neither copied nor published.",
        "Review the image; remove its line from held_images.csv when it may be imported.",
    ),
    "already_linked": (
        "Nexus already holds the image: holding the record back takes nothing out of Nexus.",
        "Decide whether the image may stay in Nexus; remove it there if it may not.",
    ),
    "skipped_before": (
        "The record would be skipped in any case, for a reason that comes before held_back.",
        "Correct that first; the record is held back afterwards.",
    ),
    "not_in_export": (
        "No row of the export has the record.",
        "Check the record number; leave the line if the record was deleted in FileMaker.",
    ),
}
UNMATCHED_PATIENTS_KIND: Row = {
    "kind": "patients",
    "title": "Patients not found in Nexus",
    "meaning": "FileMaker patients with images whom Nexus does not have under this FileMaker id.",
    "what_to_do": "Import the patient into Nexus, or correct the id there; then export Nexus's records again.",
}
CHANGE_KINDS = {
    "appeared": (
        "The export has the record now; the last build did not have it.",
        "Nothing, unless it is an old record.",
    ),
    "went": (
        "The export does not have the record any more.",
        "Find out whether it was deleted in FileMaker, or whether the export is not of the whole table.",
    ),
    "became_linked": ("A skipped row is linked or already linked now.", "Nothing: what was corrected took effect."),
    "lost_link": (
        "A row that was linked or already linked is skipped now.",
        "See the reason, and correct what has changed.",
    ),
    "left_nexus": (
        "Nexus held the image and does not any more: it would be published again.",
        "Find out why it was removed; hold the record back if it must not be published again.",
    ),
    "reason": ("A skipped row is skipped for another reason.", "See the new reason."),
    "patient": (
        "FileMaker’s record names another patient than before.",
        "Check that the image shows this patient; an image that Nexus already holds must be moved there.",
    ),
    "nexus_patient": (
        "FileMaker’s patient is the same, and is another patient in Nexus, for example imported again.",
        "Check the patient in Nexus; if they were imported again, publish with --relink.",
    ),
    "moved_in_nexus": (
        "Nexus has an image that is already linked under another patient than before.",
        "Ask who moved it, and check that the image shows this patient.",
    ),
    "date": (
        "FileMaker’s record has another date than before.",
        "Check the date; an image that Nexus already holds must be moved there.",
    ),
    "batch": ("The image of a linked row is in another batch than before.", "See the other changes of the record."),
}


def write_lists(site: Site) -> None:
    """Write the overviews, the pages of every kind, and the lists for spreadsheets; a kind without rows has a page."""
    find_people(site.warehouse, site.settings)
    write_skipped(site)
    write_unmatched(site)
    write_held(site)
    write_findings(site)
    write_changes(site)
    write_csv(site, "to_correct.csv", csv_lists.TO_CORRECT, csv_lists.CORRECTIONS)


def write_skipped(site: Site) -> None:
    """Write the rows of the export that are not linked, by reason."""
    kinds = list(site.rows(REASONS.format(table="memory.skipped", applies_to="row")))
    common = {"counted": "row", "file": "skipped.csv", "in_file": "reason", "template": "list_skipped.html"}
    write_kinds(site, "skipped", kinds, site.rows(SKIPPED), **common)
    write_csv(site, "skipped.csv", SKIPPED, csv_lists.SKIPPED)
    site.write(
        "skipped.html",
        "overview.html",
        title="Skipped rows",
        intro="Each row of the export that is not linked has one reason: the first of these that applies to it.",
        tables=[
            {"caption": "Rows by reason", "kind": "Reason", "counted": "Rows", "folder": "skipped", "kinds": kinds}
        ],
        files={
            "skipped.csv": "every skipped row, with its reason",
            "to_correct.csv": "what to correct in FileMaker, by record number",
        },
    )


def write_unmatched(site: Site) -> None:
    """Write the objects of the dump that belong to no linked row, and the patients who are not found in Nexus."""
    unmatched = "(select * from memory.shown_object where outcome = 'unmatched')"
    kinds = list(site.rows(REASONS.format(table=unmatched, applies_to="object")))
    common = {
        "counted": "object",
        "file": "unmatched_objects.csv",
        "in_file": "reason",
        "template": "list_objects.html",
    }
    write_kinds(site, "unmatched", kinds, site.rows(OBJECTS), **common)
    write_csv(site, "unmatched_objects.csv", OBJECTS, csv_lists.OBJECTS)
    [counted] = site.rows("select count(*) as count from unmatched_patients")
    patients = UNMATCHED_PATIENTS_KIND | counted
    common = {
        "counted": "patient",
        "file": "unmatched_patients.csv",
        "in_file": "",
        "template": "list_unmatched_patients.html",
    }
    write_kinds(site, "unmatched", [patients], site.rows(UNMATCHED_PATIENTS), **common)
    write_csv(site, "unmatched_patients.csv", UNMATCHED_PATIENTS, csv_lists.UNMATCHED_PATIENTS)
    objects = {"caption": "Objects by reason", "kind": "Reason", "counted": "Objects", "kinds": kinds}
    people = {"caption": "Patients not found in Nexus", "kind": "List", "counted": "Patients", "kinds": [patients]}
    site.write(
        "unmatched.html",
        "overview.html",
        title="Unmatched objects and patients",
        intro="Objects of the dump that belong to no linked row, and FileMaker patients who are not found in Nexus.",
        tables=[objects | {"folder": "unmatched"}, people | {"folder": "unmatched"}],
        files={
            "unmatched_objects.csv": "every unmatched object, with its reason",
            "unmatched_patients.csv": "every patient who is not found in Nexus, most images first",
        },
    )


def write_held(site: Site) -> None:
    """Write the records in held_images.csv, as the build has read it, by what has become of them."""
    kinds = explained_kinds(site, f"select kind, count(*) as count from ({HELD}) group by kind", HELD_KINDS)
    common = {"counted": "record", "file": "held.csv", "in_file": "state", "template": "list_held.html"}
    write_kinds(site, "held", kinds, site.rows(HELD), **common)
    write_csv(site, "held.csv", HELD, csv_lists.HELD)
    site.write(
        "held.html",
        "overview.html",
        title="Held records",
        intro="The records that somebody holds back with a line in held_images.csv of the data folder, as the build "
        "read it. Copying and publishing read the file again when they start.",
        tables=[
            {"caption": "Records by state", "kind": "State", "counted": "Records", "folder": "held", "kinds": kinds}
        ],
        files={"held.csv": "every record that is held back"},
    )


def write_findings(site: Site) -> None:
    """Write the findings by kind, those that somebody must check first."""
    kinds = list(site.rows(FINDING_KINDS))
    for kind in kinds:
        kind["explanation"], kind["hold"] = explanations().get(kind["kind"], ([], False))
    common = {"counted": "finding", "file": "findings.csv", "in_file": "finding", "template": "list_findings.html"}
    write_kinds(site, "findings", kinds, findings(site, BY_KIND), **common)
    write_csv(site, "findings.csv", f"select * from memory.finding order by {BY_KIND}", csv_lists.FINDINGS)
    site.write(
        "findings.html",
        "overview.html",
        title="Findings",
        intro="What a person should look at, of linked, already linked and skipped rows alike. A finding never decides "
        "whether an image is linked, copied or published.",
        tables=[
            {"caption": "Findings by kind", "kind": "Kind", "counted": "Findings", "folder": "findings", "kinds": kinds}
        ],
        files={
            "findings.csv": "every finding",
            "to_correct.csv": "what to correct in FileMaker, by record number",
        },
    )


def findings(site: Site, order: str) -> Iterator[Row]:
    """The findings in an order, each with the records that it names in `records`."""
    for row in site.rows(f"{FINDINGS} order by {order}"):
        row["records"] = [record for record in row["records"] if record and record["recid"]]
        yield row


def write_changes(site: Site) -> None:
    """Write what has changed since the last build of this data folder that passed, by kind."""
    counted = "select change as kind, count(*) as count from changes_since_last_build group by change"
    kinds = explained_kinds(site, counted, CHANGE_KINDS)
    common = {"counted": "change", "file": "changes.csv", "in_file": "change", "template": "list_changes.html"}
    write_kinds(site, "changes", kinds, site.rows(CHANGES), **common)
    write_csv(site, "changes.csv", CHANGES, csv_lists.CHANGES)
    [last] = site.rows("select value as count from import_summary where metric = 'rows_of_last_build'")
    compared = f"The rows are compared with the {last['count']:,} of the last build of this data folder that passed."
    site.write(
        "changes.html",
        "overview.html",
        title="Changes since the last build",
        intro=compared if last["count"] else "There is no earlier build of this data folder to compare with.",
        tables=[
            {"caption": "Changes by kind", "kind": "Change", "counted": "Changes", "folder": "changes", "kinds": kinds}
        ],
        files={"changes.csv": "every change, with what it was before and after"},
    )


def explained_kinds(site: Site, counted: str, texts: dict[str, tuple[str, str]]) -> list[Row]:
    """The kinds in `texts`, by name, with meaning and what to do; the query `counted` counts their rows."""
    counts = {row["kind"]: row["count"] for row in site.rows(counted)}
    return [
        {"kind": kind, "count": counts.get(kind, 0), "meaning": meaning, "what_to_do": what_to_do}
        for kind, (meaning, what_to_do) in sorted(texts.items())
    ]


def write_kinds(site: Site, folder: str, kinds: list[Row], rows: Iterator[Row], **common: str) -> None:
    """Write the pages of all kinds into `folder`, whose overview is called like it; the rows are sorted by kind.

    Raises UnusableInput if there are rows of another kind, which no page would show.
    """
    without_rows = {kind["kind"]: kind for kind in kinds}
    for name, of_kind in groupby(rows, itemgetter("kind")):
        if name not in without_rows:
            raise UnusableInput(
                f"the list {folder} does not know all kinds that the warehouse has, which another version of the "
                "project has built: run `dbt build` again"
            )
        write_kind(site, folder, without_rows.pop(name), of_kind, **common)
    for kind in without_rows.values():
        write_kind(site, folder, kind, (), **common)


def write_kind(site: Site, folder: str, kind: Row, rows: Iterable[Row], template: str, **common: str) -> None:
    """Write the pages of one kind."""
    name = in_folder(f"{folder}/{kind['kind']}")
    write_parts(site, name, template, rows, kind["count"], kind=kind, overview=f"{folder}.html", **common)
