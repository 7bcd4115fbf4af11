"""What the demo checks: each function raises DemoFailed with one sentence if something is wrong."""

import hashlib
import re
import textwrap
from collections import Counter
from collections.abc import Sequence
from typing import Any

from demo.commands import DEMO, NEXUS_SEEDS, PICTURES, DemoFailed, query, read_results, require, say
from sandbox.clinic import DUMP, Clinic, Planted, Row, files_under
from sandbox.filemaker_clinic import MARK, MARKED_BEFORE, UPLOADED, best_container, filemaker_record, outcome_of_import
from sandbox.filemaker_server import FileMakerServer

CANARY = "image-linkage-canary"  # the object on which copy_objects.py tests the store


def md5(content: bytes) -> str:
    """Return the ETag that an object with this content has in SeaweedFS, if it was written at once."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def check_uploads(stored: dict[str, str]) -> None:
    """Check that the bucket holds the drawn files, and that each ETag is the MD5 of its file."""
    drawn = {path.relative_to(PICTURES).as_posix(): md5(path.read_bytes()) for path in files_under(PICTURES)}
    require(stored == drawn, "the bucket does not hold exactly what was uploaded")
    say(f"{len(stored):,} objects uploaded")


def check_nexus_seeds(clinic: Clinic, batches: int, images: int) -> None:
    """Check that the export has the clinic's own records, plus this many batches and images of the import."""
    patients, *others = ((DEMO / f"{seed}.csv").read_text(encoding="utf-8").splitlines()[1:] for seed in NEXUS_SEEDS)
    expected = sorted(f"{patient_id},{filemaker_id.lower()}" for patient_id, filemaker_id in clinic.nexus_patients)
    require(patients == expected, "the exported patients are not those that were registered in Nexus")
    counts = [len(clinic.nexus_image_batches) + batches, len(clinic.nexus_images) + images]
    require([len(rows) for rows in others] == counts, f"the export does not have {counts} batches and images")


def check_outcomes(clinic: Clinic) -> None:
    """Check every row's outcome, and every image's patient and type, against what the row was made for."""
    made = Counter((row.recid, row.reason or "linked") for row in clinic.rows)
    found = Counter(query("select coalesce(recid, ''), coalesce(reason, outcome) from image_outcome"))
    wrong = (made - found).total() + (found - made).total()
    require(not wrong, f"{wrong} outcomes are missing or not those that the rows were made for; see image_outcome")
    # FileMaker's VT is a line break within a value, and a line feed in the seed.
    linked = {(int(row.recid), row.patient_id, row.type.replace("\x0b", "\n")) for row in clinic.rows if not row.reason}
    images = set(query("select recid, patient_id, coalesce(filemaker_type, '') from image"))
    require(images == linked, f"{len(images ^ linked)} images have a patient or type that they were not made for")
    say("every row has the outcome, and every image the patient and the type, that it was made for")


def check_findings(clinic: Clinic) -> None:
    """Check that review_findings has every finding that was planted, and no other."""
    planted = Counter(clinic.planted)
    found = Counter(
        Planted(*row) for row in query("select finding, recid, related_recid, related_patient_id from review_findings")
    )
    missing, unexpected = (planted - found).total(), (found - planted).total()
    require(not missing, f"{missing} of the {planted.total()} planted findings are missing from review_findings")
    require(not unexpected, f"{unexpected} rows of review_findings were not planted")
    kinds = Counter(finding.finding for finding in clinic.planted)
    counts = ", ".join(f"{kind} {kinds[kind]}" for kind in sorted(kinds))
    say(textwrap.fill(f"review_findings has every finding that was planted, and no other: {counts}", 100))


def expected_copies(clinic: Clinic, before: dict[str, str]) -> dict[str, str]:
    """Return the key of each copy with the ETag of its original; checks that it is in its patient's folder."""
    made = {int(row.recid): row for row in clinic.rows if not row.reason}
    copies = {}
    for recid, key in query("select recid, s3_key from image"):
        row = made[recid]
        in_folder = key.startswith(f"patients/{row.patient_id}/")
        require(in_folder, f"the copy of record {recid} is not in its patient's folder")
        copies[key] = before[f"{DUMP}{recid}.{row.extension}"]
    require(len(copies) == len(made), "the linked images do not have one destination key each")
    return copies


