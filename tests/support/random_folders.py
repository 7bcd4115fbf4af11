"""Random data folders: small, dense and nasty ones from Hypothesis, and large ones from a random seed.

Everything is built from one kind of choice, `below(n)`: a number from 0 to
n - 1. Hypothesis makes it, and makes it smaller when it looks for the simplest
folder that fails; so the plainest alternative always comes first.
"""

import random
import uuid
from collections.abc import Callable
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import NamedTuple

from hypothesis import strategies as st

from linkage.seeds import SEED_COLUMNS
from sandbox.settings import DEFAULT_VARS
from tests.support.oracle import NAMESPACE


class SeedFile(NamedTuple):
    """One CSV file: its rows of texts, and how it is written."""

    rows: list[tuple[str, ...]]
    bom: bool = False
    crlf: bool = False
    quote_all: bool = False
    extra_column: bool = False
    last_line_ends: bool = True


class Folder(NamedTuple):
    """A data folder, and the dbt vars to read it with (`today` always among them)."""

    settings: dict[str, str | bool | list[str]]
    files: dict[str, SeedFile]


# --- Values --------------------------------------------------------------------------------------------------------

WHITE_SPACE = (" ", "\n", "\t", "\v", "\f", "\r", "\u00a0", "\n ", " \u00a0\n", "\r\n")
# Around a value these are part of it: white space is seven characters and no others.
NO_WHITE_SPACE = ("\u2003", "\u200b", "\ufeff", "\u0085")
TEXTS = (
    "?", "NULL", "null", "NaN", "None", "\\N", "''", '"', ",", "a,b", 'say "so"', "two\nlines", "Füße 足 🦶", "{recid}",
)  # fmt: skip

