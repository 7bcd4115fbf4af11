"""An independent check of the results of copying, in the store itself and in the bytes of the results file.

It takes nothing from the copier but the manifest's columns and the canary's
name and content. It returns a list of sentences, without any key.
"""

import csv
import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from linkage.copying.canary import CANARY
from linkage.copying.manifest import ManifestRow
from linkage.seeds import SEED_COLUMNS
from tests.support.copying import CANARY_KEY

DONE = {"copied", "already_present"}
LOST_SOURCE = {"source_missing", "source_changed"}
OUTCOMES = {*DONE, *LOST_SOURCE, "conflict", "failed"}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
FEWEST_TRIES = 6  # of a row that failed, because all our faults are transient
READERS = 8


class Version(NamedTuple):
    """One version of an object, or a delete marker (without ETag), as the store lists it."""

    key: str
    version: str
    etag: str
    size: int
    modified: str
    latest: bool


@dataclass(frozen=True)
class Case:
    """A row of the manifest: its source's SHA-256, the outcomes allowed, and the version planted at its destination.

    `fate` is what happens to it during the runs.
    """

    row: ManifestRow
    sha256: str
    allowed: frozenset[str]
    planted: str = ""
    fate: str = ""


@dataclass
class Clinic:
    """Versioned buckets, the cases of the manifest, and the versions in the dump, which nobody may change."""

    client: Any
    buckets: list[str]
    dump: str
    cases: list[Case]
    manifest: Path
    environment: dict[str, str]
    originals: dict[str, set[Version]] = field(default_factory=dict)

    def take_originals(self) -> None:
        """Note the versions that are in the dump now."""
        self.originals = {bucket: self.originals_now(bucket) for bucket in self.buckets}

    def originals_now(self, bucket: str) -> set[Version]:
        """The versions of every object in the dump."""
        return set(versions(self.client, bucket, self.dump))


def versions(client: Any, bucket: str, prefix: str = "") -> Iterator[Version]:
    """Every version and delete marker under a prefix."""
    for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix):
        for found in (*page.get("Versions", []), *page.get("DeleteMarkers", [])):
            yield Version(
                found["Key"],
                found["VersionId"],
                found.get("ETag", "").strip('"'),
                found.get("Size", 0),
                found["LastModified"].isoformat(),
                found["IsLatest"],
            )


def read_lines(path: Path) -> tuple[list[dict[str, str]], list[str]]:
    """The lines of the results, parsed strictly, and what is wrong with them."""
    if not path.exists():
        return [], []
    content = path.read_bytes()
    if not content.endswith(b"\n"):
        return [], ["the results end in a torn line"]
    try:
        header, *rows = csv.reader(content.decode().splitlines(keepends=True), strict=True)
    except (csv.Error, UnicodeDecodeError) as error:
        return [], [f"the results cannot be read: {error}"]
    if tuple(header) != SEED_COLUMNS["copy_results"] or any(len(row) != len(header) for row in rows):
        return [], ["the results have an incomplete line"]
    return [dict(zip(header, row, strict=True)) for row in rows], []


def lost_lines(before: bytes, after: bytes) -> list[str]:
    """What is wrong with a results file that once held `before`; a torn last line of it may be gone."""
    whole = before[: before.rfind(b"\n") + 1]
    return [] if after.startswith(whole) else ["lines of the results are lost or changed"]


def violations(clinic: Clinic, results: list[Path]) -> list[str]:
    """Everything that is wrong after a run without faults; the newest results file is the last."""
    found = []
    files = []
    for path in results:
        lines, wrong = read_lines(path)
        files.append(lines)
        found += wrong
    found += [*wrong_originals(clinic), *wrong_objects(clinic)]
    held = destinations(clinic)
    for lines in files:
        found += wrong_lines(clinic, lines, held)
    copied = Counter(line["image_id"] for lines in files for line in lines if line["outcome"] == "copied")
    found += [f"{image_id} is reported as copied {count} times" for image_id, count in copied.items() if count > 1]
    return [*found, *wrong_ends(clinic, files[-1], held)]


def wrong_originals(clinic: Clinic) -> Iterator[str]:
    """Originals that have changed."""
    for bucket in clinic.buckets:
        now = clinic.originals_now(bucket)
        if missing := clinic.originals[bucket] - now:
            yield f"{len(missing)} originals are gone or changed"
        if new := now - clinic.originals[bucket]:
            yield f"{len(new)} originals have another version"


