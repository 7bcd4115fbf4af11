"""The pages and lists of a site, read as a program does, and compared with the warehouse."""

import csv
import hashlib
import re
import stat
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote

import pytest

from linkage.errors import UnusableInput
from linkage.review import csv_lists
from linkage.review.explained import explanations
from linkage.review.lists import CHANGE_KINDS, write_lists
from linkage.review.parts import ROWS
from linkage.review.patients import write_patients
from linkage.review.people import person_page
from linkage.review.reading import WANTED
from linkage.review.report import write_report
from linkage.review.sample import write_sample
from linkage.review.start import write_start
from tests.support.site_pages import Element, read_page, read_pages

ALL = (write_start, write_report, write_lists, write_patients, write_sample)
# What a person may type into FileMaker, or call an object.
HOSTILE = [
    "<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "{{ site.settings }}", "=cmd|' /C calc'!A0",
    "+1+1", "@SUM(A1)", "-2+3", "\t=1+1", "../../x", "🦶🏽", "\u202egpj.exe", "a\u2066b", "two\nlines", "x" * 5_000,
]  # fmt: skip
RIGHT_TO_LEFT = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
# The summary counts what a test has added.
RECOUNT = """
;
update import_summary set value = (
    select count(*) from changes_since_last_build where metric = 'changes_' || change
) where starts_with(metric, 'changes_');
update import_summary set value = (
    select count(*) from review_findings where metric = 'finding_' || finding
) where starts_with(metric, 'finding_');
"""
NAME = "Qqsmith"  # in places where no page may show it


@pytest.fixture
def written(sample_site):
    """Callable: a site of the sample with its pages and a picture of every object; see `sample_site`."""

    def write(*functions, change=""):
        site = sample_site(change=change + RECOUNT if change else "", sample=10)
        site = replace(site, pictures={(row["bucket"], row["key"]): picture(row) for row in site.rows(WANTED)})
        (site.folder / "pictures").mkdir()
        for each in site.pictures.values():
            (site.folder / "pictures" / each.file).touch(mode=0o600)
        for function in functions or ALL:
            function(site)
        return site

    return write


def picture(row):
    """A thumbnail as `pictures.py` makes them, called like the object."""
    name = row["key"].rsplit("/", 1)[-1]
    name = name if re.fullmatch(r"[0-9]+\.[a-z]+", name) else hashlib.md5(name.encode()).hexdigest()
    return SimpleNamespace(file=f"{name}.jpg", width=320, height=240, problem=None)


def table(page: Element) -> list[dict[str, Element]]:
    """The rows of a page's first table, by the texts of its head."""
    [head, *rows] = page.all("table")[0].all("tr")
    names = [cell.text for cell in head.all("th")]
    return [dict(zip(names, [cell for cell in row.children if isinstance(cell, Element)], strict=True)) for row in rows]


def read_list(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / name).open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def shown_pictures(element: Element) -> list[str]:
    return [image.attributes["src"].rsplit("/", 1)[-1] for image in element.all("img")]


def test_overviews_and_pages_count_what_import_summary_counts(written):
    site = written(write_lists)
    summary = {row["metric"]: row["value"] for row in site.rows("select * from import_summary")}
    prefixes = {"skipped": "skipped_", "unmatched": "unmatched_", "findings": "finding_", "changes": "changes_"}
    for overview, prefix in prefixes.items():
        counts = {}
        for row in table(read_page(site.folder / f"{overview}.html")):
            kind, number, *_ = row.values()
            [link] = kind.all("a")
            name = link.attributes["href"].removeprefix(f"{overview}/").removesuffix(".html")
            counts[prefix + name] = int(number.text)
            page = read_page(site.folder / link.attributes["href"])
            assert len(table(page) if page.all("table") else []) == counts[prefix + name], name
        expected = {metric: value for metric, value in summary.items() if metric.startswith(prefix)}
        expected.pop("skipped_images", None)
        expected.pop("unmatched_objects", None)
        assert counts == expected
    assert len(read_list(site.folder, "skipped.csv")) == summary["skipped_images"]
    assert len(read_list(site.folder, "unmatched_objects.csv")) == summary["unmatched_objects"]


