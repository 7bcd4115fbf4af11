"""A second implementation of the findings (docs/findings.md) and of what changed since the last build.

In plain Python, from their descriptions, on top of the second implementation of the rules.
"""

import csv
import re
from collections import Counter, defaultdict
from pathlib import Path
from uuid import UUID

from linkage.paths import PROJECT_ROOT
from sandbox.settings import DEFAULT_VARS
from tests.support import oracle
from tests.support.oracle import (
    image_id_of,
    read_date,
    read_export,
    read_nexus_id,
    read_objects,
    read_patients,
    read_positive_recid,
    read_seed,
    read_uuid,
    trimmed,
)

MART_COLUMNS = oracle.MART_COLUMNS | {
    "review_findings": (
        "finding", "severity", "image_id", "recid", "patient_id", "batch_id", "related_recid", "related_patient_id",
        "detail", "what_to_do",
    ),
    "changes_since_last_build": ("recid", "change", "before", "after"),
}  # fmt: skip
CHANGES = (
    "appeared", "went", "became_linked", "lost_link", "left_nexus", "reason", "patient", "nexus_patient",
    "moved_in_nexus", "date", "batch",
)  # fmt: skip
LINKED = ("linked", "already_linked")


def expected_marts(folder: Path, settings: dict, before: dict | None = None) -> dict[str, list[tuple]]:
    """The marts of `oracle.expected_marts`, and those about findings and changes.

    `before` is what `remembered` says of the build before; None if there was none.
    """
    marts = oracle.expected_marts(folder, settings)
    findings = expected_findings(folder, settings, marts)
    changes = expected_changes(before, remembered(folder, settings, marts))
    found, changed = Counter(row[0] for row in findings), Counter(row[1] for row in changes)
    summary = marts["import_summary"] + [(f"finding_{kind}", found[kind]) for kind in read_kinds()]
    summary += [(f"changes_{kind}", changed[kind]) for kind in CHANGES]
    summary.append(("rows_of_last_build", len(before or {})))
    return marts | {"import_summary": summary, "review_findings": findings, "changes_since_last_build": changes}


def read_kinds() -> dict[str, dict]:
    with (PROJECT_ROOT / "seeds" / "reference" / "findings.csv").open(encoding="utf-8", newline="") as file:
        return {row["finding"]: row for row in csv.DictReader(file)}


# --- Findings ------------------------------------------------------------------------------------------------------


