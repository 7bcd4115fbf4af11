"""How a row of the export is put into words: its record, category, date, keys and person, masked where need be.

A row has some of the columns of `shown_image`. None of these functions returns markup.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from linkage.review import names
from linkage.review.masks import shown_date, shown_id, shown_key, shown_recid, shown_uuid
from linkage.review.pages import day
from linkage.review.people import person_name, person_page, person_title

LONGEST_CATEGORY = 80  # characters on a page; lists for spreadsheets have all of it
JOINERS = "\u200c\u200d"  # which Persian words and many emoji need
# Nexus's ids in the detail of a finding.
NEXUS_ID = re.compile(
    r"(?<=under patient )(?!unknown)[^,]+|(?<=^patient ).+?(?= in Nexus)"
    r"|(?<= in Nexus, )(?!FileMaker id )[^;]+?(?= in FileMaker)"
)
NAMES = {"filemaker": "FileMaker", "nexus": "Nexus", "recid": "record number"}
# The kinds of change that show ids or dates; the others show outcomes.
CHANGED_VALUES = {"patient", "nexus_patient", "moved_in_nexus", "date", "batch"}

Values = Mapping[str, Any]


def record(row: Values) -> str:
    """The record number, or what may be shown of FileMaker's text in its place."""
    number = row["recid"]
    return str(number) if number is not None else shown_recid(row.get("recid_text")) or "no number"


def taken_on(row: Values) -> str:
    """The day of the image, `18 Oct 2016`, or what may be shown of FileMaker's text in its place."""
    return day(row["captured_date"]) or shown_date(row.get("date_text"))


def category(text: str | None, longest: int = LONGEST_CATEGORY) -> str:
    """FileMaker's free text on one line of a page: without control characters and marks that turn its direction."""
    text = text or ""
    if not text.isprintable():
        text = "".join(one if one.isprintable() or one in JOINERS else " " for one in text)
        text = " ".join(text.split())
    return text if len(text) <= longest else f"{text[:longest]}…"


def label(row: Values) -> str:
    """What a picture shows, for those who do not see it: `Left Dorsal, record 228, 18 Oct 2016`."""
    parts = [category(row["category"]) or "no category", f"record {record(row)}", day(row["captured_date"])]
    return ", ".join(filter(None, parts))


def object_label(row: Values) -> str:
    """What the picture of an object shows of which the export says nothing."""
    return f"Object of record {row['recid']}" if row["recid"] is not None else "Object without a record"


def download_name(row: Values, extension: str = "jpg") -> str:
    """The name under which a row's picture is saved."""
    return names.download_name(row["captured_date"], row["category"], row["recid"] or 0, extension)


def key(text: str | None, settings: Mapping[str, str]) -> str:
    """An object's key, masked where it can be anything; `settings` name its folders."""
    return shown_key(text, settings["source_prefix"], settings["destination_key_template"])


def contact(row: Values) -> str:
    """FileMaker's id of a row's patient, or what may be shown of the text in its place."""
    return row["filemaker_patient_id"] or shown_uuid(row["id_contact"])


def copy_state(row: Values) -> str:
    """How far copying has come with a linked or already linked image."""
    on = f" on {shown_date(row['copied_on'])}" if row["copied_on"] else ""
    states = {"verified": f"verified{on}", "failed": f"failed{on}", "held": f"held back{on}", "to_do": "not copied yet"}
    return states.get(row["copy"], "no copy is recorded")


def published_state(row: Values) -> str:
    """Whether Nexus has an image."""
    if row["published"] == "since the export":
        return f"published on {shown_date(row['published_on'])}, after Nexus was exported"
    return "yes" if row["published"] else "not yet"


def finding_detail(text: str | None) -> str:
    """A finding's detail, with ids of Nexus's masked if they can be anything."""
    return NEXUS_ID.sub(lambda found: shown_id(found[0]), text or "")


def row_detail(row: Values, settings: Mapping[str, str]) -> str:
    """A skipped row's detail, with the key in it masked if it can be anything."""
    detail, source = row["detail"] or "", row["source_key"]
    return detail.replace(source, key(source, settings)) if source else detail


def words(kind: str, capital: bool = True) -> str:
    """A kind of reason, finding or change in words: `Duplicate FileMaker id`."""
    text = " ".join(NAMES.get(word, word) for word in kind.split("_"))
    return text[:1].upper() + text[1:] if capital else text


def change_value(text: str | None, change: str) -> str:
    """What a change of a kind was from or to: an outcome, or an id or date, which is masked if it can be anything."""
    return shown_id(text) if change in CHANGED_VALUES else words(text or "")


FILTERS: dict[str, Callable[..., str]] = {
    "category": category,
    "change_value": change_value,
    "contact": contact,
    "copy_state": copy_state,
    "download_name": download_name,
    "finding_detail": finding_detail,
    "key": key,
    "label": label,
    "object_label": object_label,
    "person_name": person_name,
    "person_page": person_page,
    "person_title": person_title,
    "published_state": published_state,
    "record": record,
    "row_detail": row_detail,
    "shown_date": shown_date,
    "shown_id": shown_id,
    "taken_on": taken_on,
    "words": words,
}
