"""A synthetic clinic, the same on every run: FileMaker's export, Nexus's records and the pictures in the bucket.

Nothing here comes from a real person; only the shape is that of a real export. Each row knows which outcome it was
made for, so that the demo can check what the models decide.
"""

import csv
import functools
import io
import os
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import product, repeat
from multiprocessing import get_context
from pathlib import Path, PurePosixPath
from random import Random
from typing import Any

from PIL import Image, ImageDraw, ImageFont

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
NAMES_OF_FILES = [
    "left foot", "right foot", "both feet", "scan from paper", "standing", "walking", "patient’s shoe",
    "shoe\x0bworn side",
]  # fmt: skip


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


@dataclass
class Clinic:
    """All records, each table in the column order of its seed, and all objects."""

    rows: list[Row]
    objects: list[StoredObject]
    nexus_patients: list[tuple[str, ...]]
    nexus_image_batches: list[tuple[str, ...]] = field(default_factory=list)
    nexus_images: list[tuple[str, ...]] = field(default_factory=list)
    held_images: list[tuple[str, ...]] = field(default_factory=list)

    def dump(self) -> list[StoredObject]:
        """The objects of the bulk dump."""
        return [stored for stored in self.objects if stored.key.startswith(DUMP)]


@dataclass(frozen=True)
class PatientDay:
    """One FileMaker patient on one day, and how many images were taken."""

    day: date
    patient: str
    images: int


def make_clinic() -> Clinic:
    """Invent the clinic: 6,502 rows and 6,679 objects, the same on every machine and day."""
    rng = Random(SEED)
    patients = [new_uuid(rng) for _ in range(PATIENTS_WITH_IMAGES)]
    known = patients[UNKNOWN_PATIENTS:]
    ambiguous = known[:AMBIGUOUS_PATIENTS]
    nexus_ids = {patient: new_uuid(rng).lower() for patient in known}

    rows: list[Row] = []
    spoilable: list[int] = []
    days = patient_days(rng, patients)
    numbers = iter(record_numbers(rng, sum(day.images for day in days)))
    for day in days:
        reason = "" if day.patient in nexus_ids else "patient_not_found"
        reason = "ambiguous_patient" if day.patient in ambiguous else reason
        patient_id = "" if reason else nexus_ids[day.patient]
        if day.images >= 4 and not reason:
            spoilable.append(len(rows) + 1)
        rows += [new_row(rng, next(numbers), day, patient_id, reason) for _ in range(day.images)]
    give_types(rng, rows)
    spoil(rng, rows, spoilable)

    clinic = Clinic(rows, dump_objects(rng, rows), nexus_patients(rng, nexus_ids, ambiguous))
    clinic.held_images = [(row.recid, "reviewer", "2025-11-10") for row in rows if row.reason == "held_back"]
    add_user_uploads(rng, clinic)
    return clinic


def new_uuid(rng: Random) -> str:
    """Return a version 4 UUID in upper case, as FileMaker's `Get ( UUID )` writes it."""
    return str(uuid.UUID(int=rng.getrandbits(128), version=4)).upper()