def wrong_objects(clinic: Clinic) -> Iterator[str]:
    """Objects that no row asks for, or that were overwritten or deleted."""
    cases = {(case.row.destination_bucket, case.row.destination_key): case for case in clinic.cases}
    for bucket in clinic.buckets:
        by_key: dict[str, list[Version]] = {}
        for version in versions(clinic.client, bucket):
            if not version.key.startswith(clinic.dump):
                by_key.setdefault(version.key, []).append(version)
        for key, found in by_key.items():
            case = cases.pop((bucket, key), None)
            name = case.row.image_id if case else "the canary" if key == CANARY_KEY else ""
            if not name:
                yield "there is an object that no row asks for"
            elif len(found) > 1:
                yield f"{name} was written {len(found)} times"
            elif not found[0].etag:
                yield f"{name} was deleted"
            elif case and case.planted not in ("", found[0].version):
                yield f"{name} existed and has another version now"
            elif not case and body_of(clinic, bucket, key) != CANARY:
                yield "the canary holds something else"
    for case in cases.values():
        if case.planted:
            yield f"{case.row.image_id} existed and is gone"


def body_of(clinic: Clinic, bucket: str, key: str) -> bytes:
    """An object's bytes."""
    return clinic.client.get_object(Bucket=bucket, Key=key)["Body"].read()


class Held(NamedTuple):
    """What a destination holds: nothing (no ETag) or an object; `kept`: its metadata and type are the source's."""

    etag: str = ""
    sha256: str = ""
    size: int = -1
    kept: bool = True


def destinations(clinic: Clinic) -> dict[str, Held]:
    """What each row's destination holds, by image id; every object is read."""
    with ThreadPoolExecutor(READERS) as pool:
        return dict(
            zip(
                (case.row.image_id for case in clinic.cases),
                pool.map(lambda case: held_at_destination(clinic, case), clinic.cases),
                strict=True,
            )
        )


def held_at_destination(clinic: Clinic, case: Case) -> Held:
    """What one row's destination holds."""
    row = case.row
    try:
        found = clinic.client.get_object(Bucket=row.destination_bucket, Key=row.destination_key)
    except clinic.client.exceptions.NoSuchKey:
        return Held()
    body = found["Body"].read()
    kept = case.planted != "" or (found["Metadata"], found["ContentType"]) == ({"recid": row.image_id}, "image/jpeg")
    return Held(found["ETag"].strip('"'), hashlib.sha256(body).hexdigest(), len(body), kept)


def wrong_lines(clinic: Clinic, lines: list[dict[str, str]], held: dict[str, Held]) -> Iterator[str]:
    """Lines that are false. As no copy ever changes, old lines must still be true as well."""
    cases = {case.row.image_id: case for case in clinic.cases}
    for line in lines:
        case = cases.get(line["image_id"])
        if case is None:
            yield "a line of the results belongs to no row of the manifest"
            continue
        said = {name: line[name] for name in case.row._fields if name in line}
        asked = {name: str(value) for name, value in case.row._asdict().items() if name in line}
        if said != asked or line["size"] != str(case.row.source_size) or not TIME.fullmatch(line["recorded_at"]):
            yield f"a line about {case.row.image_id} differs from its row"
        if reason := untrue(line, case, held[case.row.image_id]):
            yield f"{case.row.image_id} is reported as {line['outcome']}, but {reason}"


def untrue(line: dict[str, str], case: Case, held: Held) -> str:
    """Why a line is false; empty if it is true."""
    outcome = line["outcome"]
    same = held.sha256 == case.sha256
    if outcome not in OUTCOMES:
        return "that is not an outcome"
    if outcome in DONE and not same:
        return "its destination holds something else" if held.etag else "nothing is at its destination"
    if outcome in DONE and line["destination_etag"] != held.etag:
        return "with another ETag than the store's"
    if outcome == "copied" and case.planted:
        return "it existed before"
    if outcome == "conflict" and (same or not held.etag):
        return "nothing else is at its destination"
    if outcome == "failed":
        return "" if int(line["attempts"]) >= FEWEST_TRIES and line["error"] else "it was retried too little"
    return "" if outcome in case.allowed else "that outcome is impossible"


def wrong_ends(clinic: Clinic, lines: list[dict[str, str]], held: dict[str, Held]) -> Iterator[str]:
    """Rows whose final state is wrong."""
    newest = {line["image_id"]: line["outcome"] for line in lines}
    for case in clinic.cases:
        image_id = case.row.image_id
        outcome, found = newest.get(image_id), held[image_id]
        if outcome is None:
            yield f"{image_id} has no outcome"
        elif outcome not in case.allowed:
            yield f"{image_id} ends as {outcome}"
        if found.etag and not case.planted and found.sha256 != case.sha256:
            yield f"{image_id}: the destination holds other bytes than the manifest's source"
        if not found.kept:
            yield f"{image_id}: metadata or type are not the source's"
