"""A person opens the review site of a synthetic clinic in a real Chromium, from its folder."""

import fcntl
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image, ImageChops, ImageOps, ImageStat
from playwright.sync_api import Browser, Page, expect

from linkage.paths import PROJECT_ROOT
from sandbox.clinic import DUMP, Clinic, draw_objects, make_clinic
from sandbox.s3_server import upload
from tests.support.browser import DESK, PHONE, chromium, watched_page
from tests.support.clinics import write_data_folder
from tests.support.projects import NO_UNIT_TESTS, InProcess, Project

COPIED = 400  # of some 600 images: the others are shown from the dump
SERIOUS = {"serious", "critical"}


@dataclass(frozen=True)
class Reviewed:
    """The site in `folder`, of the clinic whose pictures were drawn in `pictures`; `warehouse` has the marts."""

    clinic: Clinic
    pictures: Path
    warehouse: Path
    folder: Path

    def query(self, sql: str) -> list[tuple]:
        with duckdb.connect(str(self.warehouse), read_only=True) as marts:
            return marts.execute(sql).fetchall()


@pytest.fixture(scope="session")
def reviewed(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Reviewed:
    """The site of a tenth of the synthetic clinic, with some images copied; made once for all processes of pytest."""
    place = tmp_path_factory.getbasetemp() / "reviewed"
    if hasattr(request.config, "workerinput"):
        place = tmp_path_factory.getbasetemp().parent / "reviewed"
    place.mkdir(exist_ok=True)
    clinic = make_clinic(one_in=10)
    project = Project(place / "data", place / "work")
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / "ready").exists():
            make_site(clinic, project, place / "bucket", request.getfixturevalue("s3_environment"))
            (place / "ready").touch()
    return Reviewed(clinic, place / "bucket", project.work / "warehouse.duckdb", project.data / "review")


def make_site(clinic: Clinic, project: Project, pictures: Path, store: dict[str, str]) -> None:
    """Do what a person does: upload, build, copy a part, and make the site."""
    draw_objects(clinic.objects, pictures)
    write_data_folder(clinic, project.data, pictures)
    upload(store, "synthetic-clinic", pictures)
    ended = InProcess(project)("build", *NO_UNIT_TESTS)
    assert ended.success, ended.text
    environment = os.environ | store | project.environment
    for script, *arguments in (("copy_objects.py", project.manifest, "--limit", COPIED), ("build_review_site.py",)):
        command = [sys.executable, f"scripts/{script}", *map(str, arguments)]
        done = subprocess.run(command, cwd=PROJECT_ROOT, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


def open_site(page: Page, reviewed: Reviewed, name: str = "index.html") -> None:
    page.goto((reviewed.folder / name).as_uri())


def kind(name: str) -> re.Pattern[str]:
    """What links to the page of a kind say."""
    return re.compile(f"^{name.replace('_', ' ')}$", re.IGNORECASE)


def is_picture_of(thumbnail: Path, original: Path) -> bool:
    """Whether a thumbnail shows the drawn picture, upright."""
    with Image.open(thumbnail) as small, Image.open(original) as drawn:
        upright = ImageOps.exif_transpose(drawn).convert("RGB").resize(small.size)
        return max(ImageStat.Stat(ImageChops.difference(small.convert("RGB"), upright)).mean) < 6


def test_a_clinician_finds_a_patient_and_sees_the_right_pictures_in_the_right_batch(reviewed, browser):
    [(patient, filemaker_id)] = reviewed.query(
        "select patient_id, any_value(filemaker_patient_id) from image_outcome where outcome = 'linked' "
        "group by patient_id having count(distinct batch_id) >= 2 order by count(*) desc, patient_id limit 1"
    )
    rows = reviewed.query(
        f"select captured_date, recid, category, original_filename, batch_name from image inner join image_batch on "
        f"image_batch.id = image.batch_id where image.patient_id = '{patient}' order by captured_date desc, recid"
    )
    with watched_page(browser, reviewed.folder) as page:
        open_site(page, reviewed)
        page.get_by_role("link", name="Patients", exact=True).click()
        page.get_by_role("searchbox").fill(filemaker_id[:13])
        page.locator("table.data tbody").get_by_role("link").first.click()
        expect(page.get_by_role("heading", level=1)).to_contain_text(patient)
        batches = page.locator("section[data-batch-id]")
        names = list(dict.fromkeys(name for *_, name in rows))
        assert [text.split(")")[0] + ")" for text in batches.locator("h2").all_inner_texts()] == names
        for name, batch in zip(names, batches.all(), strict=True):
            in_batch = [row for row in rows if row[-1] == name]
            tiles = batch.locator("figure.tile").all()
            assert [tile.get_attribute("data-recid") for tile in tiles] == [str(row[1]) for row in in_batch]
            for (_, recid, category, original, _), tile in zip(in_batch, tiles, strict=True):
                caption = tile.locator("figcaption")
                expect(caption).to_contain_text(f"Record {recid}")
                expect(caption).to_contain_text(" ".join((category or "no category").split()))
                picture = tile.locator("img")
                picture.scroll_into_view_if_needed()
                page.wait_for_function(
                    "image => image.complete && image.naturalWidth > 0", arg=picture.element_handle()
                )
                shown = reviewed.folder / "patients" / picture.get_attribute("src")
                assert is_picture_of(shown, reviewed.pictures / DUMP / original), recid


def test_a_picture_opens_larger_and_everything_about_it_can_be_done_with_the_keyboard(reviewed, browser):
    [(patient,)] = reviewed.query("select patient_id from image group by 1 order by count(*) desc, 1 limit 1")
    with watched_page(browser, reviewed.folder) as page:
        open_site(page, reviewed, f"patients/{patient}.html")
        page.keyboard.press("Tab")
        expect(page.locator(":focus")).to_have_text("Skip to content")
        first, second = page.locator("a.zoom").nth(0), page.locator("a.zoom").nth(1)
        first.focus()
        page.keyboard.press("Enter")
        dialog = page.get_by_role("dialog")
        expect(dialog.locator("img")).to_have_attribute("alt", first.locator("img").get_attribute("alt"))
        page.keyboard.press("ArrowRight")
        expect(dialog.locator("img")).to_have_attribute("alt", second.locator("img").get_attribute("alt"))
        name = dialog.get_by_role("link", name="Download").get_attribute("download")
        assert re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}_[A-Za-z0-9-]+_[0-9]+\.jpg", name)
        page.keyboard.press("Escape")
        expect(dialog).to_have_count(0)
        expect(second).to_be_focused()


