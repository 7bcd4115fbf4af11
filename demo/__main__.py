"""`make demo`: the main job on a synthetic clinic, with the real scripts, a real S3 server and Nexus, and once more."""

import csv
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import duckdb
import psycopg
from botocore.exceptions import BotoCoreError, ClientError

from sandbox.clinic import DUMP, EXPORT_NAME, Clinic, draw_objects, files_under, make_clinic, upload, write_records
from sandbox.nexus_database import nexus_database, read_back
from sandbox.s3_server import client, s3_server

PROJECT_ROOT = Path(__file__).resolve().parents[1]
DEMO = PROJECT_ROOT / "data" / "demo"
MARK = DEMO / "MADE_BY_MAKE_DEMO.txt"
PICTURES = DEMO / "bucket"
MANIFEST = DEMO / "manifest.csv"
RESULTS = DEMO / "copy_results.csv"
WAREHOUSE = DEMO / "image_linkage.duckdb"
BUCKET = "synthetic-clinic"
CANARY = "patients/image-linkage-canary"  # what copy_objects.py tries the store with
NEXUS_SEEDS = ("nexus_patients", "nexus_image_batches", "nexus_images")
DUMP_URL = f"s3://{BUCKET}/{DUMP}"
NEXT = """\
Everything is in data/demo/, the pictures in data/demo/bucket/. Look further:

  ask() { .venv/bin/python -c 'import duckdb, sys
with duckdb.connect("data/demo/image_linkage.duckdb", read_only=True) as marts: marts.sql(sys.argv[1]).show()' "$1"; }

  ask "select recid, reason, detail from skipped_images where reason <> 'patient_not_found' limit 20"
  ask "select * from unmatched_patients order by image_count desc limit 10"
  ask "select reason, record_reason, count(*) from unmatched_objects group by all order by all"
  ask "select outcome, reason, count(*) from image_outcome group by all order by all"

README.md goes through the same steps with your own records."""


class DemoFailed(Exception):
    """Something does not hold; the message is one sentence that says what."""


FAILURES = (
    DemoFailed, OSError, RuntimeError, subprocess.SubprocessError, duckdb.Error, psycopg.Error, BotoCoreError,
    ClientError,
)  # fmt: skip


def main() -> int:
    """Tell the story; 0 where all of it holds, 1 and one sentence where something does not."""
    os.umask(0o077)
    started = time.monotonic()
    try:
        with step("Invent a clinic, and draw its pictures"):
            empty_demo_folder()
            clinic = invent_clinic()
        with s3_storage() as environment, nexus_of(clinic, environment) as owner:
            copies = import_records(clinic, environment)
            import_again(clinic, environment, copies)
            with step("Look at one patient's images, as Nexus's own code sees them"):
                show_patient(clinic, owner, list_bucket(client(environment)))
    except FAILURES as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped by Ctrl-C; what was made so far is in data/demo/", file=sys.stderr)
        return 130
    print(f"All of it holds, in {time.monotonic() - started:.0f} s.\n\n{NEXT}")
    return 0


def import_records(clinic: Clinic, environment: dict[str, str]) -> dict[str, str]:
    """From the export, the bucket and Nexus to verified copies and rows in Nexus; the copies' keys with their ETags."""
    s3 = client(environment)
    with step("Upload the pictures, as FileMaker's bulk dump left them"):
        before = fill_bucket(s3)

    with step("Convert the export"):
        run_script(environment, "convert_fm_tab_to_csv.py", f"data/demo/{EXPORT_NAME}")
    with step("List the bucket"):
        run_script(environment, "list_s3_objects.py", DUMP_URL)
    with step("Read patients, batches and images out of Nexus"):
        export_nexus(clinic, environment)
    with step("Decide what belongs to whom, and test it"):
        run_dbt_build(environment)
        check_outcomes(clinic)
    with step("Ask what copying the first 100 would do"):
        run_script(environment, "copy_objects.py", "data/demo/manifest.csv", "--dry-run", "--limit", "100")
        hold(list_bucket(s3) == before, "the dry run changed the bucket")
        hold(not read_results(), "the dry run recorded results")
    with step("Copy"):
        run_script(environment, "copy_objects.py", "data/demo/manifest.csv")
    print_summary()
    with step("Prove the copies, by S3's own listing"):
        copies = expected_copies(clinic, before)
        after = list_bucket(s3)
        check_copies(before, copies, after)
    with step("Publish to Nexus"):
        would = run_script(environment, "publish_to_nexus.py", "--dry-run")
        done = run_script(environment, "publish_to_nexus.py")
        hold(inserted(would) == inserted(done), "publishing did not insert what its dry run said")
        hold(inserted(done)[1] == len(copies), "publishing did not insert each copied image")
    return copies


