"""A second implementation of the rules (docs/specification.md) in plain Python.

Written from the specification alone, as literally as possible, and sharing nothing
with the models: where both agree, they are likely to agree with the specification.
"""

import csv
import hashlib
import re
import uuid
from collections import Counter, defaultdict
from datetime import date
from pathlib import Path

from sandbox.settings import DEFAULT_VARS

MART_COLUMNS = {
    "image_batch": (
        "id", "patient_id", "batch_name", "captured_date", "filemaker_batch_id", "import_source", "image_count",
    ),
    "image": (
        "id", "batch_id", "s3_key", "original_filename", "file_size", "category", "filemaker_id", "filemaker_type",
        "filemaker_date", "recid", "patient_id", "source_bucket", "source_key", "source_etag",
    ),
    "copy_manifest": (
        "image_id", "source_bucket", "source_key", "source_etag", "source_size", "destination_bucket",
        "destination_key",
    ),
    "image_outcome": ("recid", "image_id", "outcome", "reason", "patient_id", "batch_id", "s3_key"),
    "skipped_images": ("recid", "id_contact", "date", "type", "reason"),
    "unmatched_objects": ("bucket", "key", "size", "recid", "reason", "record_reason"),
    "unmatched_patients": ("filemaker_patient_id", "image_count", "first_date", "last_date"),
    "import_summary": ("metric", "value"),
    "batches_to_relink": ("id", "patient_id", "new_patient_id", "captured_date", "image_count", "image_ids_md5"),
    "unreadable_keys": ("seed", "column_name", "line_count"),
    "record_number_evidence": ("file_names", "telling_file_names", "agreeing_file_names", "is_contradicted"),
}  # fmt: skip

# The only mart whose rows have an order; the others are multisets.
ORDERED_MARTS = {"copy_manifest"}

# In order. `already linked` comes between the third and the fourth.
ROW_REASONS = (
    "invalid_recid", "duplicate_recid", "duplicate_filemaker_id", "held_back", "not_exported", "missing_patient_id",
    "invalid_patient_id", "missing_date", "invalid_date", "future_date", "patient_not_found", "ambiguous_patient",
    "missing_object", "ambiguous_object", "unsupported_file_type", "empty_object",
)  # fmt: skip
OBJECT_REASONS = ("unrecognised_key", "no_metadata", "record_skipped")

# The data tests that judge the inputs and the settings, and fail a build.
JUDGES = (
    "held_images_can_be_read", "the_dump_is_under_source_prefix", "something_is_linked",
    "record_numbers_fit_the_objects",
)  # fmt: skip
OUTCOMES_OF_COPIES = (
    "copied", "already_present", "conflict", "source_missing", "source_changed", "held_back", "failed",
)  # fmt: skip
# Extensions that are written for one kind of file, and those that are each a kind of their own.
FILE_KINDS = (
    "jpg jpeg jpe jfif heic heif hif", "tif tiff", "bmp dib", "dcm dicom", "jp2 j2k", "mov qt mp4 m4v",
    "mpg mpeg mpe", "3gp 3g2", "aif aiff", "png", "gif", "webp", "avif", "svg", "psd", "pdf", "dng", "cr2", "cr3",
    "nef", "arw", "orf", "rw2", "raf", "avi", "wmv", "mkv", "webm", "mts", "mp3", "m4a", "wav",
)  # fmt: skip

NAMESPACE = uuid.UUID("545cf136-7f55-4c09-8cce-a53086e493a6")
WHITE_SPACE = " \t\n\v\f\r\u00a0"
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
A_TO_Z = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")


# --- How one value reads -------------------------------------------------------------------------------------------


def trimmed(text):
    """`text` without the white space around it; None where nothing is left."""
    return (text or "").strip(WHITE_SPACE) or None