def test_an_analyst_filters_skipped_rows_and_follows_a_finding_to_both_patients(reviewed, browser):
    [(reason, count)] = reviewed.query(
        "select reason, count(*) from skipped_images group by reason order by count(*) desc, reason limit 1"
    )
    recid, detail, *patients = reviewed.query(
        "select recid, detail, patient_id, related_patient_id, related_recid from review_findings where finding = "
        "'same_bytes_two_patients' and patient_id is not null and related_patient_id is not null order by recid limit 1"
    )[0]
    *patients, related = patients
    with watched_page(browser, reviewed.folder) as page:
        open_site(page, reviewed)
        page.get_by_role("link", name=kind(reason)).first.click()
        rows = page.locator("table.data tbody tr")
        expect(page.locator("main")).to_contain_text(f"{count:,}")
        number = rows.nth(3).locator("th").inner_text()
        page.get_by_role("searchbox").fill(number)
        expect(rows.first).to_contain_text(number)
        assert rows.count() < count
        for patient, record in zip(patients, (recid, related), strict=True):
            open_site(page, reviewed)
            page.get_by_role("link", name="Findings", exact=True).click()
            page.get_by_role("link", name=kind("same_bytes_two_patients")).click()
            row = page.locator("tbody tr").filter(has_text=detail).filter(has_text=str(recid)).first
            row.get_by_role("link", name=patient).first.click()
            expect(page.get_by_role("heading", level=1)).to_contain_text(patient)
            expect(page.locator(f'figure.tile[data-recid="{record}"]')).to_have_count(1)


def test_the_owner_prints_the_report_on_two_sheets_at_most(reviewed, browser):
    with watched_page(browser, reviewed.folder) as page:
        open_site(page, reviewed, "report.html")
        expect(page.get_by_text("Signature")).to_be_visible()
        printed = page.pdf(format="A4")
        assert 1 <= len(re.findall(rb"/Type\s*/Page\b", printed)) <= 2
        page.emulate_media(media="print")
        expect(page.get_by_role("navigation")).to_have_count(0)


@pytest.mark.parametrize(("size", "scheme"), [(DESK, "light"), (PHONE, "dark")], ids=["desk", "phone in the dark"])
def test_every_kind_of_page_is_accessible_fits_the_screen_and_asks_for_nothing_elsewhere(
    reviewed, browser, size, scheme
):
    pages = sorted(reviewed.folder.rglob("*.html"), key=lambda path: (path.parent, path.stat().st_size))
    # of the pages of a folder, which have the same template, the one with the most to show; and the smallest
    judged = {*reviewed.folder.glob("*.html"), *{path.parent: path for path in pages}.values(), pages[0]}
    with watched_page(browser, reviewed.folder, viewport=size, color_scheme=scheme) as page:
        for path in judged | set(pages[::5]):
            page.goto(path.as_uri())
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path.name
            if path in judged:
                options = {"resultTypes": ["violations"], "preload": False}  # it would request the style sheet
                found = Axe().run(page, options=options).response["violations"]
                serious = [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in SERIOUS]
                assert not serious, (path.name, serious)
