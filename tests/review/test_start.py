"""The start page: figures that add up, links, charts."""

import csv
from xml.etree import ElementTree

import pytest

from linkage.errors import UnusableInput
from linkage.paths import SAMPLE_FOLDER
from linkage.review.charts import label_text
from linkage.review.start import batch_sizes, categories, write_start, years
from tests.support.site_pages import number, read_tree, text

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "<script>alert(1)</script>&\x01\u202e=cmd|' /C calc'!A0 " + "x" * 5_000


def expected_summary() -> dict[str, int]:
    """What import_summary says of the sample, from the second implementation of the rules."""
    with (SAMPLE_FOLDER / "expected" / "import_summary.csv").open(encoding="utf-8", newline="") as file:
        return {row["metric"]: int(row["value"]) for row in csv.DictReader(file)}


def read_steps(page) -> list[tuple[int, dict[str, int]]]:
    """The steps of the way of the data: their totals, and their parts by name."""
    return [
        (
            number(step.find(".//strong")),
            {text(part[0]): number(part[1]) for part in step.findall("ul/li")},
        )
        for step in page.find(".//ol[@class='flow']")
    ]


def read_kinds(page, table: str) -> dict[str, int]:
    """The numbers of a table of kinds, whose total is compared."""
    rows = page.findall(f".//table[@id='{table}']/tbody/tr")
    assert [row.find(".//a").get("href") for row in rows] == [f"{table}/{row.get('data-kind')}.html" for row in rows]
    kinds = {row.get("data-kind"): number(row[0]) for row in rows}
    if rows:
        assert number(page.find(f".//table[@id='{table}']/tfoot/tr/td")) == sum(kinds.values())
    return kinds


def test_the_figures_of_the_page_equal_import_summary_and_add_up(sample_site):
    site = sample_site()
    write_start(site)
    page, summary = read_tree(site.folder / "index.html"), expected_summary()
    rows, objects, copies, nexus = read_steps(page)
    assert rows == (
        summary["export_rows"],
        {
            "linked": summary["linked_images"],
            "already linked": summary["already_linked_images"],
            "skipped": summary["skipped_images"],
        },
    )
    assert objects[0] == summary["objects"]
    assert objects[1]["unmatched"] == summary["unmatched_objects"]
    assert objects[1]["already linked"] == summary["already_linked_objects"]
    assert copies[0] == summary["linked_images"]
    assert nexus[0] == summary["linked_images"] + summary["already_linked_images"]
    for total, parts in (rows, objects, copies, nexus):
        assert total == sum(parts.values()) > 0
    for table, prefix in {"skipped": "skipped_", "unmatched": "unmatched_", "findings": "finding_"}.items():
        told = {metric.removeprefix(prefix): value for metric, value in summary.items() if metric.startswith(prefix)}
        assert read_kinds(page, table) == {
            kind: value for kind, value in told.items() if value and kind not in {"images", "objects"}
        }


@pytest.mark.parametrize(
    "metric",
    ["export_rows", "skipped_patient_not_found", "unmatched_objects", "finding_held_but_copied", "changes_date"],
)
def test_figures_that_do_not_add_up_are_not_shown(sample_site, metric):
    site = sample_site(change=f"update import_summary set value = value + 1 where metric = '{metric}'")
    with pytest.raises(UnusableInput, match=rf"^the figures do not add up: {metric} is [0-9]+ in import_summary, but"):
        write_start(site)
    assert not (site.folder / "index.html").exists()


