"""A synthetic clinic, the same on every run: FileMaker's export, Nexus's records and the pictures in the bucket.

Nothing here comes from a real person; only the shape is that of a real export. Each row knows which outcome it was
made for, and the clinic knows every finding that it was made for, so that the demo can check what the models decide.
"""

import csv
import io
import os
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from functools import cache, partial
from itertools import pairwise, product, repeat
from multiprocessing import get_context
from pathlib import Path, PurePosixPath
from random import Random
from typing import Any, NamedTuple

import pillow_heif
from PIL import ExifTags, Image, ImageDraw, ImageFont

from sandbox.settings import DUMP

SEED = 20160104
EXPORT_NAME = "Image_DataV6.tab"
EXPORT_ENCODING = "mac_roman"  # what FileMaker on a Mac writes by default
DRAWING_PROCESSES = 2

# For each number of images of one patient on one day, how many such days there are.
DAYS_OF_SIZE = {
    1: 210, 2: 265, 3: 280, 4: 229, 5: 413, 6: 125, 7: 66, 8: 38, 9: 17, 10: 10, 11: 5, 12: 4, 13: 2, 14: 2, 15: 1,
}  # fmt: skip
FIRST_DAY, LAST_DAY = date(2016, 1, 4), date(2025, 10, 31)
PATIENTS_WITH_IMAGES = 1_300
UNKNOWN_PATIENTS = 34
AMBIGUOUS_PATIENTS = 2
PATIENTS_WITHOUT_IMAGES = 180
PATIENTS_BORN_IN_NEXUS = 25
DELETED_RECORDS = 600
DELETED_RECORDS_WITH_OBJECT = 120
RECORDS_WITH_THUMBNAIL = 45
USER_UPLOADS = 24

# The mistakes in rows that would otherwise be linked: the reason, the field and the values that it gets.
SPOILT_VALUES = {
    "invalid_recid": ("recid", ["", "?", "n/a"]),
    "not_exported": ("nexus_export_date", [""] * 14),
    "missing_patient_id": ("id_contact", [""] * 19),
    "invalid_patient_id": ("id_contact", ["?", "4411", "C4A1-88F0", "see paper file", "00000000-0000-0000-0000"]),
    "missing_date": ("date", [""] * 9),
    "invalid_date": ("date", ["2/30/2019", "?", "11/31/2017", "0/0/0000"]),
    "future_date": ("date", ["1/7/2999", "5/3/2999", "10/18/2999"]),
}
# Mistakes in the bucket or in held_images.csv: how many rows get each.
SPOILT_ELSEWHERE = {
    "held_back": 6,
    "missing_object": 41,
    "ambiguous_object": 7,
    "unsupported_file_type": 21,
    "empty_object": 4,
}
DUPLICATE_PAIRS = {"duplicate_recid": 2, "duplicate_filemaker_id": 3}

EXTENSIONS = {"jpg": 850, "JPG": 70, "png": 40, "HEIC": 30, "jpeg": 8, "PNG": 2}
UNSUPPORTED = ["pdf", "mov", "pdf"]
FREQUENT_TYPES = {
    "Dorsal": 900, "Posterior": 700, "Planter": 640, "R-Brannock": 520, "L-Brannock": 510, "Plantar": 430,
    "Left Dorsal": 300, "Right Dorsal": 290, "Medial": 240, "Lateral": 230, "Anterior": 200, "L Medial": 120,
    "R Medial": 120, "L Lateral": 90, "R Lateral": 90, "Medicare Card": 80, "Footwear": 70, "Orthotic": 60,
    "Left Plantar": 60, "Right Plantar": 60, "Pension Card": 20, "": 15,
}  # fmt: skip
ODD_TYPES = [
    'Left "turf toe"', "Callus, 5th MPJ", "Pre–op R hallux", "90° dorsiflexion", "Patient’s own shoe",
    "Café-au-lait spot L ankle", "dorsal", "PLANTAR", "Orthotic; new pair", "L+R standing", "?",
]  # fmt: skip
SIDES = ["L", "R", "Left", "Right", "Bilateral"]
SITES = ["hallux", "2nd toe", "3rd toe", "5th toe", "heel", "arch", "ankle", "navicular", "1st MPJ", "nail bed"]
FINDINGS = ["", " pre op", " post op", " 6/52 review", " callus", " wound", " verruca", " swelling", " dressing"]
RARE_TYPES = 268
TYPES_ENDING_IN_VT = 20
IDENTITY_TYPES = ["Medicare Card", "Pension Card"]
NAMES_OF_FILES = [
    "left foot", "right foot", "both feet", "scan from paper", "standing", "walking", "patient’s shoe",
    "shoe\x0bworn side",
]  # fmt: skip

