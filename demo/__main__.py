"""`make demo`: the whole job on a synthetic clinic, with a real S3 server and a real Nexus database, and then again."""

import sys
import textwrap
from collections import Counter

from demo import checks
from demo.checks import inserted
from demo.commands import (
    BUCKET,
    DEMO,
    DUMP_URL,
    FOLDER,
    MANIFEST,
    NO_UNIT_TESTS,
    PICTURES,
    empty_demo_folder,
    list_bucket,
    nexus_of,
    read_results,
    read_summary,
    require,
    run_dbt_build,
    run_script,
    s3_storage,
    say,
    step,
)
from demo.job import MANIFEST_NAME, copy_and_publish, list_and_decide, tell, write_clinic
from sandbox.clinic import EXPORT_NAME, Clinic, draw_objects, make_clinic
from sandbox.nexus_database import read_back
from sandbox.s3_server import upload

NEXT = """\
Everything is in {folder}/; the pictures are in {folder}/bucket/. Ask the marts, or open DuckDB's shell on them:

  export LINKAGE_DATA={folder}
  make query SQL="from skipped_by_reason"
  make query SQL="from patients_not_found"
  make query

README.md goes through the same steps with your own records. Now open the review site, which shows the clinic's pictures
and what became of every row of its export:

  {site}"""


def story() -> str:
    """Tell the story; returns what to read next."""
    with step("Invent a clinic and draw its pictures"):
        empty_demo_folder()
        clinic = invent_clinic()
    with s3_storage() as environment, nexus_of(clinic, environment) as owner:
        copies = import_records(clinic, environment)
        import_again(clinic, environment, copies)
        with step("Make the review site: every picture under its patient, and the account of every row"):
            run_script(environment, "build_review_site.py")
        with step("Look at one patient's images through Nexus's own models"):
            show_patient(clinic, owner, list_bucket(environment))
    return NEXT.format(folder=FOLDER, site=(DEMO / "review" / "index.html").resolve().as_uri())


def invent_clinic() -> Clinic:
    """Write the clinic's records and pictures to the demo's folder; Nexus's records go into Nexus instead."""
    clinic = make_clinic()
    write_clinic(clinic)
    draw_objects(clinic.objects, PICTURES)
    say(f"{len(clinic.rows):,} rows in {FOLDER}/{EXPORT_NAME}, {len(clinic.objects):,} objects in {FOLDER}/bucket/")
    return clinic


def import_records(clinic: Clinic, environment: dict[str, str]) -> dict[str, str]:
    """Go from export, bucket and Nexus to verified copies and rows in Nexus; returns the copies' ETags by key."""
    with step("Upload the pictures to where FileMaker's bulk dump would have put them"):
        upload(environment, BUCKET, PICTURES)
        before = list_bucket(environment)
        checks.check_uploads(before)
    with step("Convert the FileMaker export"):
        run_script(environment, "convert_fm_tab_to_csv.py", f"{FOLDER}/{EXPORT_NAME}")
    list_and_decide(clinic, environment)
    with step("Preview what copying the first 100 images would do"):
        run_script(environment, "copy_objects.py", MANIFEST_NAME, "--dry-run", "--limit", "100")
        require(list_bucket(environment) == before, "the dry run changed the bucket")
        require(not read_results(), "the dry run recorded results")
    return copy_and_publish(clinic, environment, before)


def import_again(clinic: Clinic, environment: dict[str, str], copies: dict[str, str]) -> None:
    """Repeat every step: first with the old export from Nexus, then with a new one."""
    after = list_bucket(environment)
    manifest, summary = MANIFEST.read_bytes(), read_summary()
    with step("Again: list the bucket"):
        run_script(environment, "list_s3_objects.py", DUMP_URL)
    with step("Again: decide"):
        # The models' unit tests do not depend on the records, and have just passed.
        run_dbt_build(environment, *NO_UNIT_TESTS)
        require(MANIFEST.read_bytes() == manifest, "the second build wrote a different manifest.csv")
        again = read_summary() | {"rows_of_last_build": summary["rows_of_last_build"]}
        require(again == summary, "the second build has a different import_summary")
        say("manifest.csv is the same, byte for byte")
    with step("Again: copy"):
        run_script(environment, "copy_objects.py", MANIFEST_NAME)
        outcomes = checks.outcomes_of_last_run()
        found_all = outcomes == {"already_present": len(copies)}
        require(found_all, f"the second copy run did not find every copy present: {outcomes}")
        require(list_bucket(environment) == after, "the second copy run changed the bucket")
        say("the bucket is the same, object for object")
    with step("Audit: compare manifest, results and bucket"):
        run_script(environment, "copy_objects.py", MANIFEST_NAME, "--verify")
    with step("Again: publish"):
        said = run_script(environment, "publish_to_nexus.py")
        require(inserted(said) == (0, 0), "the second publishing run inserted rows")

    with step("Export from Nexus again, then decide, copy and publish: every image is already linked"):
        run_script(environment, "export_nexus_records.py")
        checks.check_nexus_seeds(clinic, batches=summary["image_batches"], images=len(copies))
        run_dbt_build(environment, *NO_UNIT_TESTS)
        linked = read_summary()
        require(linked["already_linked_images"] == len(copies), "not every published image is already linked")
        require(linked["objects_to_copy"] == 0, "there are still objects to copy")
        run_script(environment, "copy_objects.py", MANIFEST_NAME)
        require(list_bucket(environment) == after, "the last copy run changed the bucket")
        said = run_script(environment, "publish_to_nexus.py")
        require(inserted(said) == (0, 0), "the last publishing run inserted rows")


def show_patient(clinic: Clinic, owner: str, stored: dict[str, str]) -> None:
    """Show the patient with the most images: what Nexus has of them, and where it is in the bucket."""
    ((patient_id, _),) = Counter(row.patient_id for row in clinic.rows if not row.reason).most_common(1)
    batches = [batch for batch in read_back(owner, patient_id) if batch["batch_name"].endswith("(FileMaker Import)")]
    images = [image for batch in batches for image in batch["images"]]
    checks.check_patient(clinic, patient_id, images, stored)
    say(f"Patient {patient_id} has {len(images)} images in {len(batches)} batches.")
    say(f"All of them are in s3://{BUCKET}/patients/{patient_id}/")
    for batch in batches:
        names = ", ".join(f"{image['original_filename']} {image['category']}" for image in batch["images"])
        say(textwrap.shorten(f"{batch['batch_name']}: {names}", 100, placeholder=" …"))


if __name__ == "__main__":
    sys.exit(tell(story))
