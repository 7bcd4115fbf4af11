"""The synthetic clinic of `make demo` has the shape of a real one, and the demo notices what is wrong."""

import csv
import hashlib
import io
import re
from collections import Counter
from datetime import date

import pillow_heif
import pytest
from PIL import ExifTags, Image, ImageChops, ImageOps, ImageStat

from demo import checks, commands
from linkage.paths import PROJECT_ROOT
from linkage.seeds import make_missing_seeds
from sandbox import clinic as synthetic
from sandbox.clinic import (
    DUMP,
    EXPORT_NAME,
    StoredObject,
    calendar_date,
    draw_objects,
    draw_part,
    make_backgrounds,
    make_clinic,
)
from tests.support.clinics import write_data_folder
from tests.support.projects import InProcess, Project

DATE, _, ID, ID_CONTACT, NAME_OF_FILE, _, RECID, TYPE = range(8)
SHA256 = {
    EXPORT_NAME: "cf3bee16869a9434b750bda19f064ed6df826b5bf535591a41aff941ffe9f06b",
    "held_images.csv": "54b1e0e167e586d79ae18157f4d19b1cb54fbd8db74760110126f3aa7807078e",
    "nexus_image_batches.csv": "39efd8a7e1b58cf9ac379cb9eee54eb906d8bb403b4a11aaaadf81f03dae8dac",
    "nexus_images.csv": "aed19dfa00102765c55ab19b1c0383138c9dbe73105d1db38b067b8e3702589f",
    "nexus_patients.csv": "a122a8026d6b92f2a05ca933bcca5ac278c830c8dc79311e77cf8fd3cbb9470e",
}
UUID = r"[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}"


@pytest.fixture(scope="module")
def clinic():
    return make_clinic()


@pytest.fixture(scope="module")
def folder(clinic, tmp_path_factory):
    path = tmp_path_factory.mktemp("clinic")
    synthetic.write_records(clinic, path)
    return path


@pytest.fixture(scope="module")
def records(folder):
    """The export's records, read from its bytes without the code that wrote them."""
    content = (folder / EXPORT_NAME).read_bytes()
    assert content.endswith(b"\r") and b"\n" not in content
    return [record.split("\t") for record in content.decode(synthetic.EXPORT_ENCODING)[:-1].split("\r")]


def planted(clinic, finding):
    return {found.recid for found in clinic.planted if found.finding == finding}


def test_the_export_has_6502_records_of_eight_fields_and_no_header(records):
    assert len(records) == 6_502
    assert {len(record) for record in records} == {8}
    assert "recid" not in records[0]


def test_dates_are_unpadded_from_2016_to_2025_and_go_back_as_recid_rises_only_where_that_was_planted(clinic, records):
    out_of_order = planted(clinic, "date_out_of_order")
    numbered = sorted((record for record in records if record[RECID].isdigit()), key=lambda record: int(record[RECID]))
    numbered = [record for record in numbered if int(record[RECID]) not in out_of_order]
    dates = [found for record in numbered if (found := calendar_date(record[DATE]))]
    assert dates == sorted(dates)
    assert (dates[0].year, dates[-1].year) == (2016, 2025)
    assert not [record for record in records if re.search("^0|/0", record[DATE]) and calendar_date(record[DATE])]


def test_most_days_are_weekdays_and_most_dates_cannot_be_read_with_the_day_first(records):
    dates = [found for record in records if (found := calendar_date(record[DATE]))]
    assert 0 < sum(day.weekday() >= 5 for day in dates) / len(dates) < 0.02
    assert sum(day.day > 12 for day in dates) > 3_000


def test_recids_start_at_2_and_leave_about_600_gaps(records):
    numbers = {int(record[RECID]) for record in records if record[RECID].isdigit()}
    assert min(numbers) == 2
    assert 590 <= max(numbers) - 1 - len(numbers) <= 610


def test_about_1300_patients_have_1667_days_with_1_to_15_images_most_often_5_and_once_33(clinic, records):
    out_of_order = planted(clinic, "date_out_of_order")
    days = Counter(
        (record[ID_CONTACT], record[DATE])
        for record, row in zip(records, clinic.rows, strict=True)
        if row.reason not in synthetic.SPOILT_VALUES and row.number not in out_of_order
    )
    assert len(days) == sum(synthetic.DAYS_OF_SIZE.values()) == 1_667
    assert set(days.values()) == {*range(1, 16), 33}
    assert Counter(days.values()).most_common(1)[0][0] == 5
    assert 1_250 <= len({patient for patient, _ in days}) <= 1_310