# The faults that review_findings should find; some of the types and mistakes above are found as well.
IMAGES_TOO_MANY = 28  # of one day, each taken from another one
MISTYPED = {"dorsal": "Dorsal", "Dorsl": "Dorsal", "R-Branock": "R-Brannock"}
NAMES_OF_DOCUMENTS = [("file_name", "MedicareCard.jpg"), ("name_of_file", "driver’s licence")]
DATES_OUT_OF_ORDER = 3
EQUAL_PAIRS = 2  # of each kind
BROKEN = 2
BYTES_OF_BROKEN = 1_500
IMAGES_PER_ROTATED_ONE = 50
ROTATED = [(6, Image.Transpose.ROTATE_90), (3, Image.Transpose.ROTATE_180), (8, Image.Transpose.ROTATE_270)]


def with_other_digit(patient: str) -> str:
    """Return an id that differs in one digit."""
    return patient[:-1] + ("7" if patient[-1] != "7" else "1")


def with_swapped_digits(patient: str, start: int) -> str:
    """Return an id in which the first digit and one from `start` on are swapped."""
    place = next(place for place in range(start, len(patient)) if patient[place] not in ("-", patient[0]))
    return patient[place] + patient[1:place] + patient[0] + patient[place + 1 :]


NEARLY: tuple[Callable[[str], str], ...] = (
    with_other_digit,
    partial(with_swapped_digits, start=1),
    partial(with_swapped_digits, start=20),
)


class Planted(NamedTuple):
    """What one row of review_findings should say; `recid` is None if FileMaker's does not read."""

    finding: str
    recid: int | None
    related_recid: int | None = None
    related_patient_id: str | None = None


@dataclass
class Row:
    """One record of FileMaker's image table: the eight exported texts, and what the row was made for."""

    number: int  # the record number, by which the picture is named in the bucket
    patient_id: str  # in Nexus; empty if Nexus has no such patient, or several
    reason: str  # for which the row is skipped (docs/specification.md, Outcomes); empty: it is linked
    extension: str
    date: str
    file_name: str
    id: str
    id_contact: str
    name_of_file: str
    nexus_export_date: str
    recid: str
    type: str

    def key(self) -> str:
        """The key of the picture in the bucket."""
        return f"{DUMP}{self.number}.{self.extension}"

    def recid_read(self) -> int | None:
        """The record number as FileMaker exports it; None if it is a mistake."""
        return int(self.recid) if self.recid.isdigit() else None

    def exported(self) -> tuple[str, ...]:
        """The fields in the order in which FileMaker exports them."""
        return (
            self.date, self.file_name, self.id, self.id_contact, self.name_of_file, self.nexus_export_date,
            self.recid, self.type,
        )  # fmt: skip


@dataclass(frozen=True)
class StoredObject:
    """One object in the bucket; `caption` is drawn on its picture."""

    key: str
    caption: str = ""
    empty: bool = False
    broken: bool = False  # cut off, so that it cannot be decoded
    same_as: "StoredObject | None" = None  # whose bytes this one has


@dataclass
class Clinic:
    """All records, each table in the column order of its seed, and all objects."""

    rows: list[Row]
    objects: list[StoredObject]
    nexus_patients: list[tuple[str, ...]]
    nexus_image_batches: list[tuple[str, ...]] = field(default_factory=list)
    nexus_images: list[tuple[str, ...]] = field(default_factory=list)
    held_images: list[tuple[str, ...]] = field(default_factory=list)
    planted: list[Planted] = field(default_factory=list)  # all that review_findings should have after the first build

    def dump(self) -> list[StoredObject]:
        """The objects of the bulk dump."""
        return [stored for stored in self.objects if stored.key.startswith(DUMP)]


@dataclass(frozen=True)
class PatientDay:
    """One FileMaker patient on one day, and how many images were taken."""

    day: date
    patient: str
    images: int