def patient_days(rng: Random, patients: Sequence[str]) -> list[PatientDay]:
    """Return all visits in order of date: each patient has at least one, and at most one on a day."""
    sizes = [size for size, count in DAYS_OF_SIZE.items() for _ in range(count)]
    rng.shuffle(sizes)
    visitors = [*patients, *rng.choices(patients, k=len(sizes) - len(patients))]
    opening_days = [
        day
        for day in (FIRST_DAY + timedelta(days=number) for number in range((LAST_DAY - FIRST_DAY).days + 1))
        if day.weekday() < 5 or (day.weekday() == 5 and rng.random() < 0.1)
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


def record_numbers(rng: Random, count: int) -> list[int]:
    """Return `count` rising numbers from 2 on, with gaps for records that were deleted."""
    last = 2 + count + DELETED_RECORDS - 1
    deleted = set(rng.sample(range(3, last), DELETED_RECORDS))
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


def camera_name(rng: Random, extension: str) -> str:
    """Return a file name such as cameras and scanners give."""
    stem = rng.choice(["IMG_{:04}", "IMG_{:04}", "DSC{:05}", "photo {}"]).format(rng.randint(1, 9999))
    return f"{stem}.{extension}"


def give_types(rng: Random, rows: list[Row]) -> None:
    """Set the types: a few are used often, and 268 once each, 20 of them with a trailing VT."""
    made_up = [f"{side} {site}{finding}" for side, site, finding in product(SIDES, SITES, FINDINGS)]
    trailing = [f"{name}\x0b" for name in ["Dorsal", "Plantar", *rng.sample(made_up, TYPES_ENDING_IN_VT - 2)]]
    rare = [*ODD_TYPES, *trailing]
    rare += rng.sample(made_up, RARE_TYPES - len(rare))
    for row in rows:
        row.type = rng.choices(list(FREQUENT_TYPES), list(FREQUENT_TYPES.values()))[0]
    for row, name in zip(rng.sample(rows, len(rare)), rare, strict=True):
        row.type = name


def spoil(rng: Random, rows: list[Row], spoilable: list[int]) -> None:
    """Put one mistake each into some rows, so that every reason for skipping occurs.

    `spoilable` are indexes of rows, at most one of a patient's day and each
    followed by two more of the same day: no day loses all of its rows.
    """
    rng.shuffle(spoilable)
    chosen = iter(spoilable)
    for reason, (name, values) in SPOILT_VALUES.items():
        for value, index in zip(values, chosen, strict=False):
            rows[index].reason = reason
            setattr(rows[index], name, value)
    for reason, count in SPOILT_ELSEWHERE.items():
        for number, index in zip(range(count), chosen, strict=False):
            rows[index].reason = reason
            if reason == "unsupported_file_type":
                rows[index].extension = UNSUPPORTED[number % len(UNSUPPORTED)]
                rows[index].file_name = camera_name(rng, rows[index].extension)
    for reason, count in DUPLICATE_PAIRS.items():
        for number, index in zip(range(count), chosen, strict=False):
            first, second = rows[index], rows[index + 1]
            first.reason = second.reason = reason
            if reason == "duplicate_recid":
                second.recid = first.recid
            else:
                first.id = first.id or new_uuid(rng)
                second.id = first.id.lower() if number == 0 else first.id


def dump_objects(rng: Random, rows: list[Row]) -> list[StoredObject]:
    """Return the objects of the bulk dump: a picture for each record, and other files that have collected there."""
    objects = []
    for row in rows:
        if row.reason in ("missing_object", "not_exported"):
            continue
        empty = row.reason == "empty_object"
        objects.append(StoredObject(f"{DUMP}{row.number}.{row.extension}", row.type.strip(), empty))
        if row.reason == "ambiguous_object":
            other = "jpg" if row.extension.lower() == "png" else "png"
            objects.append(StoredObject(f"{DUMP}{row.number}.{other}", "edited"))
    numbers = [row.number for row in rows]
    deleted = sorted(set(range(2, numbers[-1])) - set(numbers))
    objects += [
        StoredObject(f"{DUMP}{number}.jpg", "deleted in FileMaker")
        for number in rng.sample(deleted, DELETED_RECORDS_WITH_OBJECT)
    ]
    objects += [StoredObject(f"{DUMP}{number}_thumb.jpg", "thumbnail") for number in sorted(rng.sample(numbers, 45))]
    odd = ["Thumbs.db", ".DS_Store", "export log.txt", "0228.jpg", "123.1.jpg", "IMG_0042.JPG", "rescans/228.jpg"]
    return objects + [StoredObject(f"{DUMP}{name}", "no record's") for name in odd]


def nexus_patients(rng: Random, nexus_ids: dict[str, str], ambiguous: Sequence[str]) -> list[tuple[str, ...]]:
    """Return Nexus's patients: those with images (the ambiguous ones twice) and others."""
    found = [(patient_id, patient) for patient, patient_id in nexus_ids.items()]
    found += [(new_uuid(rng).lower(), patient) for patient in ambiguous]
    found += [(new_uuid(rng).lower(), new_uuid(rng)) for _ in range(PATIENTS_WITHOUT_IMAGES)]
    found += [(new_uuid(rng).lower(), "") for _ in range(PATIENTS_BORN_IN_NEXUS)]
    # The ids were typed or pasted into the notes: some are in lower case.
    return sorted((patient_id, patient.lower() if rng.random() < 0.1 else patient) for patient_id, patient in found)


def add_user_uploads(rng: Random, clinic: Clinic) -> None:
    """Add what Nexus's users uploaded themselves, also on days of the import; none of it belongs to the import."""
    for row in rng.sample([row for row in clinic.rows if not row.reason], USER_UPLOADS):
        month, day, year = map(int, row.date.split("/"))
        captured = date(year, month, day)
        batch_id = new_uuid(rng).lower()
        name = f"{captured.day} {captured:%b %Y}"
        clinic.nexus_image_batches.append((batch_id, row.patient_id, name, captured.isoformat(), "user_upload"))
        for _ in range(rng.randint(1, 3)):
            image_id = new_uuid(rng).lower()
            key = f"patients/{row.patient_id}/images/{batch_id}/{image_id}.jpg"
            clinic.nexus_images.append((image_id, batch_id, "", key))
            clinic.objects.append(StoredObject(key, "uploaded in Nexus"))


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
    numbered = list(enumerate(objects))
    parts = [numbered[first::DRAWING_PROCESSES] for first in range(DRAWING_PROCESSES)]
    with ProcessPoolExecutor(DRAWING_PROCESSES, get_context("spawn")) as pool:
        list(pool.map(draw_part, parts, repeat(folder)))


def draw_part(numbered: list[tuple[int, StoredObject]], folder: Path) -> None:
    """Write the content of these objects; an object's number decides its background."""
    backgrounds = make_backgrounds()
    for number, stored in numbered:
        path = folder / stored.key
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(path, b"" if stored.empty else content(stored, backgrounds[number % len(backgrounds)]))


def content(stored: StoredObject, background: Image.Image) -> bytes:
    """Return the bytes of one object, of the kind that its extension says; no two objects have the same bytes."""
    name = PurePosixPath(stored.key)
    label = f"synthetic {name.name}"
    match name.suffix.lower():
        case ".jpg" | ".jpeg":
            return encode(background, label, stored.caption, "JPEG", quality=75)
        case ".png":
            return encode(background, label, stored.caption, "PNG", compress_level=1)
        case ".pdf":
            made = time.struct_time((2025, 11, 8, 9, 0, 0, 5, 312, 0))  # otherwise Pillow writes the current time
            return encode(background, label, stored.caption, "PDF", creationDate=made, modDate=made)
        case ".heic":
            # Pillow cannot encode HEIC: this is a file type box as iPhones write it, and padding.
            return b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + label.encode() + bytes(4096)
        case ".mov":
            # Not a video either: QuickTime's file type box and an empty media box.
            return b"\0\0\0\x14ftypqt  \0\0\0\0qt  " + b"\0\0\0\x08mdat" + label.encode()
        case _:
            return label.encode()


def encode(background: Image.Image, label: str, caption: str, file_format: str, **options: Any) -> bytes:
    """Return an encoded picture: the background with two lines of text."""
    picture = background.copy()
    text = ImageDraw.Draw(picture)
    text.text((8, 6), caption, fill="black", font=font(14))
    text.text((8, 26), label, fill="black", font=font(14))
    file = io.BytesIO()
    picture.save(file, file_format, **options)
    return file.getvalue()


@functools.cache
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