def read_recid(text):
    """The number that a recid reads as, or None."""
    text = trimmed(text) or ""
    if not re.fullmatch(r"([0-9]+|[0-9]{1,3}(,[0-9]{3})+)(\.0*)?", text):
        return None
    if re.fullmatch(r"[0-9]{1,3}\.000", text):  # it may be a thousand with a dot
        return None
    digits = text.split(".")[0].replace(",", "").lstrip("0")
    return int(digits or "0") if len(digits) <= 18 else None


def read_positive_recid(text):
    """The number that a recid reads as, or None if it is not a positive integer."""
    return read_recid(text) or None


def read_uuid(text):
    """A UUID in lower case; None for anything but 8-4-4-4-12 hex."""
    text = trimmed(text) or ""
    form = "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
    return text.lower() if re.fullmatch(form, text) else None


def read_date(text, order):
    """The calendar date that `text` is in the order `mdy`, `dmy` or `ymd`, else None."""
    digits = {"y": "([0-9]{4})", "m": "([0-9]{1,2})", "d": "([0-9]{1,2})"}
    match = re.fullmatch("[/.-]".join(digits[part] for part in order), trimmed(text) or "")
    if not match:
        return None
    parts = dict(zip(order, map(int, match.groups()), strict=True))
    try:
        return date(parts["y"], parts["m"], parts["d"])
    except ValueError:
        return None


def file_kind(extension):
    """The kind of media file that an extension is known for, or None."""
    extension = (extension or "").translate(A_TO_Z)
    return next((kind for kind in FILE_KINDS if extension in kind.split(" ")), None)


def read_nexus_id(text):
    """An id of Nexus's: trimmed, lower case, None where missing."""
    return (trimmed(text) or "").lower() or None


def read_size(text):
    """An object's size in bytes, None where it is missing or cannot be read (which is not 0)."""
    return int(text) if re.fullmatch("[0-9]{1,18}", text or "") else None


def name_based_id(name):
    """The id for a name in lower case."""
    return str(uuid.uuid3(NAMESPACE, name))


def image_id_of(filemaker_id, recid):
    """The id that a row's image has; None where neither its id nor its recid can be read."""
    if filemaker_id is not None:
        return name_based_id(f"image:{filemaker_id}")
    if recid is not None:
        return name_based_id(f"image:recid:{recid}")
    return None


def batch_name_of(captured, suffix):
    """`5 Nov 2016 (FileMaker Import)`."""
    return f"{captured.day} {MONTHS[captured.month - 1]} {captured.year:04d}{suffix}"


def unlinked_key_of(image_type, recid, extension):
    """Where `unlinked_policy: copy` puts an unknown patient's object."""
    slug = re.sub("[^a-z0-9]+", "-", (image_type or "").translate(A_TO_Z)).strip("-")
    return f"unlinked/{slug or 'untyped'}/{recid}.{extension}"


def fill_template(template, fields):
    """`template` with each `{field}` replaced, once; a value that looks like a field stays unchanged."""
    return re.sub("{([a-z_]+)}", lambda match: fields[match[1]], template)


def none_last(*values):
    """A sort key by these values in turn, each in its own order, None after everything."""
    return tuple((value is None, value if value is not None else 0) for value in values)


def comparable(rows):
    """`rows` of a mart in one fixed order, even where values are None."""
    return sorted(rows, key=lambda row: none_last(*row))


# --- The data folder -----------------------------------------------------------------------------------------------


def read_seed(folder, name):
    """The rows of one CSV file as dicts; empty is None. A BOM and CRLF are accepted."""
    csv.field_size_limit(10_000_000)
    with (folder / f"{name}.csv").open(encoding="utf-8-sig", newline="") as file:
        return [{column: value or None for column, value in row.items()} for row in csv.DictReader(file, strict=True)]


def read_objects(folder, prefix):
    """The inventory's objects under `prefix`, each with the recid and extension in its name."""
    objects = []
    for row in read_seed(folder, "s3_inventory"):
        key = row["key"]
        if key is None or not key.startswith(prefix):
            continue
        name = key[len(prefix) :]
        match = re.fullmatch(r"([1-9][0-9]{0,17})\.([^/.]+)", name)
        objects.append(
            {
                "bucket": row["bucket"],
                "key": key,
                "name": name,
                "size": read_size(row["size"]),
                "etag": row["etag"],
                "recid": int(match[1]) if match else None,
                "extension": match[2] if match else None,
            }
        )
    return objects


