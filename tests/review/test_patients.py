"""A page per patient, the index that leads there, and the contact sheet."""

import pytest

from linkage.review.names import download_name
from linkage.review.parts import ROWS
from linkage.review.patients import person_page, write_patients
from linkage.review.sample import write_sample
from tests.support.projects import uuid
from tests.support.site_pages import read_page, read_pages

PATIENT = "6d156733-3293-41df-a15c-ddbf9170cb1a"


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
    assert all(page.removeprefix("patients/id-").removesuffix(".html").isalnum() for page in pages)


def test_batches_are_as_the_application_shows_them(sample_site):
    site = sample_site()
    write_patients(site)
    page = read_page(site.folder / person_page(PATIENT))
    assert [heading.text for heading in page.all("h2")][:3] == [
        "3 Oct 2023 (FileMaker Import) 1 image",
        "25 Nov 2019 (FileMaker Import) 2 images",
        "18 Oct 2016 (FileMaker Import) 5 images",
    ]
    tiles = page.all("section")[-1].all("figure")
    assert [tile.all("figcaption")[0].text for tile in tiles][:2] == ["Dorsal Record 2", "Plantar Record 3"]
    [row] = [row for row in page.all("section")[-1].all("tr") if row.all("th")[0].text == "4"]
    ...