def test_there_are_about_290_types_most_used_once_and_20_with_a_trailing_vt(records):
    types = Counter(record[TYPE] for record in records)
    assert 280 <= len(types) <= 300
    assert sum(count == 1 for count in types.values()) > 200
    assert sum(count for name, count in types.items() if name.endswith("\x0b")) == 20
    best_known = "Dorsal, Posterior, Planter, R-Brannock, L-Brannock, Plantar, Left Dorsal, Medicare Card"
    assert all(types[name] > 20 for name in best_known.split(", "))


def test_a_quarter_of_the_free_text_names_are_question_marks_and_some_contain_a_vt(records):
    names = [record[NAME_OF_FILE] for record in records]
    assert 0.23 < names.count("?") / len(names) < 0.27
    assert any("\x0b" in name.strip("\x0b") for name in names)


def test_ids_are_upper_case_uuids(records):
    for column in (ID, ID_CONTACT):
        good = sum(re.fullmatch(UUID, record[column]) is not None for record in records)
        assert good > 6_450
    assert sum(record[ID] == "" for record in records) < 20


def test_every_reason_applies_to_some_row_and_patient_not_found_to_most(clinic):
    with (PROJECT_ROOT / "seeds" / "reference" / "reasons.csv").open(encoding="utf-8", newline="") as file:
        known = {line["reason"] for line in csv.DictReader(file) if line["applies_to"] == "row"}
    reasons = Counter(row.reason for row in clinic.rows if row.reason)
    assert reasons.keys() == known
    assert 300 <= reasons.total() < 402
    assert 6_100 <= len(clinic.rows) - reasons.total() < 6_200
    assert reasons.most_common(1)[0][0] == "patient_not_found"
    assert 100 <= reasons["patient_not_found"] <= 200
    assert 24 <= len({row.id_contact for row in clinic.rows if row.reason == "patient_not_found"}) <= 60


def test_linked_rows_have_one_patient_in_nexus_one_object_with_content_and_no_mistake(clinic):
    patients: dict[str, set[str]] = {}
    for patient_id, filemaker_id in clinic.nexus_patients:
        patients.setdefault(filemaker_id.lower(), set()).add(patient_id)
    objects = Counter(stored.key for stored in clinic.objects if not stored.empty)
    linked = [row for row in clinic.rows if not row.reason]
    assert all(patients[row.id_contact.lower()] == {row.patient_id} for row in linked)
    assert all(objects[f"{DUMP}{row.recid}.{row.extension}"] == 1 for row in linked)
    assert all(row.nexus_export_date and calendar_date(row.date) <= date(2025, 10, 31) for row in linked)
    assert len({row.recid for row in linked}) == len(linked)
    assert all(row.file_name.endswith(f".{row.extension}") for row in linked if row.file_name)


def test_the_dump_has_objects_of_every_kind_and_every_reason(clinic):
    keys = [stored.key.removeprefix(DUMP) for stored in clinic.dump()]
    assert len({stored.key.lower() for stored in clinic.objects}) == len(clinic.objects)  # on any file system
    assert 6_600 <= len(keys) < 6_700
    endings = Counter(key.rpartition(".")[2] for key in keys)
    assert set(endings) >= {"jpg", "JPG", "png", "HEIC", "pdf", "mov"}
    assert endings["jpg"] > 5_000
    recids = {row.recid for row in clinic.rows}
    stems = [key.partition(".")[0] for key in keys]
    assert sum(stem.isdigit() and stem not in recids for stem in stems) > 50  # no_metadata
    assert sum(stem.endswith("_thumb") for stem in stems) > 10  # unrecognised_key
    skipped = {row.recid for row in clinic.rows if row.reason}
    assert sum(stem in skipped for stem in stems) > 200  # record_skipped


def test_the_records_are_the_same_on_every_machine_and_readable_by_their_owner_only(folder):
    written = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    assert written == SHA256
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


