"""The synthetic clinic whose pictures are still in FileMaker, and what `make demo-filemaker` notices."""

import io
from collections import Counter

import pytest
from PIL import Image

from demo import checks
from sandbox.clinic import DUMP, draw_part
from sandbox.filemaker_clinic import (
    MARK,
    SIZES,
    best_container,
    filemaker_record,
    filemaker_records,
    make_filemaker_clinic,
    outcome_of_import,
    smaller_versions,
)
from sandbox.filemaker_faults import Faults
from sandbox.filemaker_server import FileMakerServer


@pytest.fixture(scope="module")
def clinic():
    return make_filemaker_clinic(one_in=16)


@pytest.fixture
def server(clinic, tmp_path):
    """FileMaker after an import of all, without its network; each picture is its record's number."""
    records = {row.number: filemaker_record(row, {best_container(row): b"%d" % row.number}) for row in clinic.rows}
    for row in imported(clinic):
        records[row.number].fields[MARK] = "01/02/2026"
    return FileMakerServer("https://fms.example", tmp_path / "ca.pem", records, {}, Faults())


def imported(clinic):
    return [row for row in clinic.rows if outcome_of_import(row) == "uploaded"]


@pytest.mark.parametrize("faults", [True, False])
def test_a_clinic_in_filemaker_has_records_of_every_outcome_and_a_best_picture_in_each_container(faults):
    clinic = make_filemaker_clinic(faults=faults, one_in=16)
    outcomes = Counter(map(outcome_of_import, clinic.rows))
    assert min(outcomes[name] for name in ("uploaded", "no_image", "failed", "")) >= 3
    best = Counter(map(best_container, imported(clinic)))
    assert best.keys() == set(SIZES) and min(best.values()) > 60
    assert {row.extension for row in clinic.rows} == {"jpg", "png", "heic", "pdf", "mov"}
    pictures = {stored.key for stored in clinic.dump()}
    assert pictures == {row.key() for row in clinic.rows if outcome_of_import(row) != "no_image"}
    assert {key for _, _, _, key in clinic.nexus_images} == {stored.key for stored in clinic.objects} - pictures


def test_records_have_their_picture_in_the_best_container_and_smaller_ones_below_it(clinic, tmp_path):
    some = [stored for stored in clinic.dump() if int(stored.key.removeprefix(DUMP).split(".")[0]) < 60]
    draw_part(some, tmp_path)
    clinic = make_filemaker_clinic(one_in=16)
    clinic.rows, clinic.objects = [row for row in clinic.rows if row.number < 60], some
    objects = {stored.key: stored for stored in some}
    records = filemaker_records(clinic, tmp_path)
    for row, record in zip(clinic.rows, records, strict=True):
        found = [name for name in SIZES if name in record.containers]
        if outcome_of_import(row) == "no_image":
            assert found == []
            continue
        is_picture = row.extension in ("jpg", "png", "heic") and not objects[row.key()].broken
        assert found == list(SIZES[SIZES.index(best_container(row)) :][: None if is_picture else 1])
        assert record.file(found[0]) == (tmp_path / row.key()).read_bytes()
        sizes = [len(record.file(name)) for name in found]
        assert sizes == sorted(set(sizes), reverse=True)
    assert len(record.file("Recovered")) > max(path.stat().st_size for path in tmp_path.rglob("*.*"))


def test_smaller_versions_are_halved_and_a_file_that_is_no_picture_has_none():
    file = io.BytesIO()
    Image.effect_noise((200, 100), 50).save(file, "PNG")
    widths = [Image.open(io.BytesIO(version)).width for version in smaller_versions(file.getvalue(), 3)]
    assert widths == [100, 50, 25]
    assert smaller_versions(file.getvalue()[:500], 3) == smaller_versions(b"%PDF-1.4", 3) == []


def etags(clinic):
    return {row.key(): checks.md5(b"%d" % row.number) for row in imported(clinic)}


def test_an_import_passes_its_check(clinic, server):
    checks.check_import(imported(clinic), clinic, server, {"old": "a"}, {"old": "a"} | etags(clinic))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda bucket: bucket.pop("old"), "1 objects that were there before are changed or missing"),
        (lambda bucket: bucket.update(old="b"), "1 objects that were there before are changed or missing"),
        (lambda bucket: bucket.pop(f"{DUMP}2.png"), "1 of 402 pictures are missing or not those"),
        (lambda bucket: bucket.update({f"{DUMP}2.png": "b"}), "1 of 402 pictures are missing or not those"),
        (lambda bucket: bucket.update({f"{DUMP}2.jpg": "b"}), "1 objects are in the dump that should not be"),
    ],
)
def test_an_import_fails_its_check_if_the_bucket_is_not_as_it_should_be(clinic, server, change, sentence):
    bucket = {"old": "a"} | etags(clinic)
    change(bucket)
    with pytest.raises(checks.DemoFailed, match=sentence):
        checks.check_import(imported(clinic), clinic, server, {"old": "a"}, bucket)


def unmark(server, clinic):
    server.records[imported(clinic)[0].number].fields[MARK] = ""


def mark_another(server, clinic):
    row = next(row for row in clinic.rows if outcome_of_import(row) == "no_image")
    server.records[row.number].fields[MARK] = "01/02/2026"


def change_a_field(server, clinic):
    server.records[imported(clinic)[0].number].fields["Type"] = "x"


def open_a_session(server, clinic):
    server.sessions["token"] = 0


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (unmark, "1 records are marked that should not be, or are not"),
        (mark_another, "1 records are marked that should not be, or are not"),
        (change_a_field, "a field of record 2 is changed"),
        (open_a_session, "1 sessions are still open"),
    ],
)
def test_an_import_fails_its_check_if_filemaker_is_not_as_it_should_be(clinic, server, change, sentence):
    change(server, clinic)
    with pytest.raises(checks.DemoFailed, match=sentence):
        checks.check_import(imported(clinic), clinic, server, {}, etags(clinic))


def test_results_are_checked_against_what_each_record_was_made_for(clinic, monkeypatch):
    lines = [
        {"record_id": str(row.number), "outcome": outcome_of_import(row), "container": best_container(row)}
        for row in clinic.rows
        if outcome_of_import(row)
    ]

    def answer_with(lines):
        monkeypatch.setattr(checks, "read_results", lambda name: lines)

    answer_with(lines)
    checks.check_import_results(clinic)
    for wrong in (
        lines[1:],
        [*lines, lines[0] | {"record_id": "999999"}],
        [*lines, lines[0] | {"outcome": "already_present"}],
        [*lines, lines[0] | {"container": "Recovered"}],
    ):
        answer_with(wrong)
        with pytest.raises(checks.DemoFailed, match="is wrong about 1 records"):
            checks.check_import_results(clinic)