def read_export(folder, order):
    """The export's rows: the texts unchanged, and beside them the values that they are read as."""
    return [
        {
            "texts": row,
            "recid": read_positive_recid(row["recid"]),
            "filemaker_id": read_uuid(row["id"]),
            "contact": trimmed(row["id_Contact"]),
            "contact_id": read_uuid(row["id_Contact"]),
            "date_text": trimmed(row["date"]),
            "date": read_date(row["date"], order),
            "exported": trimmed(row["NexusExportDate"]) is not None,
        }
        for row in read_seed(folder, "filemaker_images_metadata")
    ]


def read_patients(folder):
    """FileMaker patient id → the distinct Nexus patient ids that have it."""
    patients = defaultdict(set)
    for row in read_seed(folder, "nexus_patients"):
        filemaker_id, patient_id = read_nexus_id(row["filemaker_id"]), read_nexus_id(row["patient_id"])
        if filemaker_id is not None and patient_id is not None:
            patients[filemaker_id].add(patient_id)
    return patients


def read_batches(folder):
    """Nexus's batches: (patient, captured date, import source) → ids, and id → patients."""
    ids, patients = defaultdict(set), defaultdict(set)
    for row in read_seed(folder, "nexus_image_batches"):
        batch_id, patient_id = read_nexus_id(row["id"]), read_nexus_id(row["patient_id"])
        captured, source = read_date(row["captured_date"], "ymd"), trimmed(row["import_source"])
        if batch_id is None or patient_id is None:
            continue
        patients[batch_id].add(patient_id)
        ids[patient_id, captured, source].add(batch_id)
    return ids, patients


def read_nexus_images(folder):
    """Nexus's images by each of the ways in which a row can be recognised."""
    by = {"filemaker_id": defaultdict(list), "recid": defaultdict(list), "id": defaultdict(list)}
    by["s3_key"] = defaultdict(list)
    for row in read_seed(folder, "nexus_images"):
        image = {
            "id": read_nexus_id(row["id"]),
            "batch_id": read_nexus_id(row["batch_id"]),
            "filemaker_id": read_uuid(row["filemaker_id"]),
            "recid": read_positive_recid(row["filemaker_id"]),
            "s3_key": row["s3_key"],
        }
        for way, images in by.items():
            if image[way] is not None:
                images[image[way]].append(image)
    return by


def read_batches_to_relink(folder, export, objects, nexus_patients):
    """Batches whose one patient is no longer in Nexus, and whose images all lead to one who is.

    An image leads to a patient if each record that it belongs to is already linked, and has that patient alone.
    """
    rows_of = defaultdict(list)
    for row in export:
        if row["recid"] is not None:
            rows_of[row["recid"]].append(row)

    filemaker_ids = {recid: {row["filemaker_id"] for row in rows} - {None} for recid, rows in rows_of.items()}
    image_ids = {
        recid: {image_id_of(None, recid), *(image_id_of(known, None) for known in filemaker_ids[recid])}
        for recid in rows_of
    }

    def records_of(image):
        found = {item["recid"] for item in objects if item["recid"] is not None and item["key"] == image["s3_key"]}
        known_as, number = read_uuid(image["filemaker_id"]), read_positive_recid(image["filemaker_id"])
        return found | {
            recid
            for recid in rows_of
            if recid == number or known_as in filemaker_ids[recid] or image["id"] in image_ids[recid]
        }

    def patient_of(records):
        patients = set()
        for recid in records:
            if len(rows_of[recid]) != 1 or rows_of[recid][0]["outcome"] != "already_linked":
                return None
            patients.add(frozenset(nexus_patients[rows_of[recid][0]["contact_id"]]))
        return min(min(patients)) if len(patients) == 1 and len(min(patients)) == 1 else None

    images = [
        {**row, "id": read_nexus_id(row["id"]), "batch_id": read_nexus_id(row["batch_id"])}
        for row in read_seed(folder, "nexus_images")
    ]
    records_by_id = defaultdict(set)
    for image in images:
        if image["id"] is not None:
            records_by_id[image["id"]] |= records_of(image)
    there = {read_nexus_id(row["patient_id"]) for row in read_seed(folder, "nexus_patients")}
    batches = defaultdict(list)
    for row in read_seed(folder, "nexus_image_batches"):
        batches[read_nexus_id(row["id"])].append(row)
    found = []
    for batch_id, rows in batches.items():
        patient_id = read_nexus_id(rows[0]["patient_id"])
        if batch_id is None or len(rows) > 1 or patient_id is None or patient_id in there:
            continue
        own = [image for image in images if image["batch_id"] == batch_id]
        leads = {patient_of(records_by_id[image["id"]]) for image in own}
        if len(leads) == 1 and None not in leads:
            digest = hashlib.md5(",".join(sorted(image["id"] for image in own)).encode()).hexdigest()
            found.append((batch_id, patient_id, *leads, read_date(rows[0]["captured_date"], "ymd"), len(own), digest))
    return found