# FileMaker's patients: hex digits of no RFC version, all digits, all letters.
PATIENTS = (
    "1b4e28ba-2fa1-11d2-883f-0016d3cca427", "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
    "00000000-0000-0000-0000-000000000001", "deadbeef-0000-ffff-0000-00000000beef",
    "12345678-1234-1234-1234-123456789012", "ffffffff-ffff-ffff-ffff-ffffffffffff",
)  # fmt: skip
NO_UUIDS = (
    "1b4e28ba-2fa1-11d2-883f-0016d3cca42", "1b4e28ba-2fa1-11d2-883f-0016d3cca427a",
    "1b4e28ba2fa111d2883f0016d3cca427", "{1b4e28ba-2fa1-11d2-883f-0016d3cca427}",
    "1b4e28ba-2fa1-11d2-883f-0016d3cca42g", "1b4e28ba-2fa1-11d2-883f 0016d3cca427",
    "1b4e28ba-2fa1-11d2-883f-0016d3cca427\n1b4e28ba-2fa1-11d2-883f-0016d3cca427", "17",
)  # fmt: skip
NO_RECIDS = (
    "", "0", "?", "-5", "6.5", "1,00", "0006,066", "1e3", "٣", "1234567890123456789", "0.0", "6 066", "1.0.0", "+7",
    ".0", "0x10", "1_000", "5\n6", ",005", "1,,000",
)  # fmt: skip
NO_DATES = (
    "?", "NULL", "11/5", "11/5/16", "11/5/20016", "11//2016", "111/5/2016", "11/5/2016 10:00", "Nov 5 2016", "20161105",
    "11 / 5 / 2016", "11\\5\\2016", "1١/5/2016", "11/5/2016/", "0/0/0000", "11/5\n/2016", "-1/5/2016", "11:5:2016",
)  # fmt: skip
# Month, day and year as somebody typed them; no calendar has them.
IMPOSSIBLE_DAYS = (
    (2, 30, 2016), (2, 29, 2015), (2, 29, 1900), (13, 13, 2016), (0, 5, 2016), (11, 0, 2016), (11, 5, 0), (4, 31, 2017),
)  # fmt: skip
DAYS = (
    date(2016, 11, 5), date(2016, 10, 18), date(2016, 5, 11), date(2016, 2, 29), date(2000, 2, 29), date(2017, 5, 3),
    date(1, 1, 1), date(999, 12, 31), date(9999, 12, 31),
)  # fmt: skip
TYPES = (
    "Dorsal", "Plantar", "Dorsal\n", " Left Dorsal ", "Medicare Card", "", "R-Brannock", "L - Brannock / 2",
    "Dorsal, Posterior", '"Plantar"', "\u00a0", "?", "NULL", "É tude", "ŒDÈME 3", "—", "-x-", "two\nlines",
)  # fmt: skip
NEXUS_PATIENTS = ("0b9d1f0a", "9a000000", "fe000000")
EXTENSIONS = (
    "jpg", "jpg", "jpg", "JPG", "png", "HEIC", "jpeg", "pdf", "tIfF", "mov", "j pg", "j,pg", 'j"pg', "j'pg", "jpg ",
    "gİf", "{recid}", "j\npg", "ＪＰＧ", "足",
)  # fmt: skip
FILE_NAMES = (
    "IMG_1.jpg",
    "IMG_2.HEIC",
    "IMG_3.JPEG",
    "scan.pdf",
    "",
    "4.png",
    "5.Png ",
    "a.tiff",
    "clip.mp4",
    "photo.2016",
    "Smith.J",
    "no extension",
    "a.b.jpg",
    "jpg",
    "6.jpg\n",
)
# Some of the words that name an identity document, and what may be around them.
IDENTITY_WORDS = ("medicare", "pension", "passport", "dva", "licence", "healthcare", "centrelink")
AROUND_IDENTITY_WORDS = (
    "{word}", "{word} card", "{Word} Card", "{WORD}", "my{Word}Card 2", "{word}2{word}", "a/{Word}.jpg", "{word}\n",
    "Ü{Word}ß", "{WORD}_{recid}", "pension&{word}", "{word}'s", "{word}", "1{WORD}1", "9{Word}X",
    # none of these has the word
    "{word}s and more", "{word}card", "X{WORD}", "{Word}card", "un{word}", "{WORD}Card",
)  # fmt: skip
# Names under the prefix without a recid; `{n}` is a recid that is in use.
ODD_NAMES = (
    "{n}_thumb.jpg", "{n}.1.jpg", "0{n}.jpg", "sub/{n}.jpg", "{n}", "{n}.", ".jpg", "", "Thumbs.db", "{n} .jpg",
    "-{n}.jpg", "{n}.jpg/", "1234567890123456789.jpg", "{n}\n.jpg", "0.jpg", "٣.jpg", "/{n}.jpg", "{n},0.jpg",
)  # fmt: skip
SIZES = (
    "0", "0", "0", "2048", "00", "", "?", "-1", "1.5", " 0", "0 ", "1,024", "1234567890123456789",
    "000000000000000042", "0000000000000000042", "1", "2047", "52428800", "52428801", "123456789012345678",
)  # fmt: skip
# After an ETag of 32 digits: of several parts, encrypted, cut off.
NO_MD5S = ("-2", "-10000", "0", " ", "g", '"', "\u0661")
BUCKETS = ("clinic-dump", "clinic-dump", "clinic-dump", "second-bucket")
PREFIXES = ("", "dump/", "dump 1/", 'dump, "old" & o\'ne/', "du_p%/(1).+[a]/", "dümp\\/", "dump/1/")
TEMPLATES = (
    "{recid}.{extension}", "{patient_id}/{captured_date}/{filemaker_id}/{recid}.{extension}",
    "{batch_id} a,b \"c\" it's/{recid}-{recid}", "100%/_{captured_date}_{recid}_{filemaker_id}.{extension}",
    "a~1/$1/{recid}",
)  # fmt: skip

Below = Callable[[int], int]


def pick(below, values):
    """One of `values`."""
    return values[below(len(values))]


def once_in(below, times):
    """True about once in `times`."""
    # Not the last number, nor the first: Hypothesis likes both more than the others.
    return below(times) == times // 2


def around(below, text, often=8):
    """`text`, now and then with white space at its ends, seldom with something that only looks like it."""
    if not once_in(below, often):
        return text
    if once_in(below, 8):
        return pick(below, NO_WHITE_SPACE) + text
    return pick(below, ("", *WHITE_SPACE)) + text + pick(below, WHITE_SPACE)


def any_case(below, text):
    """`text` in upper case, as FileMaker writes it, or lower, or mixed."""
    return pick(below, (text.upper(), text.upper(), text.lower(), text.capitalize()))


def recid_text(below, recid):
    """One of the ways to write a recid."""
    plain = str(recid)
    if not once_in(below, 3):
        return plain
    return pick(
        below,
        (
            f"{plain}.0",
            f"{plain}.",
            f"{plain}.000",
            f"0{plain}",
            f"{recid:,}",
            f"{recid:07,}",
            f"{recid:025d}",
            f"{recid:,}.0",
        ),
    )