def test_copies_and_publishing_are_shown_as_they_are_now(sample_site):
    site = sample_site()
    write_start(site)
    [verified] = list(
        site.rows("select image_id from memory.shown_image where copy = 'verified' and published is null limit 1")
    )
    lines = f"published_at,kind,id,action\n2026-01-02 00:00:00+00:00,image,{verified['image_id']},inserted\n"
    taken_back = lines.replace("2026-01-02", "2025-12-31")  # before the export, which does not have the image
    for files, copied, published in (
        ({}, {"copied and verified": 6, "failed": 2, "to do": 27}, 0),
        ({"publish_results.csv": lines}, {"copied and verified": 6, "failed": 2, "to do": 27}, 1),
        ({"publish_results.csv": taken_back}, {"copied and verified": 6, "failed": 2, "to do": 27}, 0),
        ({"copy_results.csv": None}, {"copied and verified": 0, "failed": 0, "to do": 35}, 0),
    ):
        site = sample_site(files=files)
        write_start(site)
        *_, copies, nexus = read_steps(read_tree(site.folder / "index.html"))
        assert copies[1] == copied | {"held back since the build": 0}
        assert nexus[1]["published since"] == published
        assert nexus[1]["not published yet"] == 35 - published


def test_a_first_build_is_not_said_to_have_changed_nothing(sample_site):
    said = []
    for change in ("", "update import_summary set value = 62 where metric = 'rows_of_last_build'"):
        site = sample_site(change=change)
        write_start(site)
        said.append(text(read_tree(site.folder / "index.html")))
    assert "This is the first build of this data folder that passed" in said[0]
    assert "Nothing has changed." in said[1]


def test_every_chart_counts_every_image_once_and_has_its_numbers_as_a_table(sample_site):
    site = sample_site(change="update int_image_candidates set type_text = 'type ' || recid")
    write_start(site)
    page = read_tree(site.folder / "index.html")
    [images] = site.rows("select count(*) as count from memory.shown_image where outcome <> 'skipped'")
    [batches] = site.rows("select count(distinct batch_id) as count from memory.shown_image where outcome <> 'skipped'")
    for name, counted, bars in (
        ("years", images["count"], years(site)),
        ("batches", batches["count"], batch_sizes(site)),
        ("categories", images["count"], categories(site)),
    ):
        assert sum(count for _, count in bars) == counted
        shown = page.findall(f".//table[@id='{name}']/tbody/tr")
        assert [(text(row[0]), number(row[1])) for row in shown] == bars
        chart = page.find(f".//img[@src='charts/{name}.svg']")
        assert chart.get("alt").startswith("Bar chart: ")
    assert [label for label, _ in categories(site)][15:] == ["25 other categories"]


def test_a_hostile_category_is_only_text_in_chart_and_page(sample_site):
    site = sample_site(change=f"update int_image_candidates set type_text = '{HOSTILE.replace(chr(39), chr(39) * 2)}'")
    write_start(site)
    page = read_tree(site.folder / "index.html")
    assert page.find(".//script") is None
    cell = text(page.find(".//table[@id='categories']/tbody/tr/th"))
    assert cell.startswith("<script>alert(1)</script>& =cmd|")
    assert len(cell) == 80
    chart = ElementTree.parse(site.folder / "charts" / "categories.svg").getroot()
    assert any(label.text == label_text(HOSTILE) for label in chart.iter(f"{SVG}text"))


def test_charts_run_nothing_fetch_nothing_and_are_the_same_each_time(sample_site):
    contents = []
    for site in (sample_site(), sample_site()):
        write_start(site)
        contents.append({path.name: path.read_bytes() for path in sorted((site.folder / "charts").iterdir())})
    assert contents[0] == contents[1]
    assert list(contents[0]) == ["batches.svg", "categories.svg", "years.svg"]
    for content in contents[0].values():
        assert b"url(" not in content
        assert b"@import" not in content
        assert b"<?xml-stylesheet" not in content
        for element in ElementTree.fromstring(content).iter():
            assert element.tag.removeprefix(SVG) in {"svg", "defs", "style", "g", "rect", "path", "text"}
            assert not [name for name in element.attrib if name.startswith("on") or "href" in name or name == "style"]


def test_an_import_without_images_has_no_charts(sample_site):
    site = sample_site(
        change="""
            delete from int_image_candidates;
            delete from object_outcome;
            delete from review_findings;
            update import_summary set value = 0;
        """
    )
    write_start(site)
    page = read_tree(site.folder / "index.html")
    assert page.find(".//img") is None
    assert "No row was skipped." in text(page)
