"""What both demos do: tell a story to its end, and the main job, from the listing of the dump to rows in Nexus."""

import os
import subprocess
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Callable

import duckdb
import psycopg

from demo import checks
from demo.checks import inserted
from demo.commands import (
    DEMO,
    DUMP_URL,
    FOLDER,
    DemoFailed,
    list_bucket,
    read_summary,
    require,
    run_dbt_build,
    run_script,
    step,
)
from sandbox.clinic import Clinic, write_records

MANIFEST_NAME = f"{FOLDER}/manifest.csv"
FAILURES = (DemoFailed, OSError, RuntimeError, subprocess.SubprocessError, duckdb.Error, psycopg.Error)


def tell(story: Callable[[], str]) -> int:
    """Tell a story, which returns what to read next; returns 0, or 1 after one sentence about what failed."""
    os.umask(0o077)
    started = time.monotonic()
    try:
        more = story()
    except FAILURES as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"Stopped by Ctrl-C; everything made so far is in {FOLDER}/.", file=sys.stderr)
        return 130
    print(f"All checks passed, in {time.monotonic() - started:.0f} s.\n\n{more}")
    return 0


def write_clinic(clinic: Clinic) -> None:
    """Write the clinic's own files to the demo's folder; Nexus's records go into Nexus instead."""
    write_records(clinic, DEMO)
    for path in DEMO.glob("nexus_*.csv"):
        path.unlink()


def list_and_decide(clinic: Clinic, environment: dict[str, str]) -> None:
    """List the dump, export from Nexus, and build, once FileMaker's records are there."""
    with step("List the bucket"):
        run_script(environment, "list_s3_objects.py", DUMP_URL)
    with step("Export patients, batches and images from Nexus"):
        run_script(environment, "export_nexus_records.py")
        checks.check_nexus_seeds(clinic, batches=0, images=0)
    with step("Decide which image belongs to which patient, and test the result"):
        run_dbt_build(environment)
        checks.check_outcomes(clinic)
        checks.check_findings(clinic)


def copy_and_publish(clinic: Clinic, environment: dict[str, str], before: dict[str, str]) -> dict[str, str]:
    """Copy and publish every linked image; returns the copies' ETags by key. `before` is what was in the bucket."""
    with step("Copy the images"):
        run_script(environment, "copy_objects.py", MANIFEST_NAME)
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
