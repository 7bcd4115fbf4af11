"""The index of patients, and a page for each as the application's Images tab shows it, with what else is known."""

from collections.abc import Callable, Iterator
from itertools import chain, groupby
from operator import itemgetter
from typing import Any

from linkage.review import csv_lists
from linkage.review.csv_lists import write_csv
from linkage.review.lists import findings
from linkage.review.parts import ROWS, in_folder, write_parts
from linkage.review.people import find_people, person_page
from linkage.review.reading import Row
from linkage.review.site import Site

PEOPLE = "select * from memory.person order by person"
IMAGES = """
select shown_image.*, batch.captured_date as batch_date, batch.image_count, batch.own
from memory.shown_image
inner join memory.batch
    on batch.person = shown_image.person and batch.batch_id is not distinct from shown_image.batch_id
where outcome <> 'skipped'
order by person, batch_date desc nulls last, batch_id nulls last, recid, image_id
"""
SKIPPED = """
select *
from memory.skipped
where person is not null
order by person, recid nulls last, recid_text, date_text, category
"""
FINDINGS_ORDER = "person, severity, finding, recid nulls last, image_id, related_recid, detail"
FINDINGS = 200  # that one page shows

# By the folder's name of each index: its heading, and one row per person and id by which they are listed. Numbers come
# in the order of their values, before other ids.
INDEXES = {
    "by-nexus-id": (
        "By Nexus id",
        "select person as id, * from memory.person where not starts_with(person, 'filemaker-')",
    ),
    "by-filemaker-id": (
        "By FileMaker id",
        "select unnest(string_split(filemaker_ids, ' ')) as id, * from memory.person where filemaker_ids <> ''",
    ),
}
ORDER = "case when regexp_full_match(id, '[0-9]{1,18}') then cast(id as bigint) end nulls last, id, person"
RANGES = """
select first(id order by place) as first, last(id order by place) as last, count(*) as count
from (select id, row_number() over (order by {order}) - 1 as place from ({listed}))
group by place // {rows}
order by min(place)
"""


def write_patients(site: Site) -> None:
    """Write the index, a page for every person, and `patients.csv`."""
    find_people(site.warehouse, site.settings)
    write_index(site)
    write_csv(site, "patients.csv", PEOPLE, csv_lists.PATIENTS)
    images = following(site.rows(IMAGES), "person")
    skipped = following(site.rows(SKIPPED), "person")
    found = following(findings(site, FINDINGS_ORDER), "person")
    for person in site.rows(PEOPLE):
        id_ = person["person"]
        write_person(site, person, chain(images(id_), skipped(id_)), found(id_))


def following(rows: Iterator[Row], column: str) -> Callable[[str], Iterator[Row]]:
    """Callable: the rows with a value in `column`, by which they are sorted.

    Values are asked for in that order, and all rows of a value are read before the next one is asked for.
    """
    groups = groupby(rows, itemgetter(column))
    group = next(groups, None)

    def having(value: str) -> Iterator[Row]:
        nonlocal group
        if group and group[0] == value:
            yield from group[1]
            group = next(groups, None)

    return having


def write_person(site: Site, person: Row, rows: Iterator[Row], found: Iterator[Row]) -> None:
    """Write a person's page: images by batch, newest first, then skipped rows; in parts where they are many."""
    shown = [row for number, row in enumerate(found) if number < FINDINGS]
    write_parts(
        site,
        lambda part: person_page(person["person"], part),
        "patient.html",
        rows,
        person["images"] + person["skipped"],
        person=person,
        findings=shown,
        batches=batches,
    )


def batches(rows: list[Row]) -> list[tuple[Row, list[Row]]]:
    """The images among a part's rows by batch: the first image of each, and all that are in this part."""
    images = (row for row in rows if row["outcome"] != "skipped")
    groups = (list(group) for _, group in groupby(images, lambda row: (row["batch_date"], row["batch_id"])))
    return [(group[0], group) for group in groups]


def write_index(site: Site) -> None:
    """Write `patients.html`: all persons, or the ranges of ids of the parts that list them."""
    [counted] = site.rows("select count(*) as count from memory.person")
    context: dict[str, Any] = {"count": counted["count"], "rows": [], "indexes": []}
    if counted["count"] <= ROWS:
        context["rows"] = list(
            site.rows("select * from memory.person order by starts_with(person, 'filemaker-'), person")
        )
    else:
        context["indexes"] = [write_parts_of_index(site, folder) for folder in INDEXES]
    site.write("patients.html", "patients.html", **context)


def write_parts_of_index(site: Site, folder: str) -> dict[str, Any]:
    """Write one index in parts; returns its heading and the range of ids of each part."""
    title, listed = INDEXES[folder]
    ranges = list(site.rows(RANGES.format(order=ORDER, listed=listed, rows=ROWS)))
    name = in_folder(f"patients/{folder}")
    rows = site.rows(f"{listed} order by {ORDER}")
    write_parts(site, name, "patients_part.html", rows, sum(part["count"] for part in ranges), title=title)
    parts = [part | {"href": name(number)} for number, part in enumerate(ranges, 1)]
    return {"folder": folder, "title": title, "parts": parts}
