"""A page per patient, the index that leads there, and the contact sheet."""

import re

import pytest

from linkage.review.parts import ROWS
from linkage.review.patients import write_patients
from linkage.review.people import person_page
from linkage.review.sample import write_sample
from linkage.seeds import SEED_COLUMNS
from tests.support.site_pages import read_page

RESULTS = ",".join(SEED_COLUMNS["copy_results"]) + "\n"
PATIENT = "6d156733-3293-41df-a15c-ddbf9170cb1a"
NOT_FOUND = "filemaker-446f1ad3-3e30-4467-8fd2-f856a0f9a1c0"
AMBIGUOUS = "filemaker-4c6d6aa9-08a8-4726-a8e0-ef2ec5e86924"


@pytest.mark.parametrize(
    ("person", "page"),
    [
        (PATIENT, f"patients/{PATIENT}.html"),
        ("17", "patients/17.html"),
        (f"filemaker-{PATIENT}", f"patients/filemaker-{PATIENT}.html"),
        ("unknown", "patients/unknown.html"),
    ],
)
def test_a_page_is_called_like_its_person(person, page):
    assert person_page(person) == page
    assert person_page(person, 3) == page.replace(".html", "-3.html")


def test_an_id_that_can_be_anything_is_not_in_a_file_name():
    people = ["../../x", "Smith, Jo", "smith, jo", "١٢", "", "filemaker-x", "1" * 19, "a\0b", "17-2"]
    pages = {person_page(person) for person in people}
    assert len(pages) == len(people)
    assert all(re.fullmatch("patients/id-[0-9a-f]{32}.html", page) for page in pages)


def test_a_page_shows_batches_as_the_application_does_and_where_each_image_comes_from_and_goes(sample_site):
    site = sample_site(files={"copy_results.csv": RESULTS})
    write_patients(site)
    page = read_page(site.folder / person_page(PATIENT))
    assert [section.all("h2")[0].text for section in page.all("section")] == [
        "3 Oct 2023 (FileMaker Import) 1 image",
        "25 Nov 2019 (FileMaker Import) 2 images",
        "18 Oct 2016 (FileMaker Import) 5 images",
    ]
    last = page.all("section")[-1]
    captions = [tile.all("figcaption")[0].text for tile in last.all("figure")]
    assert captions[:2] == ["Dorsal Record 2", "Plantar Record 3"]
    [image] = site.rows("select * from image_outcome where recid = '4'")
    [row] = [row for row in last.all("tr") if row.all("th")[0].text == "4"]
    assert [cell.text for cell in row.all("td")] == [
        f"{image['source_bucket']}/{image['source_key']}",
        f"{image['source_bucket']}/{image['s3_key']}",
        "not copied yet",
        "not yet",
        "2016-10-18_R-Brannock_4.jpg",
    ]


def test_a_page_shows_how_far_copying_and_publishing_have_come(sample_site):
    query = "select * from image_outcome where recid in ('2', '3', '4')"
    images = {row["recid"]: row for row in sample_site().rows(query)}
    results = RESULTS + "".join(
        ",".join([
            "run", "2026-01-03T00:00:00Z", image["image_id"], image["source_bucket"], image["source_key"],
            image["source_etag"], image["source_bucket"], image["s3_key"], image["source_etag"],
            str(image["source_size"]), outcome, "1", "\n",
        ])
        for outcome, image in (("copied", images["2"]), ("failed", images["3"]))
    )  # fmt: skip
    published = f"published_at,kind,id,recid,action\n2026-01-04T05:06:07Z,image,{images['2']['image_id']},2,inserted\n"
    site = sample_site(files={"copy_results.csv": results, "publish_results.csv": published})
    write_patients(site)
    rows = read_page(site.folder / person_page(PATIENT)).all("section")[-1].all("tr")
    states = {row.all("th")[0].text: [cell.text for cell in row.all("td")[2:4]] for row in rows}
    assert states["2"] == ["verified on 2026-01-03", "published on 2026-01-04, after Nexus was exported"]
    assert states["3"] == ["failed on 2026-01-03", "not yet"]
    assert states["4"] == ["not copied yet", "not yet"]