def drawn(objects, folder):
    """The bytes of each object, in their order."""
    draw_part(objects, folder)
    return [(folder / stored.key).read_bytes() for stored in objects]


def test_pictures_are_real_all_different_and_of_many_sizes(clinic, tmp_path):
    pictures = [stored for stored in clinic.dump() if stored.key.endswith((".jpg", ".png", ".JPG", ".HEIC"))]
    contents = drawn([s for s in pictures[:300] if not (s.empty or s.broken or s.same_as)], tmp_path)
    assert len(set(contents)) == len(contents) > 290
    pillow_heif.register_heif_opener()
    pictures = [Image.open(io.BytesIO(content)) for content in contents]
    assert {picture.format for picture in pictures} == {"JPEG", "PNG", "HEIF"}
    for picture in pictures:
        picture.load()
    assert len({picture.size for picture in pictures}) > 200
    assert all(2_048 <= len(content) < 30_000 for content in contents)


def test_one_picture_in_50_is_upright_only_if_its_orientation_is_obeyed(tmp_path):
    numbers = [number for number in range(50, 1_000) if number % 50 in (0, 1)]
    contents = drawn([StoredObject(f"{DUMP}{number}.jpg", "Dorsal") for number in numbers], tmp_path)
    orientations = Counter()
    backgrounds = make_backgrounds()
    for number, content in zip(numbers, contents, strict=True):
        picture = Image.open(io.BytesIO(content))
        orientations[picture.getexif().get(ExifTags.Base.Orientation)] += 1
        upright = ImageOps.exif_transpose(picture)
        # but for JPEG's losses and the caption, it is the picture as it was drawn
        difference = ImageChops.difference(upright, backgrounds[number % 240])
        assert ImageStat.Stat(difference.convert("L").crop((0, 50, *upright.size))).mean[0] < 3, number
    assert orientations == {None: 19, 3: 7, 6: 6, 8: 6}


def test_planted_pictures_have_the_same_bytes_or_cannot_be_decoded(clinic, tmp_path):
    same = [stored for stored in clinic.objects if stored.same_as]
    contents = drawn(same, tmp_path)
    assert len(set(contents)) == len(same) == 4
    assert drawn([stored.same_as for stored in same], tmp_path) == contents
    broken = drawn([stored for stored in clinic.objects if stored.broken], tmp_path)
    assert len(broken) == 2
    for content in broken:
        with pytest.raises(OSError, match="truncated"):
            Image.open(io.BytesIO(content)).load()


def test_other_files_begin_like_their_type_and_an_empty_object_is_empty(clinic, tmp_path):
    magic = {".pdf": b"%PDF-", ".mov": b"\0\0\0\x14ftypqt"}
    by_ending = {ending: next(s for s in clinic.dump() if s.key.endswith(ending)) for ending in magic}
    empty = next(stored for stored in clinic.objects if stored.empty)
    *contents, nothing = drawn([*by_ending.values(), empty], tmp_path)
    for content, start in zip(contents, magic.values(), strict=True):
        assert content.startswith(start)
    assert nothing == b""