def test_every_linked_image_is_on_the_page_of_its_patient_and_on_no_other(written):
    site = written(write_patients)
    query = "select recid_number, image_id, batch_id, patient_id from image_outcome where outcome <> 'skipped'"
    expected = Counter(tuple(str(value) for value in row.values()) for row in site.rows(query))
    shown = Counter()
    for path in (site.folder / "patients").iterdir():
        for section in read_page(path).all("section", data_batch_id=None):
            tiles = section.all("figure", data_image_id=None)
            names = ("data-recid", "data-image-id", "data-batch-id")
            for tile in tiles:
                shown[*(tile.attributes[name] for name in names), path.stem] += 1
            assert {tile.attributes["data-batch-id"] for tile in tiles} == {section.attributes["data-batch-id"]}
            assert f"{len(tiles)} image" in section.all("h2")[0].text
    assert shown == expected


def test_no_link_leads_nowhere_and_every_page_can_be_read_aloud(written):
    site = written()
    pages = read_pages(site.folder)
    anchors = {name: {element.attributes["id"] for element in page.all(id=None)} for name, page in pages.items()}
    assert len(pages) > 60
    for name, page in pages.items():
        for element in page.all():
            for link in filter(None, (element.attributes.get("href"), element.attributes.get("src"))):
                path, _, anchor = link.partition("#")
                target = ((site.folder / name).parent / unquote(path)).resolve() if path else site.folder / name
                assert target.is_file(), (name, link)
                assert not anchor or anchor in anchors[str(target.relative_to(site.folder.resolve()))], (name, link)
        ids = Counter(element.attributes["id"] for element in page.all(id=None))
        assert not ids or ids.most_common(1)[0][1] == 1, name
        levels = [int(element.tag[1]) for element in page.all() if re.fullmatch("h[1-6]", element.tag)]
        assert levels.count(1) == 1, name
        assert levels[0] == 1, name
        assert all(after <= before + 1 for before, after in pairwise(levels)), name
        for each in page.all("table"):
            assert each.all("caption") or each.attributes.get("aria-label") or each.around.attributes["aria-label"], (
                name
            )
            assert all(cell.attributes.get("scope") in ("col", "row") for cell in each.all("th")), name
        assert all(image.attributes.get("alt") for image in page.all("img")), name
        assert all(link.text or link.all("img") for link in page.all("a")), name


def test_two_sites_of_the_same_build_are_the_same(written):
    contents = [
        {str(path.relative_to(site.folder)): path.read_bytes() for path in site.folder.rglob("*") if path.is_file()}
        for site in (written(), written())
    ]
    assert contents[0] == contents[1]


def test_every_file_is_its_owners_alone(written):
    site = written(write_lists, write_patients, write_sample)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in site.folder.rglob("*.*") if "assets" not in path.parts}
    assert modes == {0o600}


def hostile_build() -> str:
    """SQL that puts hostile texts into every column of the sample's warehouse that people or programs fill in."""
    statements = []
    for recid, text in zip((39, 2, 40, 41, 33, 34, 43, 44, 45, 5, 8, 9, 15, 46), HOSTILE, strict=True):
        escaped = text.replace("'", "''")
        statements.append(f"update int_image_candidates set type_text = '{escaped}' where recid = {recid}")
    return ";".join(
        [
            *statements,
            f"update int_image_candidates set recid_text = '{NAME}, Jo' where recid is null",
            f"update int_image_candidates set id_contact_text = '{NAME}, Jo' where recid = 36",
            f"update int_image_candidates set date_text = '{NAME} 2/3' where recid = 38",
            f"update int_image_candidates set nexus_s3_key = 'patients/{NAME}/{NAME}.jpg' where recid = 16",
            f"update int_image_candidates set nexus_batch_id = '{NAME}', nexus_image_id = '{NAME}' where recid = 17",
            f"update int_image_candidates set nexus_patient_id = '../../{NAME}' where recid = 19",
            f"update object_outcome set \"key\" = 'filemaker-import/images-bulk-dump/{NAME}.jpg' where recid is null",
            f"update review_findings set patient_id = '{NAME} J', "
            f"detail = 'patient {NAME} J in Nexus, {NAME} in FileMaker' where finding = 'published_elsewhere'",
            f"update review_findings set patient_id = '{NAME}', detail = 'in Nexus under patient {NAME}, 2017-02-03' "
            "where finding = 'published_without_record'",
            f"insert into changes_since_last_build values ('{NAME}, Jo', 'reason', 'missing_object', 'invalid_recid'), "
            f"('2', 'nexus_patient', '{NAME}', '{NAME}.2')",
        ]
    )


