"""`make demo`: the whole job on a synthetic clinic, with a real S3 server and a real Nexus database, and then again."""

import os
import subprocess
import sys
import textwrap
import time
from collections import Counter

import duckdb
import psycopg

from demo import checks
from demo.checks import inserted
from demo.commands import (
    BUCKET,
    DEMO,
    DUMP_URL,
    MANIFEST,
    NO_UNIT_TESTS,
    PICTURES,
    DemoFailed,
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
from sandbox.clinic import EXPORT_NAME, Clinic, draw_objects, make_clinic, write_records
from sandbox.nexus_database import read_back
from sandbox.s3_server import upload

NEXT = """\
Everything is in data/demo/; the pictures are in data/demo/bucket/. Ask the marts, or open DuckDB's shell on them:

  export LINKAGE_DATA=data/demo
  make query SQL="from skipped_by_reason"
  make query SQL="from patients_not_found"
  make query

README.md goes through the same steps with your own records. Now open the review site, which shows the clinic's pictures
and what became of every row of its export:

  {site}"""
FAILURES = (DemoFailed, OSError, RuntimeError, subprocess.SubprocessError, duckdb.Error, psycopg.Error)


def main() -> int:
    """Tell the story; returns 0 if every check passes, or 1 after one sentence about what failed."""
    os.umask(0o077)
    started = time.monotonic()
    try:
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
    except FAILURES as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped by Ctrl-C; everything made so far is in data/demo/.", file=sys.stderr)
        return 130
    site = (DEMO / "review" / "index.html").resolve().as_uri()
    print(f"All checks passed, in {time.monotonic() - started:.0f} s.\n\n{NEXT.format(site=site)}")
    return 0


def invent_clinic() -> Clinic:
    """Write the clinic's records and pictures to data/demo/; Nexus's records go into Nexus instead."""
    clinic = make_clinic()
    write_records(clinic, DEMO)
    for path in DEMO.glob("nexus_*.csv"):
        path.unlink()
    draw_objects(clinic.objects, PICTURES)
    say(f"{len(clinic.rows):,} rows in data/demo/{EXPORT_NAME}, {len(clinic.objects):,} objects in data/demo/bucket/")
    return clinic


def import_records(clinic: Clinic, environment: dict[str, str]) -> dict[str, str]:
    """Go from export, bucket and Nexus to verified copies and rows in Nexus; returns the copies' ETags by key."""
    with step("Upload the pictures to where FileMaker's bulk dump would have put them"):
        upload(environment, BUCKET, PICTURES)
        before = list_bucket(environment)
        checks.check_uploads(before)
    with step("Convert the FileMaker export"):
        run_script(environment, "convert_fm_tab_to_csv.py", f"data/demo/{EXPORT_NAME}")
    with step("List the bucket"):
        run_script(environment, "list_s3_objects.py", DUMP_URL)
    with step("Export patients, batches and images from Nexus"):
        run_script(environment, "export_nexus_records.py")
        checks.check_nexus_seeds(clinic, batches=0, images=0)
    with step("Decide which image belongs to which patient, and test the result"):
        run_dbt_build(environment)
        checks.check_outcomes(clinic)
        checks.check_findings(clinic)
    with step("Preview what copying the first 100 images would do"):
        run_script(environment, "copy_objects.py", "data/demo/manifest.csv", "--dry-run", "--limit", "100")
        require(list_bucket(environment) == before, "the dry run changed the bucket")
        require(not read_results(), "the dry run recorded results")
    with step("Copy the images"):
        run_script(environment, "copy_objects.py", "data/demo/manifest.csv")
    print_summary()
    with step("Check every copy in a listing of the bucket"):
        copies = checks.expected_copies(clinic, before)
        checks.check_copies(before, copies, list_bucket(environment))
    with step("Publish the images to Nexus"):
        planned = run_script(environment, "publish_to_nexus.py", "--dry-run")
        done = run_script(environment, "publish_to_nexus.py")
        require(inserted(planned) == inserted(done), "publishing did not insert what its dry run announced")
        require(inserted(done)[1] == len(copies), "publishing did not insert every copied image")
    return copies


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
        run_script(environment, "copy_objects.py", "data/demo/manifest.csv")
        outcomes = checks.outcomes_of_last_run()
        found_all = outcomes == {"already_present": len(copies)}
        require(found_all, f"the second copy run did not find every copy present: {outcomes}")
        require(list_bucket(environment) == after, "the second copy run changed the bucket")
        say("the bucket is the same, object for object")
    with step("Audit: compare manifest, results and bucket"):
        run_script(environment, "copy_objects.py", "data/demo/manifest.csv", "--verify")
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
        run_script(environment, "copy_objects.py", "data/demo/manifest.csv")
        require(list_bucket(environment) == after, "the last copy run changed the bucket")
        said = run_script(environment, "publish_to_nexus.py")
        require(inserted(said) == (0, 0), "the last publishing run inserted rows")


def print_summary() -> None:
    """Print the import in six lines."""
    figures, copied = read_summary(), Counter(checks.outcomes_of_last_run())

    def by_reason(kind: str) -> str:
        counts = Counter({name.removeprefix(kind): value for name, value in figures.items() if name.startswith(kind)})
        del counts["images"], counts["objects"]
        return ", ".join(f"{reason} {count:,}" for reason, count in counts.most_common() if count)

    others = ("already_present", "conflict", "failed")
    lines = [
        ("Export rows", figures["export_rows"], ""),
        ("linked", figures["linked_images"], f"in {figures['image_batches']:,} batches"),
        ("already linked", figures["already_linked_images"], ""),
        ("skipped", figures["skipped_images"], by_reason("skipped_")),
        ("Objects", figures["objects"], f"unmatched {figures['unmatched_objects']:,}: {by_reason('unmatched_')}"),
        ("copied", copied["copied"], ", ".join(f"{outcome} {copied[outcome]:,}" for outcome in others)),
    ]
    print()
    for label, number, more in lines:
        text = f"    {label:<18}{number:>10,}   {more}"
        print("\n".join(textwrap.wrap(text, 100, subsequent_indent=" " * 35)))
    print(flush=True)


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
    sys.exit(main())