def test_people_who_are_not_in_nexus_have_pages_that_say_so_with_their_skipped_rows(sample_site):
    site = sample_site()
    write_patients(site)
    page = read_page(site.folder / person_page(NOT_FOUND))
    assert "Nexus has no patient with this FileMaker id" in page.text
    assert [row.all("th")[0].text for row in page.all("table")[0].all("tr")[1:]] == ["39", "40"]
    page = read_page(site.folder / person_page(AMBIGUOUS))
    assert "Nexus has 2 patients with this FileMaker id" in page.text
    links = {link.attributes["href"].rsplit("/", 1)[-1] for link in page.all("table")[0].all("a", class_="ids")}
    assert links == {"b315a41d-4ce1-4a41-a18a-674b2eeacc03.html", "fbae5066-babb-4115-9e88-0f4c0fd71521.html"}


def test_images_that_nexus_holds_under_nobody_are_on_one_page(sample_site):
    site = sample_site(
        "update int_image_candidates set nexus_patient_id = null, nexus_batch_id = null where recid in (15, 16)"
    )
    write_patients(site)
    page = read_page(site.folder / "patients" / "unknown.html")
    assert page.all("h1")[0].text == "Unknown patient"
    assert [tile.attributes["data-recid"] for tile in page.all("figure")] == ["15", "16"]


def test_many_patients_are_listed_in_parts_by_each_of_their_ids(sample_site):
    count = 2 * ROWS + 7
    site = sample_site(
        "insert into review_findings (finding, severity, patient_id, detail) "
        "select 'large_batch', 'note', cast(i as varchar), '31 images in one batch' "
        f"from range(1, {count + 1}) as rows (i)"
    )
    write_patients(site)
    index = read_page(site.folder / "patients.html")
    lists = {each.attributes["id"]: each.all("a") for each in index.all("ul", class_="parts")}
    assert [link.attributes["data-first"] for link in lists["by-nexus-id"]][:2] == ["1", str(ROWS + 1)]
    for folder, of_all in (
        ("by-nexus-id", "not starts_with(person, 'filemaker-')"),
        ("by-filemaker-id", "filemaker_ids <> ''"),
    ):
        [expected] = site.rows(f"select count(*) as people from memory.person where {of_all}")
        parts = [read_page(site.folder / link.attributes["href"]) for link in lists[folder]]
        assert sum(len(part.all("tr")) - 1 for part in parts) == expected["people"]
        firsts = [part.all("tr", id=None)[0].attributes["id"] for part in parts]
        assert firsts == [link.attributes["data-first"] for link in lists[folder]]


def test_a_person_of_many_images_has_pages_in_parts(sample_site):
    site = sample_site(
        "insert into int_image_candidates select candidate.* replace (1000000 + i as recid, 1000000 + i as recid_text, "
        "md5(cast(i as varchar)) as image_id) "
        "from int_image_candidates as candidate, range(1, 1001) as rows (i) where recid = 2"
    )
    write_patients(site)
    pages = [read_page(site.folder / person_page(PATIENT, part)) for part in (1, 2, 3)]
    records = [tile.attributes["data-recid"] for page in pages for tile in page.all("figure", data_recid=None)]
    assert len(records) == len(set(records)) == 1008
    assert not (site.folder / person_page(PATIENT, 4)).exists()


def test_the_contact_sheet_has_every_patient_before_anyone_twice(sample_site):
    site = sample_site(sample=20)
    write_sample(site)
    page = read_page(site.folder / "sample.html")
    [people] = site.rows("select count(distinct person) as count from memory.shown_image where outcome <> 'skipped'")
    patients = [tile.all("a")[-1].attributes["href"] for tile in page.all("figure")]
    assert len(patients) == 20
    assert len(set(patients[: people["count"]])) == people["count"]