@pytest.fixture(scope="module")
def dbt(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small_clinic")
    make_missing_seeds(folder / "data")
    return InProcess(Project(folder / "data", folder / "work"))


@pytest.mark.slow
@pytest.mark.parametrize("faults", [False, True])
def test_findings_of_a_small_clinic_are_those_that_were_planted(dbt, tmp_path, faults):
    small = make_clinic(faults=faults, one_in=10)
    assert len(small.rows) == 648
    draw_objects(small.dump(), tmp_path)
    write_data_folder(small, dbt.project.data, tmp_path)
    without_tests = ("--exclude-resource-type", "unit_test", "--exclude-resource-type", "test")
    ended = dbt("build", "--select", "+review_findings", *without_tests)
    assert ended.success, ended.text
    columns = ("finding", "recid", "related_recid", "related_patient_id")
    assert Counter(dbt.project.mart("review_findings", columns)) == Counter(small.planted)
    checked = {
        finding
        for finding, severity in dbt.project.mart("review_findings", ("finding", "severity"))
        if severity == "check"
    }
    assert checked == (
        {"same_bytes_two_patients", "identity_document", "date_out_of_order", "patient_near_miss"} if faults else set()
    )


@pytest.mark.parametrize(
    ("after", "sentence"),
    [
        ({"copy": "a"}, "1 objects that were there before are changed or missing"),
        ({"old": "b", "copy": "a"}, "1 objects that were there before are changed or missing"),
        ({"old": "a"}, "1 of 1 copies are missing or differ"),
        ({"old": "a", "copy": "b"}, "1 of 1 copies are missing or differ"),
        ({"old": "a", "copy": "a", "other": "a"}, "1 objects are neither originals nor copies"),
        ({"old": "a", "copy": "a", f"1/{checks.CANARY}": "c", f"2/{checks.CANARY}": "c"}, "1 objects are neither"),
    ],
)
def test_copies_fail_their_check_if_anything_is_missing_changed_different_or_unexpected(after, sentence):
    with pytest.raises(checks.DemoFailed, match=sentence):
        checks.check_copies({"old": "a"}, {"copy": "a"}, after)


def test_copies_pass_their_check_if_only_a_canary_is_added():
    checks.check_copies({"old": "a"}, {"copy": "a"}, {"old": "a", "copy": "a", f"1/{checks.CANARY}": "c"})


def test_the_demo_empties_its_own_folder_and_refuses_any_other(tmp_path, monkeypatch):
    monkeypatch.setattr(commands, "DEMO", tmp_path / "demo")
    monkeypatch.setattr(commands, "MARK", tmp_path / "demo" / "mark.txt")
    commands.empty_demo_folder()
    (tmp_path / "demo" / "bucket").mkdir()
    (tmp_path / "demo" / "bucket" / "2.jpg").touch()
    commands.empty_demo_folder()
    assert [path.name for path in (tmp_path / "demo").iterdir()] == ["mark.txt"]

    (tmp_path / "demo" / "mark.txt").rename(tmp_path / "demo" / "records.csv")
    with pytest.raises(checks.DemoFailed, match="not the demo's"):
        commands.empty_demo_folder()
    assert [path.name for path in (tmp_path / "demo").iterdir()] == ["records.csv"]


def test_outcomes_and_images_are_checked_against_what_each_row_was_made_for(clinic, monkeypatch):
    outcomes = [(row.recid, row.reason or "linked") for row in clinic.rows]
    images = [(int(row.recid), row.patient_id, row.type.replace("\x0b", "\n")) for row in clinic.rows if not row.reason]

    def answer_with(outcomes, images):
        monkeypatch.setattr(checks, "query", lambda sql: outcomes if "image_outcome" in sql else images)

    answer_with(outcomes, images)
    checks.check_outcomes(clinic)
    answer_with([*outcomes[:-1], (outcomes[-1][0], "held_back")], images)
    with pytest.raises(checks.DemoFailed, match="2 outcomes"):
        checks.check_outcomes(clinic)
    answer_with(outcomes, [(images[0][0], images[-1][1], images[0][2]), *images[1:]])
    with pytest.raises(checks.DemoFailed, match="patient or type that they were not made for"):
        checks.check_outcomes(clinic)


def test_findings_are_checked_against_what_was_planted(clinic, monkeypatch):
    def answer_with(findings):
        monkeypatch.setattr(checks, "query", lambda sql: findings)

    answer_with([tuple(found) for found in reversed(clinic.planted)])
    checks.check_findings(clinic)
    answer_with(clinic.planted[1:])
    with pytest.raises(checks.DemoFailed, match="1 of the 156 planted findings are missing"):
        checks.check_findings(clinic)
    answer_with([*clinic.planted, clinic.planted[0]])
    with pytest.raises(checks.DemoFailed, match="1 rows of review_findings were not planted"):
        checks.check_findings(clinic)


def test_every_kind_of_finding_that_needs_no_history_is_planted_but_huge_files(clinic):
    with (PROJECT_ROOT / "seeds" / "reference" / "findings.csv").open(encoding="utf-8", newline="") as file:
        known = {line["finding"] for line in csv.DictReader(file)}
    of_history = {finding for finding in known if finding.startswith(("published_", "held_"))}
    assert {found.finding for found in clinic.planted} == known - of_history - {"huge_file"}