def check_copies(before: dict[str, str], copies: dict[str, str], after: dict[str, str]) -> None:
    """Check that the bucket holds what it held, unchanged, one copy of each image, one canary, and nothing else."""
    changed = [key for key in before if after.get(key) != before[key]]
    require(not changed, f"{len(changed)} objects that were there before are changed or missing")
    wrong = [key for key in copies if after.get(key) != copies[key]]
    require(not wrong, f"{len(wrong)} of {len(copies):,} copies are missing or differ from their originals")
    more = sorted(after.keys() - before.keys() - copies.keys(), key=lambda key: not key.endswith(f"/{CANARY}"))
    unexpected = more[1:] if more and more[0].endswith(f"/{CANARY}") else more
    require(not unexpected, f"{len(unexpected)} objects are neither originals nor copies")
    say(f"{len(copies):,} copies, one per linked image, each in its patient's folder with the ETag of its original")
    say(f"{len(before):,} objects that were there before: all unchanged")


def outcomes_of_last_run() -> dict[str, int]:
    """Return how often each outcome occurs in the run that wrote the last line of copy_results.csv."""
    results = read_results()
    return dict(Counter(line["outcome"] for line in results if line["run_id"] == results[-1]["run_id"]))


def inserted(said: str) -> tuple[int, int]:
    """Return how many batches and images a publishing run says that it inserted, or would insert."""
    found = re.search(r"nsert(?:ed)? ([0-9,]+) image batches and ([0-9,]+) images", said)
    if found is None:
        raise DemoFailed("publishing did not say what it inserted")
    batches, images = (int(number.replace(",", "")) for number in found.groups())
    return batches, images


def check_patient(clinic: Clinic, patient_id: str, images: list[dict[str, Any]], stored: dict[str, str]) -> None:
    """Check that Nexus has exactly this patient's images, and the bucket each of them in the patient's folder."""
    rows = [row for row in clinic.rows if not row.reason and row.patient_id == patient_id]
    made = {f"{int(row.recid)}.{row.extension}": row.type.strip() for row in rows}
    found = {image["original_filename"]: image["category"] for image in images}
    require(found == made, "in Nexus the patient does not have exactly the images that were made for them")
    keys = [image["s3_key"] for image in images]
    in_folder = all(key in stored and key.startswith(f"patients/{patient_id}/") for key in keys)
    require(in_folder, "an image is not in the patient's folder of the bucket")


def check_import(
    rows: Sequence[Row], clinic: Clinic, server: FileMakerServer, before: dict[str, str], after: dict[str, str]
) -> None:
    """Check that exactly these rows are imported and marked, each with the bytes of its best container.

    In FileMaker nothing else may have changed, and no session may be open.
    """
    changed = [key for key in before if after.get(key) != before[key]]
    require(not changed, f"{len(changed)} objects that were there before are changed or missing")
    best = {row.key(): server.records[row.number].file(best_container(row)) for row in rows}
    expected = {key: md5(file) for key, file in best.items()}
    wrong = [key for key in expected if after.get(key) != expected[key]]
    require(not wrong, f"{len(wrong)} of {len(rows):,} pictures are missing or not those of the best container")
    more = len(after) - len(before) - len(expected)
    require(not more, f"{more} objects are in the dump that should not be there")
    check_marks({row.number for row in rows}, clinic, server)
    require(not server.sessions, f"{len(server.sessions)} sessions are still open at FileMaker Server")
    if rows:
        say(f"{len(rows):,} pictures in the dump, each with the bytes of its best container, and its record marked")
    say(f"nothing {'else ' if rows else ''}is changed in the bucket or in FileMaker, and no session is open there")


def check_marks(imported: set[int], clinic: Clinic, server: FileMakerServer) -> None:
    """Check that these records are marked, and others only if they were before, and that no other field is changed."""
    marked = {number for number, record in server.records.items() if record.fields[MARK]}
    expected = imported | {row.number for row in clinic.rows if row.reason == MARKED_BEFORE}
    require(marked == expected, f"{len(marked ^ expected)} records are marked that should not be, or are not")
    for row in clinic.rows:
        now, made = server.records[row.number].fields, filemaker_record(row, {}).fields
        if row.number in imported:
            now = now | {MARK: made[MARK]}
        require(now == made, f"a field of record {row.number} is changed in FileMaker")


def check_import_results(clinic: Clinic) -> None:
    """Check that import_results.csv has each record's outcome and, if it was imported, its best container."""
    found = {int(line["record_id"]): line for line in read_results("import_results.csv")}
    expected = {row.number: row for row in clinic.rows if outcome_of_import(row)}
    wrong = expected.keys() ^ found.keys()
    for number in expected.keys() & found.keys():
        row, line = expected[number], found[number]
        outcome = outcome_of_import(row)
        if line["outcome"] != outcome or (outcome == UPLOADED and line["container"] != best_container(row)):
            wrong.add(number)
    require(not wrong, f"import_results.csv is wrong about {len(wrong)} records")