def test_texts_from_filemaker_are_only_text_and_what_may_be_anything_is_masked(written):
    site = written(change=hostile_build())
    pages = read_pages(site.folder)
    for name, page in pages.items():
        for element in page.all():
            assert element.tag != "script" or element.attributes.keys() == {"src", "defer"}, name
            assert not [each for each in element.attributes if each.startswith("on") or each == "style"], name
    for recid, text in zip(("39", "2", "40"), HOSTILE, strict=False):
        rows = [each for page in pages.values() for each in page.all("tr") if each.all("th")[0].text == recid]
        assert any(text in row.text for row in rows) or any(
            f"{text} Record {recid}" in page.text for page in pages.values()
        )
    for path in site.folder.rglob("*"):
        assert re.fullmatch(r"[A-Za-z0-9._-]+", path.name)
        if path.suffix in (".html", ".csv"):
            content = path.read_text(encoding="utf-8")
            assert NAME not in content, path
            assert NAME.lower() not in content.lower(), path
            assert path.suffix == ".csv" or not RIGHT_TO_LEFT.search(content), path
            assert path.suffix == ".csv" or "x" * 100 not in content, path
    names = [link.attributes["download"] for page in pages.values() for link in page.all("a", download=None)]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]*", name or "") for name in names)
    cells = [
        cell for path in site.folder.glob("*.csv") for row in read_list(site.folder, path.name) for cell in row.values()
    ]
    assert "x" * 5_000 in cells
    assert not [cell for cell in cells if re.match(r"\s*[=@]|\s*[+-](?![0-9]+$)", cell)]


def test_pictures_are_beside_the_rows_that_they_are_about(written):
    finding = "insert into review_findings (finding, severity, image_id, recid, patient_id, related_recid, detail)"
    change = f"""
        {finding} select 'same_bytes_two_patients', 'check', image_id, 8, patient_id, 22,
            'same bytes as record 22 of another patient' from image_outcome where recid = '8';
        update review_findings set related_patient_id = (select patient_id from image_outcome where recid = '22')
        where related_recid = 22;
        {finding} select 'date_out_of_order', 'check', image_id, 9, patient_id, 8,
            '2017-02-03, but 2016-10-18 in record 8 and 2016-10-19 in record 10' from image_outcome where recid = '9'
    """
    site = written(write_lists, change=change)

    def row_of(page: str, record: str) -> Element:
        rows = table(read_page(site.folder / page))
        [row] = [row for row in rows if next(iter(row.values())).text == record]
        return row

    ambiguous = row_of("skipped/ambiguous_object.html", "44")["Picture"]
    assert shown_pictures(ambiguous) == ["44.jpg.jpg", "44.png.jpg"]
    same_id = row_of("skipped/duplicate_filemaker_id.html", "30")["Picture"]
    assert shown_pictures(same_id) == ["30.jpg.jpg", "31.jpg.jpg"]
    both = row_of("findings/same_bytes_two_patients.html", "8")["Pictures"]
    assert shown_pictures(both) == ["8.jpg.jpg", "22.png.jpg"]
    patients = {row["recid"]: row["patient_id"] for row in site.rows("select recid, patient_id from image_outcome")}
    links = [link.attributes["href"] for link in both.all("a") if "patients/" in link.attributes["href"]]
    assert links == [f"../{person_page(patients[recid])}" for recid in ("8", "22")]
    order = row_of("findings/date_out_of_order.html", "9")["Pictures"]
    assert shown_pictures(order) == ["8.jpg.jpg", "9.jpg.jpg", "10.jpg.jpg"]
    assert shown_pictures(row_of("held/held_back.html", "32")["Picture"]) == ["32.jpg.jpg"]


