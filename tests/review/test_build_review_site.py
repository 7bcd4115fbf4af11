"""scripts/build_review_site.py as a person runs it, on the sample as a clinic's data folder."""

import os
import shutil
from contextlib import suppress
from pathlib import Path

import duckdb
import pytest
from botocore.exceptions import ClientError

from build_review_site import main
from linkage.paths import SAMPLE_FOLDER
from linkage.review import choosing
from tests.support.projects import hashes
from tests.support.site_pages import read_page

UNREACHABLE = {"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}


@pytest.fixture
def data(built_sample: Path, tmp_path: Path) -> Path:
    """A data folder with the sample's files and its warehouse."""
    folder = tmp_path / "data"
    shutil.copytree(SAMPLE_FOLDER, folder, ignore=shutil.ignore_patterns("expected"))
    shutil.copyfile(built_sample, folder / "image_linkage.duckdb")
    with duckdb.connect(str(folder / "image_linkage.duckdb")) as warehouse:
        warehouse.execute("update build_settings set value = ? where name = 'data_folder'", [str(folder)])
    return folder


@pytest.fixture
def build(run_here, data):
    """Callable: one run of the script; returns its exit code, output and errors."""

    def run(*arguments, environment=UNREACHABLE, **variables):
        settings = {"PATH": os.environ["PATH"], "AWS_REGION": "us-east-1", "LINKAGE_DATA": str(data), **environment}
        done = run_here(main, *arguments, environment=settings | variables)
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.fixture
def with_bucket(s3, s3_environment):
    """A store with the sample's bucket, which is empty: every picture that is read cannot be read."""
    with suppress(ClientError):
        s3.client.create_bucket(Bucket="clinic-images")
    return s3_environment


def pictures(folder: Path, page: str) -> list[str]:
    """What the tiles of a page's own images show, none of which is a picture."""
    tiles = read_page(folder / page).all("div", class_="tiles")
    return [text.text for of_batch in tiles for text in of_batch.all("p", class_="no-picture")]


def test_a_site_is_its_owners_alone_and_the_next_one_takes_its_place(data, build):
    before = hashes(data)
    for _ in range(2):
        code, said, _ = build("--no-pictures")
        assert code == 0
        assert said.endswith(f"open {(data / 'review' / 'index.html').as_uri()}\n")
    assert (data / "review").stat().st_mode & 0o777 == 0o700
    made = hashes(data)
    assert before.items() <= made.items()
    assert all(Path(path).is_relative_to(data / "review") for path in made.keys() - before.keys() if "/." not in path)


def test_without_a_store_the_old_site_stays_and_one_sentence_says_why(data, build):
    build("--no-pictures")
    before = hashes(data / "review")
    code, said, error = build()
    assert (code, said, error.count("\n")) == (2, "", 1)
    assert error.startswith("error: ")
    assert hashes(data / "review") == before


@pytest.mark.parametrize(
    ("break_it", "sentence"),
    [
        (lambda data: (data / "image_linkage.duckdb").unlink(), "is missing: run `dbt build`"),
        (lambda data: (data / "copy_results.csv").write_text("run_id\n1\n"), "copy_results.csv has no column"),
        (lambda data: (data / "publish_results.csv").write_text("kind\n1\n"), "publish_results.csv has no column"),
    ],
)
def test_what_cannot_be_read_ends_in_one_sentence_and_leaves_no_site(data, build, break_it, sentence):
    break_it(data)
    code, _, error = build("--no-pictures")
    assert (code, error.count("\n")) == (2, 1)
    assert sentence in error
    assert not (data / "review").exists()


def test_marts_of_another_data_folder_are_refused(data, build, tmp_path):
    shutil.copytree(data, tmp_path / "other")
    code, _, error = build("--no-pictures", LINKAGE_DATA=str(tmp_path / "other"))
    assert code == 2
    assert "run `dbt build` with the same LINKAGE_DATA" in error


def test_of_a_patient_and_of_a_sample_only_their_pictures_are_read(data, build, with_bucket):
    one, other = "6d156733-3293-41df-a15c-ddbf9170cb1a", "0f2e40bf-5b6d-4835-bb4c-5e60abc3fb9b"
    assert build("--patient", f" {one.upper()} ", environment=with_bucket)[0] == 0
    assert set(pictures(data / "review", f"patients/{one}.html")) == {"cannot be read"}
    assert set(pictures(data / "review", f"patients/{other}.html")) == {"no picture"}
    assert build("--sample", 3, environment=with_bucket)[0] == 0
    assert pictures(data / "review", "sample.html") == ["cannot be read"] * 3
    assert "no picture" in pictures(data / "review", f"patients/{one}.html")
    code, _, error = build("--patient", "Somebody", environment=with_bucket)
    assert (code, error) == (
        2,
        "error: no picture is of the patient that --patient names: give an id of Nexus or FileMaker\n",
    )


def test_very_many_pictures_are_read_only_if_somebody_asks(data, build, with_bucket, monkeypatch):
    monkeypatch.setattr(choosing, "MOST_PICTURES", 10)
    code, _, error = build(environment=with_bucket)
    assert code == 0
    assert "pictures are too many to read all: --sample N or --patient ID reads some" in error
    assert set(pictures(data / "review", "patients/6d156733-3293-41df-a15c-ddbf9170cb1a.html")) == {"no picture"}