def date_text(below, day, order):
    """One of the ways to write (month, day, year) in an order."""
    month, day_of_month, year = day
    width = pick(below, (1, 2))
    parts = {"m": f"{month:0{width}d}", "d": f"{day_of_month:0{width}d}", "y": f"{year:04d}"}
    first, second, third = (parts[part] for part in order)
    separators = pick(below, ("//", "//", "--", "..", "/-", ".-"))
    return first + separators[0] + second + separators[1] + third


def identity_text(below, recid):
    """A text that names an identity document, or nearly so."""
    word = pick(below, IDENTITY_WORDS)
    form = pick(below, AROUND_IDENTITY_WORDS)
    text = form.format(word=word, Word=word.capitalize(), WORD=word.upper(), recid=recid)
    if once_in(below, 8):
        # a dotted capital I, or the sign for kelvin, which are not ASCII
        return text.replace(*pick(below, (("k", "\u212a"), ("i", "İ"))))
    return text


def mistyped(below, text):
    """`text` with one character more, less or different; seldom with two swapped, which is another mistake."""
    place = below(len(text) + 1)
    kept = pick(below, (0, 1, 1))
    typed = pick(below, ("", "", "x", " ", "É", "🦶", "\n"))
    if once_in(below, 8):
        return text[:place] + text[place : place + 2][::-1] + text[place + 2 :]
    return text[:place] + typed + text[place + kept :]


def nearly(below, patient):
    """A UUID that is nearly that of `patient`: one digit is different, two are swapped, or a little more."""
    digits = list(patient.replace("-", ""))
    first, second = below(32), below(32)
    kind = pick(below, ("one", "swapped", "neighbours", "two"))
    if kind == "neighbours":
        second = (first + 1) % 32
    if kind in ("swapped", "neighbours"):
        digits[first], digits[second] = digits[second], digits[first]
    else:
        digits[first] = pick(below, "0f7a")
    if kind == "two":
        digits[second] = pick(below, "1e8b")
    return str(uuid.UUID("".join(digits)))


def name_based_id(name):
    """The id for a name."""
    return str(uuid.uuid3(NAMESPACE, name))


# --- The settings --------------------------------------------------------------------------------------------------


def make_settings(below):
    """The dbt vars, each at its default or at another value."""
    settings = dict(DEFAULT_VARS)
    settings["today"] = pick(below, ("2026-01-01", "2017-12-31", "2016-11-05", "9999-12-31"))
    settings["filemaker_date_order"] = pick(below, ("mdy", "mdy", "dmy", "ymd"))
    if once_in(below, 2):
        settings["source_prefix"] = pick(below, PREFIXES)
    if once_in(below, 2):
        settings["destination_key_template"] = pick(below, TEMPLATES)
    if once_in(below, 3):
        settings["destination_bucket"] = pick(below, ("clinic-dump", "nexus-media"))
    if settings["source_prefix"] == "":
        # Otherwise every destination is under the source prefix.
        settings["destination_bucket"] = "nexus-media"
    if once_in(below, 3):
        settings["batch_name_suffix"] = pick(below, ("", ' (o\'ld "FM", 100%)', "足"))
    if once_in(below, 3):
        settings["import_source"] = pick(below, ("manual", 'it\'s, "FM"'))
    if once_in(below, 3):
        settings["image_extensions"] = pick(
            below,
            (
                ["JPG"],
                ["jpg", "GIF"],
                ["jpg", "HEIC", "Pdf"],
                ["png", "GIF"],
            ),
        )
    settings["unlinked_policy"] = pick(below, ("report", "copy"))
    settings["record_numbers_confirmed"] = once_in(below, 4)
    return settings


# --- The export ----------------------------------------------------------------------------------------------------


class World(NamedTuple):
    """What the files of one folder have in common."""

    settings: dict[str, str | bool | list[str]]
    patients: list[str]
    days: list[date]
    visits: list[tuple[str, date]]
    filemaker_ids: list[str]
    recids: list[int]
    weekends: int  # if not 0, one image in so many was taken on one