def expected_findings(folder: Path, settings: dict, marts: dict) -> list[tuple]:
    """The rows of review_findings."""
    settings = DEFAULT_VARS | settings
    prefix = settings["source_prefix"]
    export = read_export(folder, settings["filemaker_date_order"])
    for row, outcome in zip(export, marts["image_outcome"], strict=True):
        row["outcome"] = outcome[2]
        row["ids"] = {image_id_of(row["filemaker_id"], None), image_id_of(None, row["recid"])} - {None}
    patients_of = read_patients(folder)
    keys = defaultdict(set)
    for item in read_objects(folder, prefix):
        if item["recid"] is not None:
            keys[item["recid"]].add(item["key"])
    recid_of_key = {key: recid for recid, of_record in keys.items() for key in of_record}
    held = {read_positive_recid(row["recid"]) for row in read_seed(folder, "held_images")} - {None}
    rows_of = defaultdict(list)
    for row in export:
        if row["recid"] is not None:
            rows_of[row["recid"]].append(row)

    images = [
        {
            "id": read_nexus_id(row["id"]),
            "batch_id": read_nexus_id(row["batch_id"]),
            "filemaker_id": read_uuid(row["filemaker_id"]),
            "recid": read_positive_recid(row["filemaker_id"]),
            "key": row["s3_key"],
        }
        for row in read_seed(folder, "nexus_images")
    ]
    batches = defaultdict(list)
    for row in read_seed(folder, "nexus_image_batches"):
        batches[read_nexus_id(row["id"])].append(
            (read_nexus_id(row["patient_id"]), read_date(row["captured_date"], "ymd"), trimmed(row["import_source"]))
        )
    batches.pop(None, None)

    def belongs(image, row):
        """Whether an image in Nexus is recognised as that of a row, whether or not the row has a number."""
        return (
            (row["filemaker_id"] is not None and image["filemaker_id"] == row["filemaker_id"])
            or (row["recid"] is not None and image["recid"] == row["recid"])
            or image["id"] in row["ids"]
            or image["key"] in keys.get(row["recid"], ())
        )

    def under(patient, day):
        return f"in Nexus under patient {patient or 'unknown'}" + (f", {day}" if day else "")

    findings = set()
    for row in export:
        if row["outcome"] != "already_linked":
            continue
        known_as = patients_of.get(row["contact_id"], set())
        for image in images:
            own = batches.get(image["batch_id"])
            if not own or not belongs(image, row):
                continue
            patient, day = smallest(own, 0), smallest(own, 1)
            has_another_id = any(patient in patients for key, patients in patients_of.items() if read_uuid(key))
            details = []
            if (
                patient is not None
                and row["contact_id"] is not None
                and patient not in known_as
                and (known_as or has_another_id)
                and image["batch_id"] not in {batch[0] for batch in marts["batches_to_relink"]}
            ):
                says = min(known_as) if len(known_as) == 1 else f"FileMaker id {row['contact_id']}"
                details.append(f"patient {patient} in Nexus, {says} in FileMaker")
            if None not in (day, row["date"]) and day != row["date"]:
                details.append(f"{day} in Nexus, {row['date']} in FileMaker")
            if details:
                findings.add(
                    ("published_elsewhere", image["id"], row["recid"], patient, image["batch_id"], "; ".join(details))
                )

    results = [
        (read_nexus_id(row["image_id"]), recid_in(row["source_key"], prefix), row)
        for row in oracle.read_copy_results(folder)
    ]
    recognised = [image for image in images if any(belongs(image, row) for row in export)]
    recognised_ids = {image["id"] for image in recognised} - {None}
    without_record = []
    for image in images:
        own = [batch for batch in batches.get(image["batch_id"], []) if batch[2] == settings["import_source"]]
        if not own or image in recognised or image["id"] in recognised_ids:
            continue
        copied = [recid for image_id, recid, _ in results if image_id == image["id"] and None not in (image_id, recid)]
        recid = image["recid"] or recid_of_key.get(image["key"]) or min(copied, default=None)
        patient = smallest(own, 0)
        detail = under(patient, smallest(own, 1))
        without_record.append(("published_without_record", image["id"], recid, patient, image["batch_id"], detail))

    for recid in held:
        in_nexus = {
            (image["id"], image["batch_id"])
            for image in images
            if image["key"] in keys.get(recid, ()) or any(belongs(image, row) for row in rows_of[recid])
        } | {(row[1], row[4]) for row in without_record if row[2] == recid}
        for image_id, batch_id in in_nexus:
            own = batches.get(batch_id, [])
            detail = under(smallest(own, 0), smallest(own, 1))
            findings.add(("held_but_published", image_id, recid, smallest(own, 0), batch_id, detail))

    newest = {
        (row["destination_bucket"], row["destination_key"]): (image_id, recid, row) for image_id, recid, row in results
    }
    verified = [
        result
        for result in newest.values()
        if result[2]["outcome"] in ("copied", "already_present")
        or (result[2]["outcome"] == "held_back" and result[2]["destination_etag"])
    ]
    for recid in held:
        own_ids = {image_id_of(row["filemaker_id"], recid) for row in rows_of[recid]}
        copies = [copy for copy in verified if copy[1] == recid or copy[0] in own_ids]
        if not copies:
            continue
        days = [copy[2]["recorded_at"] or "" for copy in copies]
        days = [day[:10] for day in days if re.match(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T", day)]
        patient = batch_id = None
        if len(rows_of[recid]) == 1:
            (row,) = rows_of[recid]
            patient = only(patients_of.get(row["contact_id"], set()))
            outcome = marts["image_outcome"][export.index(row)]
            batch_id = planned_batch(row, patient, outcome, batches, settings)
        detail = f"{len(copies)} verified cop{'y' if len(copies) == 1 else 'ies'}"
        detail += f", last verified on {max(days)}" if days else ""
        image_id = min((copy[0] for copy in copies if copy[0] is not None), default=None)
        findings.add(("held_but_copied", image_id, recid, patient, batch_id, detail))

    found = [(*finding[:5], None, None, finding[5]) for finding in [*findings, *without_record]]
    for row, outcome in zip(export, marts["image_outcome"], strict=True):
        _, row["image_id"], _, row["reason"], row["patient_id"], row["batch_id"], _ = outcome
        row["nexus_patient"] = row["patient_id"] or only(patients_of.get(row["contact_id"], set()))
        row["person"] = row["nexus_patient"] or row["contact_id"]
    objects_of = defaultdict(list)
    for item in read_objects(folder, prefix):
        if item["recid"] is not None:
            objects_of[item["recid"]].append(item)
    found += same_bytes(rows_of, objects_of)
    found += identity_documents(export)
    found += dates_out_of_order(export, rows_of)
    found += near_misses(export, read_seed(folder, "nexus_patients"))
    found += large_batches(export)
    found += new_types(export)
    found += odd_sizes(export, objects_of)
    found += weekends(export)

    kinds = read_kinds()
    return [
        (finding[0], kinds[finding[0]]["severity"], *finding[1:], kinds[finding[0]]["what_to_do"]) for finding in found
    ]


def about(kind, row, detail, related_recid=None, related_patient=None):
    """A finding about one row of the export."""
    known = (row["image_id"], row["recid"], row["patient_id"], row["batch_id"])
    return (kind, *known, related_recid, related_patient, detail)


def smallest(rows, column):
    """The smallest value of a column that is not missing; None if all are."""
    return min((row[column] for row in rows if row[column] is not None), default=None)


def same_bytes(rows_of, objects_of):
    """Two records of other patients, or of one, whose objects have the same MD5 and size."""
    bytes_of = {
        recid: {
            (item["etag"].lower(), item["size"])
            for item in objects_of[recid]
            if item["size"] and re.fullmatch("[0-9A-Fa-f]{32}", item["etag"] or "")
        }
        for recid in rows_of
    }
    records_with = defaultdict(set)
    for recid, contents in bytes_of.items():
        for content in contents:
            records_with[content].add(recid)
    persons_of = {recid: {row["person"] for row in rows} - {None} for recid, rows in rows_of.items()}

    for recid, persons in persons_of.items():
        others = {other for content in bytes_of[recid] for other in records_with[content]} - {recid}
        for person in persons:
            rows = [row for row in rows_of[recid] if row["person"] == person]
            image_id, patient_id, batch_id = (
                smallest(rows, column) for column in ("image_id", "patient_id", "batch_id")
            )
            matches = {
                "same_bytes_two_patients": [other for other in others if persons_of[other] - {person}],
                "same_bytes_same_patient": [other for other in others if person in persons_of[other]],
            }
            for kind, records in matches.items():
                if not records:
                    continue
                related, patient, whose = min(records), None, "the same patient"
                if kind == "same_bytes_two_patients":
                    not_theirs = [row for row in rows_of[related] if row["person"] != person]
                    patient, whose = smallest(not_theirs, "nexus_patient"), "another patient"
                more = f" and {counted(len(records) - 1, 'more record')}" if len(records) > 1 else ""
                detail = f"same bytes as record {related}{more} of {whose}"
                yield (kind, image_id, recid, patient_id, batch_id, related, patient, detail)


def counted(number, thing):
    return f"{number} {thing}" + ("" if number == 1 else "s")


def read_identity_words():
    with (PROJECT_ROOT / "seeds" / "reference" / "identity_words.csv").open(encoding="utf-8", newline="") as file:
        return {row["word"] for row in csv.DictReader(file)}


def words_in(text):
    """The words of a text in lower case, of the letters a to z only; `CamelCase` is two."""
    return set(re.findall("[a-z]+", re.sub("([a-z])([A-Z])", r"\1 \2", text or "").translate(oracle.A_TO_Z)))


def identity_documents(export):
    """Rows whose type or file name says that they show a document."""
    known = read_identity_words()
    for row in export:
        for column in ("Type", "fileName", "Name_of_file"):
            words = words_in(row["texts"][column]) & known
            if words:
                yield about("identity_document", row, f"the word {min(words)} in {column}")
                break


def dates_out_of_order(export, rows_of):
    """Rows whose date lies outside those of the two records next to them, where these two are in order."""
    dated = [
        row
        for row in export
        if row["recid"] is not None and len(rows_of[row["recid"]]) == 1 and row["date"] is not None
    ]
    dated.sort(key=lambda row: row["recid"])
    for before, row, after in zip(dated, dated[1:], dated[2:], strict=False):
        if before["date"] <= after["date"] and not before["date"] <= row["date"] <= after["date"]:
            neighbours = [f"{other['date']} in record {other['recid']}" for other in (before, after)]
            yield about("date_out_of_order", row, f"{row['date']}, but {' and '.join(neighbours)}", before["recid"])


def difference(one, other):
    """How two ids of 32 digits differ, if they are near each other; else None."""
    places = [place for place in range(32) if one[place] != other[place]]
    if not places:
        return "differs only in braces, blanks or hyphens"
    if len(places) == 1:
        return "differs in one digit"
    if len(places) == 2 and [one[place] for place in places] == [other[place] for place in reversed(places)]:
        return "has two digits swapped"
    return None


def near_misses(export, nexus_patients):
    """Rows whose patient is not in Nexus, where one known FileMaker id is nearly theirs."""
    patients_with = defaultdict(set)
    for patient in nexus_patients:
        digits = re.sub(f"[{oracle.WHITE_SPACE}{{}}-]", "", patient["filemaker_id"] or "").lower()
        if re.fullmatch("[0-9a-f]{32}", digits):
            patients_with[digits].add(read_nexus_id(patient["patient_id"]))
    near = {}
    for row in export:
        if row["reason"] != "patient_not_found":
            continue
        own = row["contact_id"].replace("-", "")
        if own not in near:
            near[own] = [(known, how) for known in patients_with if (how := difference(own, known))]
        if len(near[own]) == 1:
            ((known, how),) = near[own]
            patient = only(patients_with[known] - {None})
            yield about("patient_near_miss", row, f"FileMaker id {UUID(known)} in Nexus {how}", None, patient)


def large_batches(export):
    """Batches with more than 30 images that are linked or already linked."""
    images = defaultdict(list)
    for row in export:
        if row["outcome"] in LINKED and row["batch_id"] is not None:
            images[row["batch_id"]].append(row)
    for batch_id, rows in images.items():
        if len(rows) > 30:
            known = (smallest(rows, "recid"), smallest(rows, "patient_id"), batch_id)
            yield ("large_batch", None, *known, None, None, f"{len(rows)} images in one batch")


def one_letter_apart(one, other):
    """Whether one insertion, deletion or substitution of a character turns one text into the other."""
    shorter, longer = sorted((one, other), key=len)
    if len(shorter) == len(longer):
        return sum(a != b for a, b in zip(one, other, strict=True)) == 1
    return any(longer[:place] + longer[place + 1 :] == shorter for place in range(len(longer)))


def new_types(export):
    """Rows with a type that no other row has, and that is one letter away from a frequent one."""
    rows_with = defaultdict(list)
    for row in export:
        if category := trimmed(row["texts"]["Type"]):
            rows_with[category].append(row)
    frequent = {category: len(rows) for category, rows in rows_with.items() if len(rows) >= 20}
    for category, rows in rows_with.items():
        alike = [known for known in frequent if one_letter_apart(category, known)]
        if len(rows) == 1 and alike:
            known = min(alike, key=lambda known: (-frequent[known], known))
            related = smallest(rows_with[known], "recid")
            detail = f"used once; one letter away from a type of {frequent[known]} images"
            yield about("new_type", rows[0], detail, related)


def odd_sizes(export, objects_of):
    """Rows whose object is very small or very large, once for each such object."""
    for row in export:
        for item in objects_of.get(row["recid"], ()):
            if item["size"] is not None and not 2048 <= item["size"] <= 52_428_800:
                kind = "tiny_file" if item["size"] < 2048 else "huge_file"
                yield about(kind, row, f"{item['size']} bytes")


def weekends(export):
    """Rows of a Saturday or Sunday, where under 2 % of all rows are."""
    rows = [row for row in export if row["date"] is not None and row["date"].weekday() >= 5]
    if len(rows) * 100 < len(export) * 2:
        for row in rows:
            yield about("weekend", row, f"{('Saturday', 'Sunday')[row['date'].weekday() - 5]} {row['date']}")


def recid_in(key: str | None, prefix: str) -> int | None:
    """The record number in the name of an object of the dump."""
    match = re.fullmatch(r"([1-9][0-9]{0,17})\.([^/.]+)", (key or "")[len(prefix) :])
    return int(match[1]) if match and (key or "").startswith(prefix) else None


def only(values: set):
    return min(values) if len(values) == 1 else None


def planned_batch(row, patient, outcome, batches, settings):
    """The batch that a row's image has, or would have if Nexus did not hold it yet."""
    if outcome[2] != "already_linked":
        return outcome[5]
    if patient is None or row["date"] is None:
        return None
    wanted = (patient, row["date"], settings["import_source"])
    held = [batch_id for batch_id, rows in batches.items() if wanted in rows]
    return min(held, default=oracle.name_based_id(f"image_batch:{row['contact_id']}:{row['date']}"))


# --- Changes -------------------------------------------------------------------------------------------------------


def remembered(folder: Path, settings: dict, marts: dict | None = None) -> dict[tuple, dict]:
    """What is remembered of a build: by the record and a running number, its decision and the facts behind it."""
    settings = DEFAULT_VARS | settings
    marts = marts or oracle.expected_marts(folder, settings)
    patients_of = read_patients(folder)
    export = read_export(folder, settings["filemaker_date_order"])
    names = [str(row["recid"]) if row["recid"] else row["texts"]["recid"] or "" for row in export]
    times, facts = Counter(names), {}
    for name, row, outcome in zip(names, export, marts["image_outcome"], strict=True):
        known = {"decision": outcome[3] or outcome[2], "alone": times[name] == 1}
        if known["alone"]:
            known |= {
                "patient": row["contact_id"],
                "nexus_patient": only(patients_of.get(row["contact_id"], set())),
                "moved_in_nexus": outcome[4] if outcome[2] == "already_linked" else None,
                "date": row["date"],
                "batch": outcome[5],
            }
        facts[name, sum(key[0] == name for key in facts) if times[name] > 1 else 0] = known
    return facts


def expected_changes(before: dict | None, after: dict) -> list[tuple]:
    """The rows of changes_since_last_build."""
    changes: list[tuple] = []
    if not before:
        return changes
    for key in before.keys() | after.keys():
        was, now = before.get(key, {}), after.get(key, {})
        kinds = dict.fromkeys(CHANGES)
        first, second = was.get("decision"), now.get("decision")
        if not was:
            kinds["appeared"] = (first, second)
        elif not now:
            kinds["went"] = (first, second)
        elif (first in LINKED) != (second in LINKED):
            kinds["lost_link" if first in LINKED else "became_linked"] = (first, second)
        elif first not in LINKED and first != second:
            kinds["reason"] = (first, second)
        elif (first, second) == ("already_linked", "linked"):
            kinds["left_nexus"] = (first, second)
        if was.get("alone") and now.get("alone"):
            stays_in_nexus = first == second == "already_linked"
            looked_at = {
                "patient": True,
                "nexus_patient": was["patient"] == now["patient"] is not None
                and (was["nexus_patient"] is not None or stays_in_nexus),
                "moved_in_nexus": stays_in_nexus,
                "date": True,
                "batch": first in LINKED and second in LINKED,
            }
            for kind, counts in looked_at.items():
                if counts and was[kind] != now[kind]:
                    kinds[kind] = (was[kind], now[kind])
        for kind, values in kinds.items():
            if values:
                changes.append((key[0] or None, kind, *(None if value is None else str(value) for value in values)))
    return changes