def test_a_finding_has_the_line_that_holds_its_record_back(written):
    site = written(write_lists)
    [row] = table(read_page(site.folder / "findings" / "published_elsewhere.html"))
    assert row["Line for held_images.csv"].text == "15,A. Reviewer,2026-01-02"
    page = read_page(site.folder / "findings" / "published_elsewhere.html")
    assert "Why it matters." in [strong.text for strong in page.all("strong")]


def test_every_kind_of_finding_is_explained_in_the_documentation(written):
    site = written(write_lists)
    assert [row["finding"] for row in site.rows("select finding from stg_findings")] == list(explanations())


def test_every_kind_of_change_has_a_meaning(written):
    site = written(write_lists)
    metrics = [row["metric"] for row in site.rows("select metric from import_summary where metric like 'changes_%'")]
    assert sorted(metrics) == sorted(f"changes_{kind}" for kind in CHANGE_KINDS)


def test_a_kind_that_no_page_shows_is_refused(written):
    with pytest.raises(UnusableInput, match="does not know all kinds"):
        written(write_lists, change="insert into changes_since_last_build values ('2', 'unheard_of', '1', '2')")


def test_changes_lead_to_both_patients(written):
    before, after = "6d156733-3293-41df-a15c-ddbf9170cb1a", "606129b2-a02b-4600-8421-8bf65147e054"
    site = written(
        change=f"insert into changes_since_last_build values ('2', 'nexus_patient', '{before}', '{after}'), "
        "('4', 'date', '2016-10-18', '2016-10-19')"
    )
    [row] = table(read_page(site.folder / "changes" / "nexus_patient.html"))
    links = [row[side].all("a")[0].attributes["href"] for side in ("Before", "After")]
    assert links == [f"../patients/{before}.html", f"../patients/{after}.html"]
    [row] = table(read_page(site.folder / "changes" / "date.html"))
    assert [row[side].text for side in ("Before", "After")] == ["2016-10-18", "2016-10-19"]


def test_long_lists_are_in_parts_and_csv_files_are_whole(written):
    count = 2 * ROWS + 1
    site = written(
        write_lists,
        change=f"insert into changes_since_last_build select cast(i as varchar), 'appeared', null, 'linked' "
        f"from range(100000, {100_000 + count}) as rows (i)",
    )
    pages = [read_page(site.folder / "changes" / f"appeared{part}.html") for part in ("", "-2", "-3")]
    records = [row["Record"].text for page in pages for row in table(page)]
    assert [len(table(page)) for page in pages] == [ROWS, ROWS, 1]
    assert records == [str(100_000 + number) for number in range(count)]
    assert len(read_list(site.folder, "changes.csv")) == count
    links = pages[1].all("nav", aria_label="Parts of this list")[0].all("a")
    assert [link.text for link in links] == ["Rows 1–500", "Rows 501–1,000", "Rows 1,001–1,001"]
    assert [link.attributes.get("aria-current") for link in links] == [None, "page", None]


def test_what_to_correct_has_each_row_whose_remedy_is_in_filemaker_and_each_finding(written):
    site = written(write_lists)
    rows = read_list(site.folder, "to_correct.csv")
    skipped = Counter(row["reason"] for row in site.rows("select reason from skipped_images"))
    for elsewhere in (
        "held_back", "patient_not_found", "ambiguous_patient", "ambiguous_object", "unsupported_file_type",
    ):  # fmt: skip
        del skipped[elsewhere]
    findings = Counter(row["finding"] for row in site.rows("select finding from review_findings"))
    assert Counter(row["kind"] for row in rows) == skipped + findings
    numbers = [int(row["recid"]) for row in rows if row["recid"].isdigit()]
    assert numbers == sorted(numbers)
    others = {row["recid"]: row["other_recid"] for row in rows if row["kind"] == "duplicate_filemaker_id"}
    assert others == {"30": "31", "31": "30"}
    assert all(row["what_is_wrong"] and row["what_to_do"] for row in rows)


def test_csv_lists_have_their_columns_even_without_rows(written):
    site = written(write_lists, write_patients)
    with (site.folder / "changes.csv").open(encoding="utf-8-sig") as file:
        assert file.read() == ",".join(csv_lists.CHANGES) + "\n"
