"""`make demo-filemaker`: from FileMaker's containers into an empty dump, and from there through the main job."""

import sys
from collections import Counter

from demo import checks
from demo.commands import (
    BUCKET,
    DEMO,
    DUMP_URL,
    FOLDER,
    PICTURES,
    empty_demo_folder,
    list_bucket,
    nexus_of,
    read_results,
    require,
    run_script,
    s3_storage,
    say,
    step,
)
from demo.job import copy_and_publish, list_and_decide, tell, write_clinic
from sandbox.clinic import EXPORT_NAME, Clinic, draw_objects
from sandbox.filemaker_clinic import SIZES, filemaker_records, make_filemaker_clinic, outcome_of_import
from sandbox.filemaker_server import FileMakerServer, Record, filemaker_server
from sandbox.s3_server import upload
from sandbox.settings import DUMP

IMPORTER = "import_filemaker_images.py"
IN_FILEMAKER = DEMO / "in_filemaker"  # the pictures, as they were put into the containers
SMALLER = 16  # the clinic has this part of the other demo's rows
FIRST = 10
NEXT = """\
Everything is in {folder}/. import_results.csv has a line for what became of each record, and
filemaker_images_metadata.csv has all records, so that no tab export is needed. Ask the marts:

  export LINKAGE_DATA={folder}
  make query SQL="from skipped_by_reason"

README.md says what to prepare in FileMaker, and goes through the same steps with your own records."""


def story() -> str:
    """Tell the story; returns what to read next."""
    with step("Invent a clinic, and put its pictures into FileMaker's containers"):
        empty_demo_folder()
        clinic, records = invent_clinic()
    with (
        s3_storage() as environment,
        nexus_of(clinic, environment),
        filemaker_server(DEMO / "filemaker_server", records) as server,
    ):
        environment.update(server.environment())
        in_dump = import_pictures(clinic, server, environment)
        list_and_decide(clinic, environment)
        with step("Find the records again that are not in the dump"):
            show_others(clinic)
        copy_and_publish(clinic, environment, in_dump)
    return NEXT.format(folder=FOLDER)


def invent_clinic() -> tuple[Clinic, list[Record]]:
    """Draw the clinic's pictures, and return it with its records in FileMaker."""
    clinic = make_filemaker_clinic(one_in=SMALLER)
    write_clinic(clinic)
    (DEMO / EXPORT_NAME).unlink()  # the importer reads the records from FileMaker
    dump = clinic.dump()
    draw_objects(dump, IN_FILEMAKER)
    draw_objects([stored for stored in clinic.objects if stored not in dump], PICTURES)
    records = filemaker_records(clinic, IN_FILEMAKER)
    best = Counter(next((name for name in SIZES if name in record.containers), "no picture") for record in records)
    say(f"{len(records):,} records; the largest picture is in")
    for name in (*SIZES, "no picture"):
        say(f"  {name:<16}{best[name]:>6,}")
    before = sum(not outcome_of_import(row) for row in clinic.rows)
    say(f"{before:,} of them are marked already, although their picture is in no dump")
    return clinic, records


def import_pictures(clinic: Clinic, server: FileMakerServer, environment: dict[str, str]) -> dict[str, str]:
    """Import every picture, ten records first; returns what is in the bucket afterwards."""
    with step("Create the bucket: its dump is empty"):
        upload(environment, BUCKET, PICTURES)
        before = list_bucket(environment)
        require(not any(key.startswith(DUMP) for key in before), "the dump is not empty")
        say(f"{len(before):,} objects, uploaded by Nexus's users")
    with step("Ask FileMaker what the layout offers"):
        run_script(environment, IMPORTER, DUMP_URL, "--probe")
    wanted = [row for row in clinic.rows if outcome_of_import(row) == "uploaded"]
    others = Counter(outcome_of_import(row) for row in clinic.rows if outcome_of_import(row) not in ("", "uploaded"))
    expected = ", ".join(f"{outcome} {count}" for outcome, count in sorted(others.items()))
    with step("Preview the import"):
        run_script(environment, IMPORTER, DUMP_URL, "--dry-run", code=1)
        say(f"Its exit code is 1, as a run's would be, because some records cannot be imported: {expected}.")
        require(not (DEMO / "import_results.csv").exists(), "the dry run recorded results")
        checks.check_import([], clinic, server, before, list_bucket(environment))
    with step("Import ten records, and mark them in FileMaker"):
        run_script(environment, IMPORTER, DUMP_URL, "--limit", str(FIRST))
        checks.check_import(wanted[:FIRST], clinic, server, before, list_bucket(environment))
    with step("Look at these ten: each is the largest picture of its record"):
        look_at_results(server)
    with step("Import the others"):
        run_script(environment, IMPORTER, DUMP_URL, code=1)
        say(f"Its exit code is 1, because some records are not in the dump, as expected: {expected}.")
        after = list_bucket(environment)
        checks.check_import(wanted, clinic, server, before, after)
        checks.check_import_results(clinic)
    return after


def look_at_results(server: FileMakerServer) -> None:
    """Show where each imported picture came from, and what else its record has."""
    for line in sorted(read_results("import_results.csv"), key=lambda line: int(line["recid"])):
        record = server.records[int(line["record_id"])]
        others = [name for name in SIZES if name in record.containers and name != line["container"]]
        smaller = ", ".join(f"{name} {len(record.file(name)):,}" for name in others)
        name = line["key"].removeprefix(DUMP)
        say(f"{name:<10}{line['container']:<16}{int(line['size']):>7,} bytes   smaller: {smaller or '-'}")


def show_others(clinic: Clinic) -> None:
    """Show for which reasons the records that are not in the dump are skipped, as their outcomes have been checked."""
    names = {
        "no_image": "no picture, so not marked",
        "failed": "no record number of its own",
        "": "marked before the import",
    }
    found = Counter((row.reason, outcome_of_import(row)) for row in clinic.rows if outcome_of_import(row) in names)
    for (reason, outcome), count in sorted(found.items()):
        say(f"{reason:<18}{count:>4,}   {names[outcome]}")


if __name__ == "__main__":
    sys.exit(tell(story))