def make_clinic(*, faults: bool = True, one_in: int = 1) -> Clinic:
    """Invent the clinic: 6,502 rows and 6,670 objects, the same on every machine and day.

    Without `faults` there is nothing in it that gives a finding of severity `check`. `one_in` makes it smaller: with 10
    it has a tenth of the rows. No file is over 50 MB (`huge_file`), because writing one would take too long.
    """
    rng = Random(SEED)
    patients = [new_uuid(rng) for _ in range(part(PATIENTS_WITH_IMAGES, one_in))]
    unknown = patients[: part(UNKNOWN_PATIENTS, one_in)]
    known = patients[len(unknown) :]
    ambiguous = known[: part(AMBIGUOUS_PATIENTS, one_in)]
    nexus_ids = {patient: new_uuid(rng).lower() for patient in known}
    near_misses = [nearly(patient) for patient, nearly in zip(unknown, NEARLY, strict=False)] if faults else []

    rows: list[Row] = []
    spoilable: list[int] = []
    days = patient_days(rng, patients, one_in)
    if faults:
        crowd(days, set(known[len(ambiguous) :]))
    numbers = iter(record_numbers(rng, sum(day.images for day in days), part(DELETED_RECORDS, one_in)))
    for day in days:
        reason = "" if day.patient in nexus_ids else "patient_not_found"
        reason = "ambiguous_patient" if day.patient in ambiguous else reason
        patient_id = "" if reason else nexus_ids[day.patient]
        if day.images >= 4 and not reason:
            spoilable.append(len(rows) + 1)
        rows += [new_row(rng, next(numbers), day, patient_id, reason) for _ in range(day.images)]
    give_types(rng, rows, faults, one_in)
    spoil(rng, rows, spoilable, faults, one_in)

    objects = dump_objects(rng, rows, one_in)
    clinic = Clinic(rows, objects, nexus_patients(rng, nexus_ids, ambiguous, near_misses, one_in))
    clinic.held_images = [(row.recid, "reviewer", "2025-11-10") for row in rows if row.reason == "held_back"]
    if faults:
        plant(rng, clinic)
    add_user_uploads(rng, clinic, one_in)
    clinic.planted += findings_by_rule(clinic, dict(zip(unknown, near_misses, strict=False)))
    return clinic