def import_again(clinic: Clinic, environment: dict[str, str], copies: dict[str, str]) -> None:
    """Every step once more: first as if Nexus had not been asked again, then with what it holds now."""
    after = list_bucket(client(environment))
    manifest, summary = MANIFEST.read_bytes(), read_summary()
    with step("Again: list the bucket"):
        run_script(environment, "list_s3_objects.py", DUMP_URL)
    with step("Again: decide"):
        # the models' unit tests, which do not look at the records, have just passed
        run_dbt_build(environment, "--exclude-resource-type", "unit_test")
        hold(MANIFEST.read_bytes() == manifest, "the second build wrote another manifest.csv than the first")
        hold(read_summary() == summary, "the second build counts otherwise than the first")
        say("manifest.csv is the same, byte for byte")
    with step("Again: copy"):
        run_script(environment, "copy_objects.py", "data/demo/manifest.csv")
        again = outcomes_of_last_run()
        hold(again == {"already_present": len(copies)}, f"the second copy run was to find all copies there: {again}")
        hold(list_bucket(client(environment)) == after, "the second copy run changed the bucket")
        say("the bucket is the same, object for object")
    with step("Audit: compare the manifest and the results with the store"):
        run_script(environment, "copy_objects.py", "data/demo/manifest.csv", "--verify")
    with step("Again: publish"):
        hold(inserted(run_script(environment, "publish_to_nexus.py")) == (0, 0), "the second run inserted something")

    with step("Read Nexus again, decide, copy, publish: all is already linked"):
        export_nexus(clinic, environment, batches=summary["image_batches"], images=len(copies))
        run_dbt_build(environment, "--exclude-resource-type", "unit_test")
        linked = read_summary()
        hold(linked["already_linked_images"] == len(copies), "not every published image is already linked")
        hold(linked["objects_to_copy"] == 0, "there are still objects to copy")
        run_script(environment, "copy_objects.py", "data/demo/manifest.csv")
        hold(list_bucket(client(environment)) == after, "the last copy run changed the bucket")
        hold(inserted(run_script(environment, "publish_to_nexus.py")) == (0, 0), "publishing inserted something")


def invent_clinic() -> Clinic:
    """Write the clinic's records and pictures into data/demo/."""
    clinic = make_clinic()
    write_records(clinic, DEMO)
    draw_objects(clinic.objects, PICTURES)
    say(f"{len(clinic.rows):,} rows in data/demo/{EXPORT_NAME}, {len(clinic.objects):,} objects in data/demo/bucket/")
    return clinic


def empty_demo_folder() -> None:
    """Make data/demo/, or delete what an earlier demo left in it; never what anything else made."""
    foreign = DEMO.is_symlink() or (DEMO.exists() and not MARK.exists() and any(DEMO.iterdir()))
    hold(not foreign, "data/demo holds what no demo made; move it elsewhere and run `make demo` again")
    DEMO.mkdir(mode=0o700, parents=True, exist_ok=True)
    MARK.write_text("`make demo` made all that is here, of invented records, and deletes it when it runs again.\n")
    for path in DEMO.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path != MARK:
            path.unlink()


@contextmanager
def s3_storage() -> Iterator[dict[str, str]]:
    """SeaweedFS while the context lasts; yields the environment in which the scripts run."""
    with ExitStack() as open_until_the_end:
        folder = Path(open_until_the_end.enter_context(tempfile.TemporaryDirectory(prefix="image-linkage-demo-")))
        try:
            with step("Start SeaweedFS, an S3 server"):
                environment = open_until_the_end.enter_context(s3_server(folder))
        except RuntimeError:
            shutil.copy(folder / "weed.log", DEMO)
            raise DemoFailed("SeaweedFS does not start; its log is data/demo/weed.log") from None
        yield {
            **{name: value for name, value in environment.items() if not name.startswith("DBT_")},
            "LINKAGE_DATA": "data/demo",
            "LINKAGE_WAREHOUSE": "data/demo/image_linkage.duckdb",
            "MANIFEST_PATH": "data/demo/manifest.csv",
            "DBT_TARGET_PATH": "data/demo/target",
            "DBT_LOG_PATH": "data/demo/logs",
        }


@contextmanager
def nexus_of(clinic: Clinic, environment: dict[str, str]) -> Iterator[str]:
    """Nexus while the context lasts; yields its owner's URL, and sets `NEXUS_DATABASE_URL` to that of our role."""
    with ExitStack() as open_until_the_end:
        with step("Start PostgreSQL, migrate Nexus's Django models, and register the patients"):
            owner, environment["NEXUS_DATABASE_URL"] = open_until_the_end.enter_context(nexus_database(clinic))
        for seed in NEXUS_SEEDS:
            (DEMO / f"{seed}.csv").unlink()  # they are to come out of Nexus
        yield owner