def unreadable_keys(folder, export):
    """Per seed and column by which its lines are recognised: how many lines cannot be read."""
    inventory = read_seed(folder, "s3_inventory")
    patients, batches = read_seed(folder, "nexus_patients"), read_seed(folder, "nexus_image_batches")
    images, results = read_seed(folder, "nexus_images"), read_copy_results(folder)

    def missing(rows, column):
        return sum(read_nexus_id(row[column]) is None for row in rows)

    unknown = [row for row in images if trimmed(row["filemaker_id"]) and not read_uuid(row["filemaker_id"])]
    return {
        ("filemaker_images_metadata", "recid"): sum(row["recid"] is None for row in export),
        ("s3_inventory", "bucket"): sum(row["bucket"] is None for row in inventory),
        ("s3_inventory", "key"): sum(row["key"] is None for row in inventory),
        ("s3_inventory", "size"): sum(read_size(row["size"]) is None for row in inventory),
        ("nexus_patients", "patient_id"): missing(patients, "patient_id"),
        ("nexus_patients", "filemaker_id"): sum(
            trimmed(row["filemaker_id"]) is not None and read_uuid(row["filemaker_id"]) is None for row in patients
        ),
        ("nexus_image_batches", "id"): missing(batches, "id"),
        ("nexus_image_batches", "patient_id"): missing(batches, "patient_id"),
        ("nexus_image_batches", "captured_date"): sum(
            read_date(row["captured_date"], "ymd") is None for row in batches
        ),
        ("nexus_images", "id"): missing(images, "id"),
        ("nexus_images", "batch_id"): missing(images, "batch_id"),
        ("nexus_images", "filemaker_id"): sum(read_positive_recid(row["filemaker_id"]) is None for row in unknown),
        ("held_images", "recid"): sum(recid is None for recid in read_held_lines(folder)),
        ("copy_results", "image_id"): sum(read_uuid(row["image_id"]) is None for row in results),
        ("copy_results", "destination_key"): sum(
            row["destination_bucket"] is None or row["destination_key"] is None for row in results
        ),
        ("copy_results", "outcome"): sum(row["outcome"] not in OUTCOMES_OF_COPIES for row in results),
    }


def read_copy_results(folder):
    """The lines of copy_results.csv; the last one is left out if it is cut off, without a line end."""
    rows = read_seed(folder, "copy_results")
    return rows if (folder / "copy_results.csv").read_bytes().endswith(b"\n") else rows[:-1]


def read_held_lines(folder):
    """The record number, or None, of each line of held_images.csv in which anything is written."""
    rows = read_seed(folder, "held_images")
    return [
        read_positive_recid(row["recid"])
        for row in rows
        if any(row[column] is not None for column in ("recid", "held_by", "held_on"))
    ]