def part(count: int, one_in: int) -> int:
    """Return how many of `count` a smaller clinic has: at least one."""
    return -(-count // one_in)


def new_uuid(rng: Random) -> str:
    """Return a version 4 UUID in upper case, as FileMaker's `Get ( UUID )` writes it."""
    return str(uuid.UUID(int=rng.getrandbits(128), version=4)).upper()


def patient_days(rng: Random, patients: Sequence[str], one_in: int) -> list[PatientDay]:
    """Return all visits in order of date: each patient has at least one, and at most one on a day."""
    sizes = [size for size, count in DAYS_OF_SIZE.items() for _ in range(count)][::one_in]
    rng.shuffle(sizes)
    visitors = [*patients, *rng.choices(patients, k=len(sizes) - len(patients))]
    opening_days = [
        day
        for day in (FIRST_DAY + timedelta(days=number) for number in range((LAST_DAY - FIRST_DAY).days + 1))
        if day.weekday() < 5 or (day.weekday() == 5 and rng.random() < 0.02)
    ]
    taken: set[tuple[date, str]] = set()
    days = []
    for patient, size in zip(visitors, sizes, strict=True):
        day = rng.choice(opening_days)
        while (day, patient) in taken:
            day = rng.choice(opening_days)
        taken.add((day, patient))
        days.append(PatientDay(day, patient, size))
    return sorted(days, key=lambda day: (day.day, day.patient))


def crowd(days: list[PatientDay], patients: set[str]) -> None:
    """Give one day of one of `patients` more images than anybody takes: one each of other days."""
    fives = [number for number, day in enumerate(days) if day.images == 5]
    crowded = next(number for number in fives if days[number].patient in patients)
    others = [number for number in fives if number != crowded][:IMAGES_TOO_MANY]
    for number in others:
        days[number] = replace(days[number], images=4)
    days[crowded] = replace(days[crowded], images=5 + len(others))


def record_numbers(rng: Random, count: int, deleted_count: int) -> list[int]:
    """Return `count` rising numbers from 2 on, with gaps for records that were deleted."""
    last = 2 + count + deleted_count - 1
    deleted = set(rng.sample(range(3, last), deleted_count))
    return [number for number in range(2, last + 1) if number not in deleted]


def new_row(rng: Random, number: int, day: PatientDay, patient_id: str, reason: str) -> Row:
    """Return a row without mistakes, its `type` still empty."""
    extension = rng.choices(list(EXTENSIONS), list(EXTENSIONS.values()))[0]
    exported_at = datetime(2025, 11, 8, 9, 0) + timedelta(seconds=2 * number)
    return Row(
        number=number,
        patient_id=patient_id,
        reason=reason,
        extension=extension,
        date=f"{day.day.month}/{day.day.day}/{day.day.year}",
        file_name=camera_name(rng, extension) if rng.random() < 0.99 else "",
        id=new_uuid(rng) if rng.random() < 0.999 else "",
        id_contact=day.patient,
        name_of_file="?" if rng.random() < 0.25 else f"{rng.choice(NAMES_OF_FILES)} {rng.randint(1, 9)}",
        nexus_export_date=f"{exported_at.month}/{exported_at.day}/{exported_at.year} {exported_at:%H:%M:%S}",
        recid=str(number),
        type="",
    )


def calendar_date(text: str) -> date | None:
    """Return the date of a text month/day/year; None if it has none."""
    try:
        month, day, year = map(int, text.split("/"))
        return date(year, month, day)
    except ValueError:
        return None


def camera_name(rng: Random, extension: str) -> str:
    """Return a file name such as cameras and scanners give."""
    stem = rng.choice(["IMG_{:04}", "IMG_{:04}", "DSC{:05}", "photo {}"]).format(rng.randint(1, 9999))
    return f"{stem}.{extension}"


def give_types(rng: Random, rows: list[Row], faults: bool, one_in: int) -> None:
    """Set the types: a few are used often, and 268 once each, 20 of them with a trailing VT."""
    made_up = [f"{side} {site}{finding}" for side, site, finding in product(SIDES, SITES, FINDINGS)]
    vt_count = part(TYPES_ENDING_IN_VT, one_in)
    trailing = [f"{name}\x0b" for name in ["Dorsal", "Plantar", *rng.sample(made_up, vt_count - 2)]]
    rare = [*ODD_TYPES, *trailing]
    rare += rng.sample(made_up, part(RARE_TYPES, one_in) - len(rare))
    frequent = {name: count for name, count in FREQUENT_TYPES.items() if faults or name not in IDENTITY_TYPES}
    for row in rows:
        row.type = rng.choices(list(frequent), list(frequent.values()))[0]
    for row, name in zip(rng.sample(rows, len(rare)), rare, strict=True):
        row.type = name


def spoil(rng: Random, rows: list[Row], spoilable: list[int], faults: bool, one_in: int) -> None:
    """Put one mistake each into some rows, so that every reason for skipping occurs.

    Days in the future are left out without `faults`, because they are out of order, too.
    `spoilable` are indexes of rows, at most one of a patient's day and each
    followed by two more of the same day: no day loses all of its rows.
    """
    rng.shuffle(spoilable)
    chosen = iter(spoilable)
    for reason, (name, values) in SPOILT_VALUES.items():
        if reason == "future_date" and not faults:
            continue
        for value, index in zip(values[::one_in], chosen, strict=False):
            rows[index].reason = reason
            setattr(rows[index], name, value)
    for reason, count in SPOILT_ELSEWHERE.items():
        for number, index in zip(range(part(count, one_in)), chosen, strict=False):
            rows[index].reason = reason
            if reason == "unsupported_file_type":
                rows[index].extension = UNSUPPORTED[number % len(UNSUPPORTED)]
                rows[index].file_name = camera_name(rng, rows[index].extension)
    for reason, count in DUPLICATE_PAIRS.items():
        for number, index in zip(range(part(count, one_in)), chosen, strict=False):
            first, second = rows[index], rows[index + 1]
            first.reason = second.reason = reason
            if reason == "duplicate_recid":
                second.recid = first.recid
            else:
                first.id = first.id or new_uuid(rng)
                second.id = first.id.lower() if number == 0 else first.id


def dump_objects(rng: Random, rows: list[Row], one_in: int) -> list[StoredObject]:
    """Return the objects of the bulk dump: a picture for each record, and other files that have collected there."""
    objects = []
    for row in rows:
        if row.reason in ("missing_object", "not_exported"):
            continue
        empty = row.reason == "empty_object"
        objects.append(StoredObject(row.key(), row.type.strip(), empty))
        if row.reason == "ambiguous_object":
            other = "jpg" if row.extension.lower() == "png" else "png"
            objects.append(StoredObject(f"{DUMP}{row.number}.{other}", "edited"))
    numbers = [row.number for row in rows]
    deleted = sorted(set(range(2, numbers[-1])) - set(numbers))
    objects += [
        StoredObject(f"{DUMP}{number}.jpg", "deleted in FileMaker")
        for number in rng.sample(deleted, part(DELETED_RECORDS_WITH_OBJECT, one_in))
    ]
    with_thumbnail = sorted(rng.sample(numbers, part(RECORDS_WITH_THUMBNAIL, one_in)))
    objects += [StoredObject(f"{DUMP}{number}_thumb.jpg", "thumbnail") for number in with_thumbnail]
    odd = ["Thumbs.db", ".DS_Store", "export log.txt", "0228.jpg", "123.1.jpg", "IMG_0042.JPG", "rescans/228.jpg"]
    return objects + [StoredObject(f"{DUMP}{name}", "no record's") for name in odd]


def nexus_patients(
    rng: Random, nexus_ids: dict[str, str], ambiguous: Sequence[str], near_misses: Sequence[str], one_in: int
) -> list[tuple[str, ...]]:
    """Return Nexus's patients: those with images (the ambiguous ones twice) and others, some with a mistyped id."""
    found = [(patient_id, patient) for patient, patient_id in nexus_ids.items()]
    found += [(new_uuid(rng).lower(), patient) for patient in ambiguous]
    others = [new_uuid(rng) for _ in range(part(PATIENTS_WITHOUT_IMAGES, one_in) - len(near_misses))]
    found += [(new_uuid(rng).lower(), patient) for patient in [*near_misses, *others]]
    found += [(new_uuid(rng).lower(), "") for _ in range(part(PATIENTS_BORN_IN_NEXUS, one_in))]
    # The ids were typed or pasted into the notes: some are in lower case.
    return sorted((patient_id, patient.lower() if rng.random() < 0.1 else patient) for patient_id, patient in found)


def add_user_uploads(rng: Random, clinic: Clinic, one_in: int) -> None:
    """Add what Nexus's users uploaded themselves, also on days of the import; none of it belongs to the import."""
    linked = [row for row in clinic.rows if not row.reason]
    for row in rng.sample(linked, part(USER_UPLOADS, one_in)):
        captured = calendar_date(row.date) or LAST_DAY
        batch_id = new_uuid(rng).lower()
        name = f"{captured.day} {captured:%b %Y}"
        clinic.nexus_image_batches.append((batch_id, row.patient_id, name, captured.isoformat(), "user_upload"))
        for _ in range(rng.randint(1, 3)):
            image_id = new_uuid(rng).lower()
            key = f"patients/{row.patient_id}/images/{batch_id}/{image_id}.jpg"
            clinic.nexus_images.append((image_id, batch_id, "", key))
            clinic.objects.append(StoredObject(key, "uploaded in Nexus"))


def plant(rng: Random, clinic: Clinic) -> None:
    """Plant what nothing else explains: dates that go back, equal bytes, broken pictures, misspelt types, documents.

    Only rows are taken that are linked, as the two before and the two behind
    are; no row gets two of these.
    """
    rows, objects = clinic.rows, {stored.key: stored for stored in clinic.objects}
    free = [index for index in range(2, len(rows) - 2, 5) if not any(row.reason for row in rows[index - 2 : index + 3])]
    free = [index for index in free if rows[index].extension == "jpg" and rows[index].type in FREQUENT_TYPES]
    free = [index for index in free if rows[index].type not in IDENTITY_TYPES]
    rng.shuffle(free)

    for _ in range(DATES_OUT_OF_ORDER):
        index = free.pop()
        earlier = (calendar_date(rows[index].date) or LAST_DAY) - timedelta(days=364)
        rows[index].date = f"{earlier.month}/{earlier.day}/{earlier.year}"
        clinic.planted.append(Planted("date_out_of_order", rows[index].number, rows[index - 1].number))
    for name in MISTYPED:
        if not any(row.type == name for row in rows):
            rows[free.pop()].type = name
    for column, text in NAMES_OF_DOCUMENTS:
        index = free.pop()
        setattr(rows[index], column, text)
        clinic.planted.append(Planted("identity_document", rows[index].number))
    for _ in range(BROKEN):
        key = rows[free.pop()].key()
        objects[key] = replace(objects[key], broken=True)

    followed = [index for index in free if rows[index + 1].extension == "jpg"]
    of_one_patient = [index for index in followed if rows[index].patient_id == rows[index + 1].patient_id]
    pairs = [(rows[index], rows[index + 1]) for index in of_one_patient[:EQUAL_PAIRS]]
    others = [rows[index] for index in free if index not in of_one_patient[:EQUAL_PAIRS]]
    pairs += [(others.pop(), others.pop()) for _ in range(EQUAL_PAIRS)]
    for first, second in pairs:
        objects[second.key()] = replace(objects[second.key()], same_as=objects[first.key()])
        for row, other in ((first, second), (second, first)):
            if first.patient_id == second.patient_id:
                clinic.planted.append(Planted("same_bytes_same_patient", row.number, other.number))
            else:
                clinic.planted.append(Planted("same_bytes_two_patients", row.number, other.number, other.patient_id))
    clinic.objects = list(objects.values())


def findings_by_rule(clinic: Clinic, near_misses: dict[str, str]) -> list[Planted]:
    """Return what is found of rows that are as they are for another reason than to be found, by their mistakes.

    `near_misses` are patients of FileMaker whom Nexus does not know, each with the id that Nexus has.
    """
    rows = clinic.rows
    objects = {stored.key: stored for stored in clinic.objects}
    nexus_ids = {filemaker_id.upper(): patient_id for patient_id, filemaker_id in clinic.nexus_patients}
    days = [(row, calendar_date(row.date)) for row in rows]
    found = [Planted("weekend", row.recid_read()) for row, day in days if day and day.weekday() >= 5]
    found += [Planted("identity_document", row.recid_read()) for row in rows if row.type in IDENTITY_TYPES]
    found += [
        Planted("patient_near_miss", row.recid_read(), None, nexus_ids[near_misses[row.id_contact]])
        for row in rows
        if row.id_contact in near_misses
    ]
    found += [
        Planted("date_out_of_order", row.number, before.number)
        for before, row in pairwise(rows)
        if row.reason == "future_date"
    ]
    for row in rows:
        if row.type in MISTYPED:
            alike = [other.recid_read() for other in rows if other.type.strip() == MISTYPED[row.type]]
            found.append(Planted("new_type", row.recid_read(), min(recid for recid in alike if recid is not None)))
        stored = objects.get(row.key())
        if stored and (stored.empty or stored.broken):
            found.append(Planted("tiny_file", row.recid_read()))
    batches = defaultdict(list)
    for row in rows:
        if not row.reason:
            batches[row.patient_id, row.date].append(row.number)
    found += [Planted("large_batch", min(numbers)) for numbers in batches.values() if len(numbers) > 30]
    return found


def write_records(clinic: Clinic, folder: Path) -> None:
    """Write FileMaker's export, the three Nexus seeds and held_images.csv into `folder`, each with mode 0600."""
    # Every record ends in CR, the last one too; nothing is quoted, and there is no header line.
    text = "".join("\t".join(row.exported()) + "\r" for row in clinic.rows)
    write_private(folder / EXPORT_NAME, text.encode(EXPORT_ENCODING))
    tables: dict[str, tuple[str, list[tuple[str, ...]]]] = {
        "nexus_patients": ("patient_id,filemaker_id", clinic.nexus_patients),
        "nexus_image_batches": ("id,patient_id,batch_name,captured_date,import_source", clinic.nexus_image_batches),
        "nexus_images": ("id,batch_id,filemaker_id,s3_key", clinic.nexus_images),
        "held_images": ("recid,held_by,held_on", clinic.held_images),
    }
    for name, (header, records) in tables.items():
        text_file = io.StringIO()
        csv.writer(text_file, lineterminator="\n").writerows([header.split(","), *records])
        write_private(folder / f"{name}.csv", text_file.getvalue().encode())


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)