def export_nexus(clinic: Clinic, environment: dict[str, str], batches: int = 0, images: int = 0) -> None:
    """Run the export; it must find the clinic's own records, and as many batches and images of the import."""
    run_script(environment, "export_nexus_records.py")
    patients, *others = ((DEMO / f"{seed}.csv").read_text(encoding="utf-8").splitlines()[1:] for seed in NEXUS_SEEDS)
    expected = sorted(f"{patient_id},{filemaker_id.lower()}" for patient_id, filemaker_id in clinic.nexus_patients)
    hold(patients == expected, "the patients in Nexus are not those that were registered")
    counts = [len(clinic.nexus_image_batches) + batches, len(clinic.nexus_images) + images]
    hold([len(rows) for rows in others] == counts, f"Nexus was to hold {counts} batches and images")


def inserted(said: str) -> tuple[int, int]:
    """How many batches and images a publishing run says that it inserted, or would."""
    found = re.search(r"nsert(?:ed)? ([0-9,]+) image batches and ([0-9,]+) images", said)
    hold(found is not None, "publishing did not say what it inserted")
    batches, images = (int(number.replace(",", "")) for number in found.groups())
    return batches, images


def show_patient(clinic: Clinic, owner: str, stored: dict[str, str]) -> None:
    """Show the patient with the most images: Nexus must have just those, in the patient's own folder of the bucket."""
    rows = [row for row in clinic.rows if not row.reason]
    ((patient_id, _),) = Counter(row.patient_id for row in rows).most_common(1)
    made = {f"{int(row.recid)}.{row.extension}": row.type.strip() for row in rows if row.patient_id == patient_id}
    batches = [batch for batch in read_back(owner, patient_id) if batch["batch_name"].endswith("(FileMaker Import)")]
    images = [image for batch in batches for image in batch["images"]]
    found = {image["original_filename"]: image["category"] for image in images}
    hold(found == made, "the patient does not have the images that were made for them")
    own = f"patients/{patient_id}/"
    hold(all(image["s3_key"] in stored and image["s3_key"].startswith(own) for image in images), "an image is missing")
    say(f"Patient {patient_id}: {len(images)} images in {len(batches)} batches, all of them in s3://{BUCKET}/{own}")
    for batch in batches:
        names = ", ".join(f"{image['original_filename']} {image['category']}" for image in batch["images"])
        say(textwrap.shorten(f"{batch['batch_name']}: {names}", 100, placeholder=" …"))


def fill_bucket(s3: Any) -> dict[str, str]:
    """Upload the pictures; each key with its ETag, which must be the MD5 of the drawn file."""
    s3.create_bucket(Bucket=BUCKET)
    upload(s3, BUCKET, PICTURES)
    drawn = {
        path.relative_to(PICTURES).as_posix(): hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
        for path in files_under(PICTURES)
    }
    hold(list_bucket(s3) == drawn, "the bucket does not hold what was uploaded")
    say(f"{len(drawn):,} objects in s3://{BUCKET}")
    return drawn


def list_bucket(s3: Any) -> dict[str, str]:
    """Every key of the bucket with its ETag."""
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
    return {found["Key"]: found["ETag"].strip('"') for page in pages for found in page.get("Contents", [])}


def run_script(environment: dict[str, str], name: str, *arguments: str) -> str:
    """Run one of the project's scripts as a person would, and show what it prints, which is returned."""
    say(f"$ python scripts/{name} {' '.join(arguments)}")
    done = run(environment, sys.executable, f"scripts/{name}", *arguments)
    say(done.stdout)
    hold(done.returncode == 0, f"scripts/{name} ended with exit code {done.returncode}")
    return done.stdout


def run_dbt_build(environment: dict[str, str], *options: str) -> None:
    """Build and test the models; dbt's own words only where they are needed."""
    say(" ".join(["$ dbt build", *options]))
    dbt = str(Path(sys.executable).with_name("dbt"))
    done = run(environment, dbt, "--no-use-colors", "build", "--target", "duckdb", *options)
    if done.returncode:
        say(done.stdout)
    hold(done.returncode == 0, f"dbt build ended with exit code {done.returncode}")
    say("\n".join(re.findall(r"PASS=.*|manifest\.csv: .*", done.stdout)))