def make_world(below, rows):
    """Patients, days, image ids and recids for about this many rows: few, so that rows share them."""
    settings = make_settings(below)
    today = date.fromisoformat(settings["today"])
    days = [DAYS[below(len(DAYS))] for _ in range(3)] + [date(2016, 11, 5), today]
    if today < date.max:
        days.append(today + timedelta(days=1))
    patients = list(PATIENTS)
    weekends = pick(below, (0, 80, 40, 0)) if rows > 100 else 0
    if rows > 100:
        patients += [name_based_id(f"patient:{number}") for number in range(rows // 10)]
        days += [date(2016, 1, 4) + timedelta(days=number) for number in range(rows // 10)]
    patients += [nearly(below, pick(below, patients)) for _ in range(2 + rows // 30)]
    if weekends:
        days = [day for day in days if day.weekday() < 5]
    visits = [(pick(below, patients), pick(below, days)) for _ in range(3 + below(3) + rows // 5)]
    # many images of a few days, of which about 30 are linked
    frequent = visits[: max(3, rows // 500)]
    visits += frequent * (3 * rows // 10 // len(frequent))
    first = pick(below, (1, 228, 995, 6060, 999_999_999_999_999_999 - 2 * rows))
    recids = [first + number for number in range(rows + 3)]
    return World(
        settings,
        patients,
        days,
        visits,
        [f"{number:08x}-abcd-0000-efef-{number * 7919:012x}" for number in range(rows + 3)],
        recids,
        weekends,
    )


def make_export_row(below, world, number, exported):
    """One row of the export: one that may be linked, or every other time one with things wrong in it."""
    bad = once_in(below, 2)
    recid = recid_text(below, world.recids[number])
    if bad and once_in(below, 10):
        recid = pick(below, NO_RECIDS)
    elif bad and once_in(below, 10):
        recid = recid_text(below, pick(below, world.recids))

    filemaker_id = any_case(below, world.filemaker_ids[number])
    if bad and once_in(below, 8):
        filemaker_id = pick(below, ("", *NO_UUIDS, *TEXTS))
    elif bad and once_in(below, 10):
        filemaker_id = any_case(below, pick(below, world.filemaker_ids))

    patient, day = (
        pick(below, world.visits) if once_in(below, 2) else (pick(below, world.patients), pick(below, world.days))
    )
    if world.weekends and once_in(below, world.weekends):
        day += timedelta(days=(5 + below(2) - day.weekday() if day < date.max else 0))
    contact = any_case(below, patient)
    if bad and once_in(below, 5):
        contact = pick(below, ("", *NO_UUIDS, *TEXTS)) if once_in(below, 2) else ""

    order = world.settings["filemaker_date_order"]
    captured = date_text(below, (day.month, day.day, day.year), order)
    if bad and once_in(below, 5):
        other_orders = [other for other in ("mdy", "dmy", "ymd") if other != order]
        captured = pick(
            below,
            (
                "",
                "",
                date_text(below, pick(below, IMPOSSIBLE_DAYS), order),
                date_text(below, (day.month, day.day, day.year), pick(below, other_orders)),
                pick(below, NO_DATES),
            ),
        )

    image_type = pick(below, TYPES)
    if once_in(below, 6):
        # one of those that about 20 rows have
        image_type = f"Site {37 * below(1 + len(world.recids) // 120)}"
    if once_in(below, 20):
        image_type = mistyped(below, image_type)
    file_name = pick(below, (*FILE_NAMES, pick(below, TEXTS)))
    name_of_file = pick(below, ("?", "left foot", *TEXTS))
    if once_in(below, 8):
        texts = [image_type, file_name, name_of_file]
        texts[below(3)] = identity_text(below, recid)
        image_type, file_name, name_of_file = texts

    exported_on = pick(below, ("", "", " ", "\u00a0\n"))
    if exported and not (bad and once_in(below, 6)):
        exported_on = around(below, pick(below, ("12/19/2025", "?")))
    return (
        around(below, recid),
        around(below, contact),
        around(below, captured),
        image_type,
        pick(below, ("", "", *TEXTS)),
        around(below, filemaker_id),
        file_name,
        name_of_file,
        exported_on,
    )


# --- S3 ------------------------------------------------------------------------------------------------------------


def make_object(below, world, name):
    """One inventory row for a name under the prefix, or seldom outside it."""
    prefix = world.settings["source_prefix"]
    if once_in(below, 20):
        prefix = pick(
            below, ("elsewhere/", prefix.upper(), prefix[:-1], "x" + prefix, prefix.replace("_", "m").replace("%", "x"))
        )
    size = pick(below, SIZES) if once_in(below, 3) else str(1 + below(9999))
    etag = f"{below(65536):032x}"
    if once_in(below, 3):
        # Some objects have the same bytes.
        content = below(pick(below, (2, 2 + len(world.recids) // 8)))
        etag, size = name_based_id(f"content:{content}").replace("-", ""), str(3_000 + content)
        size = pick(below, (size, size, size, size, "0", "", f"0{size}", "2047"))
        etag = pick(below, (etag, etag, etag.upper()))
    if once_in(below, 12):
        etag += pick(below, NO_MD5S)
    if once_in(below, 30):
        etag = pick(below, ("", etag[1:], f" {etag}"))
    return (
        pick(below, BUCKETS),
        prefix + name,
        size,
        etag,
        pick(below, ("2025-12-20T08:00:00+00:00", "", "?")),
        pick(below, ("STANDARD", "GLACIER", "")),
    )


def make_inventory(below, world):
    """One object for most recids, none or several for some; and names without a recid."""
    objects = []
    for recid in world.recids:
        for _ in range(pick(below, (1, 1, 1, 1, 1, 1, 1, 0, 2, 1))):
            extension = pick(below, EXTENSIONS) if once_in(below, 2) else "jpg"
            objects.append(make_object(below, world, f"{recid}.{extension}"))
            if once_in(below, 40):
                objects.append(objects[-1])
    for _ in range(below(3)):
        objects.append(make_object(below, world, pick(below, ODD_NAMES).replace("{n}", str(pick(below, world.recids)))))
    if once_in(below, 3):
        objects.append(make_object(below, world, f"{world.recids[0] + 900_000}.jpg"))
    objects = [row for row in objects if row[1] != ""]
    if once_in(below, 6):  # lines without a key or a bucket
        objects += [("clinic-dump", "", "5", "e", "", ""), ("", f"{world.settings['source_prefix']}x", "", "e", "", "")]
    return objects


# --- Nexus ---------------------------------------------------------------------------------------------------------


def pasted(below, patient):
    """`patient` as somebody pasted it into Nexus: seldom with braces, blanks or other hyphens."""
    if not once_in(below, 12):
        return patient
    digits = patient.replace("-", "")
    other = f"{digits[:6]}-{digits[6:20]}-{digits[20:]}"
    return pick(below, (f"{{{patient}}}", digits, f"{{ {patient} }}", patient.replace("-", " - "), other, f"{digits}0"))


def make_nexus_patients(below, world):
    """(Nexus patient, FileMaker patient) pairs: mostly one each, sometimes none, two, or one twice."""
    pairs = []
    for number, patient in enumerate(world.patients):
        for copy in range(pick(below, (1, 1, 1, 1, 0, 2))):
            # A second Nexus patient for the same id; or the same one again, written differently.
            other = number if once_in(below, 3) else number + 100_000 * copy
            if once_in(below, 15):
                other = 0
            nexus = f"{NEXUS_PATIENTS[other % 3]}-0000-4000-8000-{other:012x}"
            pairs.append(("17" if once_in(below, 30) else nexus, patient))
    pairs += [("", world.patients[0])] * once_in(below, 20)
    rows = [
        (around(below, any_case(below, nexus)), around(below, any_case(below, pasted(below, patient))))
        for nexus, patient in pairs
    ]
    return pairs, rows + [("0b9d1f0a-0000-4000-8000-0000000000ff", pick(below, ("", *TEXTS)))] * once_in(below, 4)


def make_nexus_batches(below, world, pairs):
    """Batches that Nexus holds: some for a patient and day of the export, in several copies or from other sources.

    An id that is used for a second patient or day has another source, so that no id is reused for two batches.
    """
    rows, owners = [], {}
    nexus_of = {patient: nexus for nexus, patient in pairs}
    for number in range(below(6) + len(world.visits) // 10):
        patient, day = pick(below, world.visits)
        nexus = nexus_of.get(patient, "")
        source = world.settings["import_source"]
        if once_in(below, 4):
            source = pick(below, ("scanner", "", "FILEMAKER_IMPORT"))
        captured = day.isoformat()
        if once_in(below, 5):
            captured = date_text(below, (day.month, day.day, day.year), "ymd")
        elif once_in(below, 12):
            captured = pick(below, ("", "2016-02-30", f"{captured}T00:00:00", f"{day.month}/{day.day}/{day.year}"))
        # Ids of their own; the one computed here; or that one under a patient's former id.
        kind = pick(below, ("own", "computed", "former"))
        if kind == "former":
            nexus = "f0000000-0000-4000-8000-00000000f0f0"
        for copy in range(pick(below, (1, 1, 2, 3))):
            batch_id = name_based_id(f"image_batch:{patient}:{day.isoformat()}")
            if kind == "own":
                batch_id = f"{0xB0000000 - number * 0x10101:08x}-0000-4000-8000-{copy:012x}"
            if owners.setdefault(batch_id, (nexus, day)) != (nexus, day):
                source = "scanner"
            rows.append(
                (
                    "" if once_in(below, 12) else around(below, any_case(below, batch_id)),
                    around(below, any_case(below, nexus)),
                    pick(below, ("5 Nov 2016", "", 'o\'ld, "name"')),
                    around(below, captured),
                    around(below, source),
                )
            )
    return rows, list(owners)


def some_record(below, world):
    """The place of a record in the export, every other time one of the first 24: of these more is known."""
    return below(min(24, len(world.recids)) if once_in(below, 2) else len(world.recids))


def make_nexus_images(below, world, batch_ids, inventory):
    """Images that Nexus holds, each known to a row of the export in one way or in none."""
    rows = []
    for number in range(below(4) + len(world.recids) // 40):
        which = some_record(below, world)
        recid, filemaker_id = world.recids[which], world.filemaker_ids[which]
        way = pick(below, ("none", "uuid", "recid", "id", "recid_id", "key", "two"))
        image_id, known_as, key = f"{0xC0000000 - number * 0x101:08x}-0000-4000-8000-000000000000", "", ""
        if way in ("uuid", "two"):
            known_as = any_case(below, filemaker_id)
        elif way == "recid":
            known_as = recid_text(below, recid)
        elif way == "id":
            image_id = name_based_id(f"image:{filemaker_id}")
        elif way == "recid_id":
            image_id = name_based_id(f"image:recid:{recid}")
        elif way == "none":
            known_as = pick(below, ("", "", *NO_RECIDS, *NO_UUIDS))
            key = pick(below, ("", f"patients/{recid}.jpg", f"{recid}.jpg"))
        if way in ("key", "two") and inventory:
            key = pick(below, inventory)[1] + pick(below, ("", "", "", " "))
        image_id = "" if once_in(below, 6) else around(below, any_case(below, image_id))
        batch_id = pick(below, ("0b000000-0000-4000-8000-00000000000b", "", *batch_ids))
        rows.append((image_id, around(below, any_case(below, batch_id)), around(below, known_as), key))
    return rows


def make_left_batches(below, export):
    """Batches whose patient is gone from Nexus, with images of the export: mostly of one FileMaker patient's."""
    batches, images = [], []
    for number in range(below(3) if export else 0):
        batch_id = f"e0000000-0000-4000-8000-{number:012x}"
        batches.append((batch_id, "f0000000-0000-4000-8000-0000000000e0", "left", "2016-11-05", "filemaker_import"))
        contact = pick(below, export)[1].strip().lower()
        rows = [row for row in export if row[1].strip().lower() == contact or once_in(below, 20)]
        for row in rows[: 1 + below(2)]:
            images.append((f"d0000000-0000-4000-8000-{len(images):012x}", batch_id, row[5], ""))
    return batches, images


# --- The folder ----------------------------------------------------------------------------------------------------


def make_held_images(below, world):
    """Records that a reviewer holds back, written as a person writes them."""
    count = below(3) + len(world.recids) // 50
    return [
        (
            around(
                below,
                recid_text(below, world.recids[some_record(below, world)])
                if not once_in(below, 8)
                else pick(below, NO_RECIDS),
            ),
            pick(below, ("reviewer", "")),
            pick(below, ("2025-12-20", "", "?")),
        )
        for _ in range(count)
    ]


def make_copy_results(below, world):
    """Outcomes of earlier runs, which must change no row's outcome."""
    return [
        (
            "run-1",
            pick(below, ("2026-01-05T09:12:44+00:00", "?")),
            "?" if once_in(below, 8) else name_based_id(f"image:{pick(below, world.filemaker_ids)}"),
            "clinic-dump",
            f"{world.settings['source_prefix']}{world.recids[some_record(below, world)]}.jpg",
            pick(below, ("d41d8cd98f00b204e9800998ecf8427e", "")),
            "clinic-dump",
            pick(below, ('patients/a b, "c"/1.jpg', "", f"patients/{pick(below, world.recids)}")),
            "",
            pick(below, SIZES),
            pick(below, ("copied", "already_present", "conflict", "source_missing", "failed", "?")),
            pick(below, ("1", "")),
            pick(below, ("", 'SlowDown, try "later"')),
        )
        for _ in range(below(4) + len(world.recids) // 20)
    ]


def rearranged(below, rows):
    """The same rows in another order, which must not matter; or, instead of few rows, none: a header-only file."""
    if len(rows) <= 100 and once_in(below, 40):
        return []
    if once_in(below, 3):
        cut = below(len(rows) + 1)
        return rows[cut:][::-1] + rows[:cut]
    return rows


def make_folder(below: Below, rows: int) -> Folder:
    """A data folder with up to `rows` export rows."""
    world = make_world(below, rows)
    exported = not once_in(below, 3)
    export = [make_export_row(below, world, number, exported) for number in range(rows)]
    inventory = make_inventory(below, world)
    pairs, nexus_patients = make_nexus_patients(below, world)
    nexus_batches, batch_ids = make_nexus_batches(below, world, pairs)
    nexus_images = make_nexus_images(below, world, batch_ids, inventory)
    left_batches, images_in_left_batches = make_left_batches(below, export)
    # A wrong setting or a wrong mapping takes every row at once, and leaves a large folder nothing to compare.
    trouble = pick(below, ("none", "none", "none", "none", "none", "prefix", "mapping", "none"))
    if rows > 100:
        trouble = "none"
    if trouble == "prefix" and world.settings["source_prefix"]:
        inventory = [(bucket, "elsewhere/" + key.rsplit("/")[-1], *rest) for bucket, key, *rest in inventory]
    elif trouble == "mapping":
        nexus_patients = [(patient, f"{{{known_as}}}") for patient, known_as in nexus_patients]
        nexus_images, images_in_left_batches = [], []
    tables = {
        "filemaker_images_metadata": export,
        "s3_inventory": inventory,
        "nexus_patients": nexus_patients,
        "nexus_image_batches": nexus_batches + left_batches,
        "nexus_images": nexus_images + images_in_left_batches,
        "held_images": make_held_images(below, world),
        "copy_results": make_copy_results(below, world),
    }
    files = {}
    for seed, table in tables.items():
        form = [once_in(below, times) for times in (4, 4, 4, 10)]
        rows = rearranged(below, table)
        # without a line end, even the header of copy_results.csv counts as cut off
        ends = not once_in(below, 6) or (seed == "copy_results" and not rows)
        files[seed] = SeedFile(rows, *form, last_line_ends=ends)
    return Folder(world.settings, files)


@cache
def numbers_below(count):
    return st.integers(0, count - 1)


@st.composite
def data_folders(draw: st.DrawFn, rows: int = 24) -> Folder:
    """Folders of up to `rows` export rows, in which every reason comes up."""
    few, more = st.integers(0, 3), st.integers(8, rows)
    return make_folder(
        lambda count: draw(numbers_below(count)), draw(st.one_of(few, more, more, more, more, more, more))
    )


def write_folder(folder: Folder, path: Path) -> None:
    """Write the seven CSV files into the folder `path`, which is created if missing."""
    path.mkdir(parents=True, exist_ok=True)
    for seed, file in folder.files.items():
        header, *rows = [SEED_COLUMNS[seed], *file.rows]
        if file.extra_column:
            header, rows = (*header, "remark"), [(*row, 'new, "unknown"') for row in rows]
        line_end = "\r\n" if file.crlf else "\n"
        text = line_end.join(",".join(quoted(value, file.quote_all) for value in row) for row in [header, *rows])
        text = ("\ufeff" if file.bom else "") + text + (line_end if file.last_line_ends else "")
        (path / f"{seed}.csv").write_bytes(text.encode())


def quoted(value, always):
    """`value` as RFC 4180 requires it. (Before 3.13 the csv module leaves a lone CR unquoted.)"""
    if always or any(character in value for character in ',"\r\n'):
        return '"' + value.replace('"', '""') + '"'
    return value


def large_folder(seed: int, rows: int, path: Path) -> dict[str, str | bool | list[str]]:
    """Write a folder with `rows` export rows, the same for the same `seed`; its settings are returned."""
    folder = make_folder(random.Random(seed).randrange, rows)
    write_folder(folder, path)
    return folder.settings