def draw_objects(objects: Iterable[StoredObject], folder: Path) -> None:
    """Write each object's content to a file under `folder`, with its key as the path; in two processes."""
    listed = list(objects)
    parts = [listed[first::DRAWING_PROCESSES] for first in range(DRAWING_PROCESSES)]
    with ProcessPoolExecutor(DRAWING_PROCESSES, get_context("spawn")) as pool:
        list(pool.map(draw_part, parts, repeat(folder)))


def draw_part(objects: list[StoredObject], folder: Path) -> None:
    """Write the content of these objects."""
    pillow_heif.register_heif_opener()
    backgrounds = make_backgrounds()
    for stored in objects:
        path = folder / stored.key
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        written = b"" if stored.empty else content(stored.same_as or stored, backgrounds)
        write_private(path, written[:BYTES_OF_BROKEN] if stored.broken else written)


def content(stored: StoredObject, backgrounds: list[Image.Image]) -> bytes:
    """Return the bytes of one object, of the kind that its extension says; no two objects have the same bytes.

    The digits of its name decide which background it has. One JPEG in 50 is not upright, and says so (EXIF).
    """
    name = PurePosixPath(stored.key)
    label = f"synthetic {name.name}"
    number = int("0" + "".join(digit for digit in name.name if digit.isdigit()))
    background = backgrounds[number % len(backgrounds)]
    match name.suffix.lower():
        case ".jpg" | ".jpeg":
            rotation = ROTATED[number // IMAGES_PER_ROTATED_ONE % len(ROTATED)]
            rotated = rotation if number % IMAGES_PER_ROTATED_ONE == 0 else None
            return encode(background, label, stored.caption, "JPEG", rotated, quality=75)
        case ".png":
            return encode(background, label, stored.caption, "PNG", compress_level=1)
        case ".pdf":
            made = time.struct_time((2025, 11, 8, 9, 0, 0, 5, 312, 0))  # otherwise Pillow writes the current time
            return encode(background, label, stored.caption, "PDF", creationDate=made, modDate=made)
        case ".heic":
            # The default preset takes three times as long.
            return encode(background, label, stored.caption, "HEIF", quality=75, enc_params={"preset": "ultrafast"})
        case ".mov":
            # Not a video: QuickTime's file type box, an empty media box and padding.
            return b"\0\0\0\x14ftypqt  \0\0\0\0qt  " + b"\0\0\0\x08mdat" + label.encode() + bytes(4096)
        case _:
            return label.encode()


def encode(
    background: Image.Image,
    label: str,
    caption: str,
    file_format: str,
    rotated: tuple[int, Image.Transpose] | None = None,
    **options: Any,
) -> bytes:
    """Return an encoded picture: the background with two lines of text.

    `rotated` is an orientation of EXIF, and how to rotate the picture so that it is upright where that is obeyed.
    """
    picture = background.copy()
    text = ImageDraw.Draw(picture)
    text.text((8, 6), caption, fill="black", font=font(14))
    text.text((8, 26), label, fill="black", font=font(14))
    if rotated:
        orientation, transpose = rotated
        options["exif"] = Image.Exif()
        options["exif"][ExifTags.Base.Orientation] = orientation
        picture = picture.transpose(transpose)
    file = io.BytesIO()
    picture.save(file, file_format, **options)
    return file.getvalue()


@cache
def font(size: int) -> Any:
    """Return Pillow's own font, so that every machine draws the same pictures."""
    return ImageFont.load_default(size)


def make_backgrounds() -> list[Image.Image]:
    """Return 240 footprints, no two of the same size in pixels."""
    rng = Random(SEED)
    return [make_background(rng, 200 + 2 * number // 3, 440 - number) for number in range(240)]


def make_background(rng: Random, width: int, height: int) -> Image.Image:
    """Return a footprint on a shaded background."""
    dark, skin = [tuple(rng.randint(low, low + 50) for _ in range(3)) for low in (90, 190)]
    shade = Image.linear_gradient("L").rotate(90 * rng.randrange(4)).resize((width, height))
    picture = Image.composite(
        Image.new("RGB", (width, height), "white"), Image.new("RGB", (width, height), dark), shade
    )
    foot = ImageDraw.Draw(picture)
    foot.ellipse((width * 0.35, height * 0.35, width * 0.65, height * 0.95), fill=skin)
    for toe in range(5):
        left, top, size = width * (0.33 + 0.07 * toe), height * (0.24 + 0.02 * toe), width * (0.09 - 0.008 * toe)
        foot.ellipse((left, top, left + size, top + size), fill=skin)
    return picture


def files_under(folder: Path) -> Iterator[Path]:
    """Yield all files in `folder` and below, sorted by path."""
    return (path for path in sorted(folder.rglob("*")) if path.is_file())