def record_number_evidence(export, objects):
    """How many file names tell something about the record numbers, and how many of them agree with their object."""
    kinds_of_objects = defaultdict(set)
    for item in objects:
        if item["recid"] is not None and (kind := file_kind(item["extension"])) is not None:
            kinds_of_objects[item["recid"]].add(kind)
    pairs = set()
    for row in export:
        match = re.fullmatch(r"(?s).*\.([A-Za-z0-9]{1,5})", trimmed(row["texts"]["fileName"]) or "")
        kind = file_kind(match[1]) if match else None
        if kind is not None and row["recid"] in kinds_of_objects:
            pairs.add((row["recid"], kind))
    counts = Counter(kind for _, kind in pairs)
    commonest = min(counts, key=lambda kind: (-counts[kind], kind), default=None)
    telling = [(recid, kind) for recid, kind in pairs if kind != commonest]
    agreeing = sum(kind in kinds_of_objects[recid] for recid, kind in telling)
    return len(pairs), len(telling), agreeing, len(telling) >= 5 and agreeing < len(telling) / 2


# --- The marts -----------------------------------------------------------------------------------------------------


def expected_marts(folder: Path, settings: dict) -> dict[str, list[tuple]]:
    """The rows of the marts that the data folder `folder` should give.

    `settings` overrides the dbt vars' defaults, as a date or `YYYY-MM-DD`. Rows are tuples
    of str, int, date and None in the order of `MART_COLUMNS`; only `copy_manifest` is ordered.
    """
    settings = DEFAULT_VARS | settings
    today = date.fromisoformat(str(settings["today"]))
    extensions = {extension.translate(A_TO_Z) for extension in settings["image_extensions"]}

    export = read_export(folder, settings["filemaker_date_order"])
    objects = read_objects(folder, settings["source_prefix"])
    nexus_patients = read_patients(folder)
    nexus_batch_ids, nexus_batch_patients = read_batches(folder)
    nexus_images = read_nexus_images(folder)
    held = set(read_held_lines(folder))

    objects_of = defaultdict(list)
    for item in objects:
        if item["recid"] is not None:
            objects_of[item["recid"]].append(item)
    rows_with_recid, rows_with_filemaker_id = defaultdict(int), defaultdict(int)
    for row in export:
        rows_with_recid[row["recid"]] += 1
        rows_with_filemaker_id[row["filemaker_id"]] += 1
    some_row_exported = any(row["exported"] for row in export)

    def nexus_image_of(row):
        """The image that Nexus already holds for a row: the smallest, or None."""
        found = list(nexus_images["recid"][row["recid"]])
        found += nexus_images["id"][image_id_of(None, row["recid"])]
        if row["filemaker_id"] is not None:
            found += nexus_images["filemaker_id"][row["filemaker_id"]]
            found += nexus_images["id"][image_id_of(row["filemaker_id"], None)]
        for item in objects_of[row["recid"]]:
            found += nexus_images["s3_key"][item["key"]]
        return min(found, key=lambda image: none_last(image["id"], image["batch_id"], image["s3_key"]), default=None)

    def reason_after_linking(row):
        """Reasons 4 to 16, for a row that Nexus does not hold yet."""
        if row["recid"] in held:
            return "held_back"
        if not row["exported"] and some_row_exported:
            return "not_exported"
        if row["contact"] is None:
            return "missing_patient_id"
        if row["contact_id"] is None:
            return "invalid_patient_id"
        if row["date_text"] is None:
            return "missing_date"
        if row["date"] is None:
            return "invalid_date"
        if row["date"] > today:
            return "future_date"
        if len(nexus_patients[row["contact_id"]]) == 0:
            return "patient_not_found"
        if len(nexus_patients[row["contact_id"]]) > 1:
            return "ambiguous_patient"
        return reason_of_object(row)

    def reason_of_object(row):
        """Reasons 13 to 16."""
        if len(objects_of[row["recid"]]) == 0:
            return "missing_object"
        if len(objects_of[row["recid"]]) > 1:
            return "ambiguous_object"
        if objects_of[row["recid"]][0]["extension"].translate(A_TO_Z) not in extensions:
            return "unsupported_file_type"
        if objects_of[row["recid"]][0]["size"] == 0:
            return "empty_object"
        return None

    # Every row's outcome, and what is known about it.
    for row in export:
        row.update(image_id=image_id_of(row["filemaker_id"], row["recid"]), patient_id=None, batch_id=None)
        row.update(object=None, s3_key=None, outcome="skipped", reason=None)

        patients = nexus_patients[row["contact_id"]]
        if row["contact_id"] is not None and len(patients) == 1:
            row["patient_id"] = min(patients)
        if row["patient_id"] is not None and row["date"] is not None:
            reused = nexus_batch_ids[row["patient_id"], row["date"], settings["import_source"]]
            computed = name_based_id(f"image_batch:{row['contact_id']}:{row['date'].isoformat()}")
            row["batch_id"] = min(reused) if reused else computed
        if row["recid"] is not None and len(objects_of[row["recid"]]) == 1:
            row["object"] = objects_of[row["recid"]][0]
        if row["batch_id"] is not None and row["object"] is not None:
            row["s3_key"] = fill_template(
                settings["destination_key_template"],
                {
                    "patient_id": row["patient_id"],
                    "batch_id": row["batch_id"],
                    "recid": str(row["recid"]),
                    "extension": row["object"]["extension"],
                    "captured_date": row["date"].isoformat(),
                    "filemaker_id": row["filemaker_id"] or "",
                },
            )

        if row["recid"] is None:
            row["reason"] = "invalid_recid"
        elif rows_with_recid[row["recid"]] > 1:
            row["reason"] = "duplicate_recid"
        elif row["filemaker_id"] is not None and rows_with_filemaker_id[row["filemaker_id"]] > 1:
            row["reason"] = "duplicate_filemaker_id"
        elif (image := nexus_image_of(row)) is not None:
            row["outcome"] = "already_linked"
            row.update(image_id=image["id"], batch_id=image["batch_id"], s3_key=image["s3_key"])
            row["patient_id"] = min(nexus_batch_patients[image["batch_id"]], default=None)
        else:
            row["reason"] = reason_after_linking(row)
            row["outcome"] = "linked" if row["reason"] is None else "skipped"

    linked = [row for row in export if row["outcome"] == "linked"]
    skipped = [row for row in export if row["outcome"] == "skipped"]
    not_found = [row for row in skipped if row["reason"] == "patient_not_found"]

    # Every object's outcome.
    row_of = {row["recid"]: row for row in export if row["recid"] is not None}
    unmatched_objects = []
    already_linked_objects = 0
    for item in objects:
        row = row_of.get(item["recid"])
        reason = record_reason = None
        if item["recid"] is None:
            reason = "unrecognised_key"
        elif row is None:
            reason = "no_metadata"
        elif row["outcome"] == "skipped":
            reason, record_reason = "record_skipped", row["reason"]
        elif row["outcome"] == "already_linked":
            already_linked_objects += 1
        if reason is not None:
            unmatched_objects.append((item["bucket"], item["key"], item["size"], item["recid"], reason, record_reason))

    images_in_batch = defaultdict(int)
    for row in linked:
        images_in_batch[row["batch_id"], row["patient_id"], row["date"]] += 1
    image_batch = [
        (
            batch_id,
            patient_id,
            batch_name_of(captured, settings["batch_name_suffix"]),
            captured,
            None,
            settings["import_source"],
            count,
        )
        for (batch_id, patient_id, captured), count in images_in_batch.items()
    ]

    image = [
        (
            row["image_id"],
            row["batch_id"],
            row["s3_key"],
            row["object"]["name"],
            row["object"]["size"],
            trimmed(row["texts"]["Type"]),
            row["filemaker_id"],
            row["texts"]["Type"],
            row["date"],
            row["recid"],
            row["patient_id"],
            row["object"]["bucket"],
            row["object"]["key"],
            row["object"]["etag"],
        )
        for row in linked
    ]

    def manifest_row(row, destination_key):
        item = row["object"]
        bucket = settings["destination_bucket"] or item["bucket"]
        return (row["image_id"], item["bucket"], item["key"], item["etag"], item["size"], bucket, destination_key)

    copy_manifest = [
        manifest_row(row, row["s3_key"])
        for row in sorted(linked, key=lambda row: (row["patient_id"], row["date"], row["recid"]))
    ]
    if settings["unlinked_policy"] == "copy":
        copy_manifest += [
            manifest_row(row, unlinked_key_of(row["texts"]["Type"], row["recid"], row["object"]["extension"]))
            for row in sorted(not_found, key=lambda row: (row["contact_id"], row["date"], row["recid"]))
            if reason_of_object(row) is None
        ]

    dates_of = defaultdict(list)
    for row in not_found:
        dates_of[row["contact_id"]].append(row["date"])

    summary = {
        "export_rows": len(export),
        "linked_images": len(linked),
        "already_linked_images": len(export) - len(linked) - len(skipped),
        "skipped_images": len(skipped),
        "objects": len(objects),
        "objects_outside_prefix": sum(
            row["key"] is not None and not row["key"].startswith(settings["source_prefix"])
            for row in read_seed(folder, "s3_inventory")
        ),
        "already_linked_objects": already_linked_objects,
        "unmatched_objects": len(unmatched_objects),
        "image_batches": len(image_batch),
        "objects_to_copy": len(copy_manifest),
        "bytes_to_copy": sum(row[4] or 0 for row in copy_manifest),
    }
    summary |= {f"skipped_{reason}": sum(row["reason"] == reason for row in skipped) for reason in ROW_REASONS}
    summary |= {f"unmatched_{reason}": sum(row[4] == reason for row in unmatched_objects) for reason in OBJECT_REASONS}

    return {
        "image_batch": image_batch,
        "image": image,
        "copy_manifest": copy_manifest,
        "image_outcome": [
            (
                row["texts"]["recid"],
                row["image_id"],
                row["outcome"],
                row["reason"],
                row["patient_id"],
                row["batch_id"],
                row["s3_key"],
            )
            for row in export
        ],
        "skipped_images": [
            (
                row["texts"]["recid"],
                row["texts"]["id_Contact"],
                row["texts"]["date"],
                row["texts"]["Type"],
                row["reason"],
            )
            for row in skipped
        ],
        "unmatched_objects": unmatched_objects,
        "unmatched_patients": [(patient, len(dates), min(dates), max(dates)) for patient, dates in dates_of.items()],
        "import_summary": list(summary.items()),
        "batches_to_relink": read_batches_to_relink(folder, export, objects, nexus_patients),
        "unreadable_keys": [(*key, count) for key, count in unreadable_keys(folder, export).items()],
        "record_number_evidence": [record_number_evidence(export, objects)],
    }


def expected_refusals(folder: Path, settings: dict, marts: dict[str, list[tuple]]) -> set[str]:
    """Those of `JUDGES` that should fail a build of `folder`.

    `marts` are its marts, as `expected_marts` gives them.
    """
    settings = DEFAULT_VARS | settings
    summary = dict(marts["import_summary"])
    refusals = {
        "held_images_can_be_read": None in read_held_lines(folder),
        "the_dump_is_under_source_prefix": summary["objects"] == 0 and read_seed(folder, "s3_inventory") != [],
        "something_is_linked": summary["export_rows"] >= 20
        and summary["linked_images"] + summary["already_linked_images"] == 0,
        "record_numbers_fit_the_objects": marts["record_number_evidence"][0][-1]
        and not settings["record_numbers_confirmed"],
    }
    return {test for test, refuses in refusals.items() if refuses}
