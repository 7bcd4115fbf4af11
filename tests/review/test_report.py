"""The report for the clinic's owner."""

import csv
import hashlib
import os
import re

import pytest

from linkage.paths import PROJECT_ROOT, SAMPLE_FOLDER
from linkage.review.report import count_records, write_report
from linkage.review.sentences import DECISIONS, LEFT, UNFINISHED, WAITING, sentence
from linkage.seeds import SEED_COLUMNS
from tests.support.site_pages import number, read_tree, text


@pytest.fixture(autouse=True)
def manifest(monkeypatch, tmp_path):
    """The place of the manifest, which no test shares with a build."""
    path = tmp_path / "manifest.csv"
    monkeypatch.setenv("MANIFEST_PATH", str(path))
    return path


def read_report(site):
    write_report(site)
    return read_tree(site.folder / "report.html")


def files_of(page) -> dict[str, list]:
    """The cells of the table of files, by the name of the file and what is said about it."""
    return {text(row[0]): list(row) for row in page.findall(".//table[@class='files']/tbody/tr")}


def reference(name: str) -> list[dict[str, str]]:
    with (PROJECT_ROOT / "seeds" / "reference" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_reason_and_every_finding_to_check_has_its_sentence():
    reasons = reference("reasons")
    assert WAITING.keys() == {row["reason"] for row in reasons if row["applies_to"] == "row"}
    assert LEFT.keys() == {row["reason"] for row in reasons if row["applies_to"] == "object"}
    assert DECISIONS.keys() == {row["finding"] for row in reference("findings") if row["severity"] == "check"}


@pytest.mark.parametrize("sentences", [WAITING, UNFINISHED, LEFT, DECISIONS])
def test_a_sentence_agrees_with_its_number(sentences):
    for kind in sentences:
        one, several = sentence(sentences, kind, 1), sentence(sentences, kind, 1_234)
        assert re.match("1 (picture|file) ", one), one
        assert re.match("1,234 (pictures|files) ", several), several


def test_the_files_that_came_in_have_their_rows_sizes_and_checksums(sample_site, manifest):
    site = sample_site()
    manifest.write_text("image_id\n" + "x\n" * 35, encoding="utf-8")
    os.utime(manifest, (0, 0))
    files = files_of(read_report(site))
    assert list(files) == [f"{seed}.csv" for seed in SEED_COLUMNS] + ["manifest.csv"]
    for name, cells in files.items():
        path = site.data / name if name != "manifest.csv" else manifest
        with path.open(encoding="utf-8", newline="") as file:
            assert number(cells[1]) == len(list(csv.DictReader(file)))
        assert text(cells[4]) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_file_that_is_not_what_the_build_read_is_named(sample_site, manifest):
    export = (SAMPLE_FOLDER / "filemaker_images_metadata.csv").read_text(encoding="utf-8")
    results = (SAMPLE_FOLDER / "copy_results.csv").read_text(encoding="utf-8")
    site = sample_site(
        files={
            "filemaker_images_metadata.csv": export + export.splitlines()[1] + "\n",
            "copy_results.csv": results + results.splitlines()[-1] + "\n",
            "nexus_patients.csv": None,
        }
    )
    manifest.write_text("image_id\n" + "x\n" * 34, encoding="utf-8")
    os.utime(manifest, (0, 0))
    os.utime(site.data / "held_images.csv", (4e9, 4e9))
    changed = "changed after the build: run dbt build again"
    assert [name for name in files_of(read_report(site)) if " " in name] == [
        f"filemaker_images_metadata.csv {changed}",
        "nexus_patients.csv missing: run dbt build again",
        f"held_images.csv {changed}",
        "copy_results.csv continued after the build; this report includes it",
        f"manifest.csv {changed}",
    ]


@pytest.mark.parametrize(
    ("content", "records"),
    [
        (b"", 0),
        (b"recid\n", 0),
        (b"recid\n1\n2", 2),
        (b"\xef\xbb\xbfrecid\r\n1\r\n\r\n2\r\n", 2),
        (b"recid\r1\r2\r", 2),
        (b'recid,x\n1,"a ""b""\n\nc"\n2,\xff\n', 2),
    ],
)
def test_records_are_counted_however_lines_end(tmp_path, content, records):
    path = tmp_path / "file.csv"
    path.write_bytes(content)
    assert count_records(path) == records


def test_what_waits_is_said_in_plain_words_and_adds_up(sample_site):
    page = read_report(sample_site())
    said = [text(item) for item in page.findall(".//ul[@class='waiting']/li")]
    assert "3 pictures wait because their patients are not in the new system." in said
    assert "1 picture waits because it has no date." in said
    assert "2 pictures could not be copied and verified." in said
    assert "27 pictures are linked to their patients and wait to be copied." in said
    in_system, waiting = (int(text(each).split()[0]) for each in page.findall(".//p[@class='lead']/strong"))
    assert sum(int(each.split()[0]) for each in said) == waiting
    assert in_system + waiting == 62
    assert "invented" in text(page)
    assert "1 picture is held back but has already been copied: may the copy stay?" in text(page)


def test_the_report_is_true_before_anything_was_copied(sample_site):
    page = text(read_report(sample_site(files={"copy_results.csv": None})))
    assert "No picture has been copied yet" in page
    assert "No picture has been published by this import yet" in page
    assert "35 pictures are linked to their patients and wait to be copied." in page


def test_the_report_is_true_when_everything_is_in_the_new_system(sample_site):
    site = sample_site(
        change="""
            create table others as select recid_number from image_outcome where outcome = 'already_linked';
            delete from int_image_candidates where recid is null or recid not in (from others);
            delete from object_outcome where outcome <> 'already_linked';
            delete from review_findings;
            update import_summary set value = case
                when metric in ('export_rows', 'already_linked_images', 'objects', 'already_linked_objects') then 5
                else 0
            end;
            update build_settings set value = 'data/clinic' where name = 'data_folder';
        """
    )
    page = text(read_report(site))
    assert "Of 5 pictures in FileMaker’s export, 5 are in the new system (Nexus) and 0 wait." in page
    assert "No picture waits." in page
    assert "Nothing was found that somebody has to decide." in page
    assert "4 pictures are in the new system without a verified copy" in page
    assert "invented" not in page