def run(environment: dict[str, str], *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command from the project root; its progress and errors go straight to stderr."""
    return subprocess.run(command, cwd=PROJECT_ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=False)


def check_outcomes(clinic: Clinic) -> None:
    """Hold every row's outcome, patient and type against what the row was made for."""
    made = Counter((row.recid, row.reason or "linked") for row in clinic.rows)
    found = Counter(query("select coalesce(recid, ''), coalesce(reason, outcome) from image_outcome"))
    wrong = (made - found).total() + (found - made).total()
    hold(not wrong, f"{wrong} outcomes are missing, or others than the rows were made for; look at image_outcome")
    # FileMaker's VT is a return in a value, and the seed holds it as one.
    linked = {(int(row.recid), row.patient_id, row.type.replace("\x0b", "\n")) for row in clinic.rows if not row.reason}
    images = set(query("select recid, patient_id, coalesce(filemaker_type, '') from image"))
    hold(images == linked, f"{len(images ^ linked)} images have another patient or type than they were made for")
    say("every row has the outcome, and every image the patient and type, that it was made for")


def expected_copies(clinic: Clinic, before: dict[str, str]) -> dict[str, str]:
    """Each linked image's key with the ETag of its record's own object."""
    made = {int(row.recid): row for row in clinic.rows if not row.reason}
    copies = {}
    for recid, key in query("select recid, s3_key from image"):
        row = made[recid]
        hold(
            key.startswith(f"patients/{row.patient_id}/"), f"the copy of record {recid} is not in its patient's folder"
        )
        copies[key] = before[f"{DUMP}{recid}.{row.extension}"]
    hold(len(copies) == len(made), "there are not as many destination keys as linked rows")
    return copies


def check_copies(before: dict[str, str], copies: dict[str, str], after: dict[str, str]) -> None:
    """The bucket holds what it held, unchanged, one copy of each linked image, the canary, and nothing else."""
    changed = [key for key in before if after.get(key) != before[key]]
    hold(not changed, f"{len(changed)} objects that were there before are changed or gone")
    wrong = [key for key in copies if after.get(key) != copies[key]]
    hold(not wrong, f"{len(wrong)} of {len(copies):,} copies are missing or differ from their original")
    more = after.keys() - before.keys() - copies.keys() - {CANARY}
    hold(not more, f"{len(more)} objects are there that nobody asked for")
    say(f"{len(copies):,} copies, one for each linked image, in its patient's folder, with its original's ETag")
    say(f"{len(before):,} objects that were there before: all unchanged")


def read_results() -> list[dict[str, str]]:
    """The lines of copy_results.csv."""
    with RESULTS.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def outcomes_of_last_run() -> dict[str, int]:
    """How often each outcome came in the run that wrote the last line of copy_results.csv."""
    results = read_results()
    return dict(Counter(line["outcome"] for line in results if line["run_id"] == results[-1]["run_id"]))


def query(sql: str) -> list[tuple[Any, ...]]:
    """Rows from the marts; the file is closed at once, since DuckDB lets one process write or several read."""
    with duckdb.connect(str(WAREHOUSE), read_only=True) as connection:
        return connection.execute(sql).fetchall()


def read_summary() -> dict[str, int]:
    """The mart import_summary."""
    return dict(query("select metric, value from import_summary"))


def print_summary() -> None:
    """The import in six lines."""
    figures, copied = read_summary(), outcomes_of_last_run()

    def by_reason(kind: str) -> str:
        counts = Counter({name.removeprefix(kind): value for name, value in figures.items() if name.startswith(kind)})
        del counts["images"], counts["objects"]
        return ", ".join(f"{reason} {count:,}" for reason, count in counts.most_common() if count)

    lines = [
        ("Export rows", figures["export_rows"], ""),
        ("linked", figures["linked_images"], f"in {figures['image_batches']:,} batches"),
        ("already linked", figures["already_linked_images"], ""),
        ("skipped", figures["skipped_images"], by_reason("skipped_")),
        ("Objects", figures["objects"], f"unmatched {figures['unmatched_objects']:,}: {by_reason('unmatched_')}"),
        (
            "copied",
            copied.get("copied", 0),
            f"already present {copied.get('already_present', 0):,}, conflicts {copied.get('conflict', 0):,}, "
            f"failed {copied.get('failed', 0):,}",
        ),
    ]
    print()
    for label, number, more in lines:
        text = f"    {label:<18}{number:>10,}   {more}"
        print("\n".join(textwrap.wrap(text, 100, subsequent_indent=" " * 35)))
    print(flush=True)


@contextmanager
def step(title: str) -> Iterator[None]:
    """Print what begins, and at its end how long it took."""
    print(f"==> {title}", flush=True)
    started = time.monotonic()
    yield
    say(f"{time.monotonic() - started:.1f} s")


def say(text: str) -> None:
    """Print lines under their step."""
    if text.strip():
        print(textwrap.indent(text.rstrip("\n"), "    "), flush=True)


def hold(condition: bool, otherwise: str) -> None:
    """Raise DemoFailed where something that must hold does not."""
    if not condition:
        raise DemoFailed(otherwise)


if __name__ == "__main__":
    sys.exit(main())
