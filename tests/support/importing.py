"""What tests of the importer share: records with pictures, what a run leaves behind, and whether that is right."""

import csv
import random
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from linkage.filemaker.importing.outcomes import IMPORT_RESULTS
from sandbox.filemaker_faults import Faults
from sandbox.filemaker_server import DEFAULT_FIELD_TYPES, FileMakerServer, Record, Stored
from tests.support.copying import body, count_versions, objects
from tests.support.servers import S3

DUMP = "filemaker-import/images-bulk-dump/"
MARK = "NexusExportDate"
JPEG = bytes.fromhex("ffd8ffe000104a46494600")
BEST_FIRST = ("image_Full", "image_Ex_large", "image_large", "image_medium", "image_small")


def jpeg(number: int, size: int = 500) -> bytes:
    """Random bytes that begin like a JPEG file, the same for the same number."""
    return JPEG + random.Random(number).randbytes(size)


def record(number: int, containers: Mapping[str, Stored] | None = None, **fields: str) -> Record:
    """A record that is not marked, with the record id `number` + 1000; without `containers` it has a large picture."""
    values = {"recid": str(number), "id_Contact": "A" * 8, "date": "10/18/2016", "Type": "Dorsal", **fields}
    return Record(number + 1000, values, {"image_Full": jpeg(number)} if containers is None else dict(containers))


def pictures(count: int) -> list[Record]:
    """Records 1 to `count`, in which the largest container with a picture varies; the smaller ones have others."""
    found = []
    for recid in range(1, count + 1):
        chance = random.Random(recid)
        names = BEST_FIRST[chance.randrange(5) :]
        containers = {name: jpeg(100_000 * recid + number) for number, name in enumerate(names)}
        found.append(record(recid, {**containers, "Recovered": jpeg(-recid)}))
    return found


def best(record: Record) -> bytes:
    """The bytes of a record's best container."""
    return next(stored for name in BEST_FIRST if isinstance(stored := record.containers.get(name), bytes))


def use(server: FileMakerServer, records: Iterable[Record], **field_types: str) -> None:
    """Give the server other records and, beside the usual fields, others; an empty type takes a field away."""
    server.records.clear()
    server.records.update({one.record_id: one for one in records})
    types = {**DEFAULT_FIELD_TYPES, **field_types}
    server.field_types.clear()
    server.field_types.update({name: kind for name, kind in types.items() if kind})


def reset(server: FileMakerServer) -> None:
    """Make the server as it was at its start, without records."""
    use(server, [])
    server.faults = Faults()
    for memory in (server.sessions, server.issued_tokens, server.urls, server.expired_urls, server.cookies):
        memory.clear()
    for counter in (server.calls, server.faulted, server.hosts_asked):
        counter.clear()
    server.md5s.clear()
    server.session_seconds, server.most_sessions = 900, 500
    server.burst_until, server.downloads = float("-inf"), 0


def mark_of(record: Record) -> str:
    return str(record.fields.get(MARK, ""))


def marked(server: FileMakerServer) -> set[int]:
    """The record numbers of the marked records."""
    return {int(one.fields["recid"]) for one in server.records.values() if mark_of(one)}


def dump(s3: S3) -> dict[str, bytes]:
    """Name in the dump → bytes."""
    return {key.removeprefix(DUMP): body(s3, key) for key in objects(s3, DUMP)}


def data_file(s3: S3, name: str) -> Path:
    return Path(s3.environment["LINKAGE_DATA"]) / name


def read_results(path: Path) -> list[dict[str, str]]:
    """The lines of an import_results.csv, read strictly: every line whole."""
    content = path.read_bytes()
    assert content.endswith(b"\n")
    header, *rows = csv.reader(content.decode().splitlines(keepends=True), strict=True)
    assert tuple(header) == IMPORT_RESULTS.columns
    assert {len(row) for row in rows} <= {len(header)}
    return [dict(zip(header, row, strict=True)) for row in rows]


def results(s3: S3) -> list[dict[str, str]]:
    """The lines of the data folder's import_results.csv."""
    return read_results(data_file(s3, "import_results.csv"))


def newest(s3: S3) -> dict[str, tuple[str, str, str]]:
    """Record number → outcome, mark and error of its newest line."""
    return {line["recid"]: (line["outcome"], line["marked"], line["error"]) for line in results(s3)}


def violations(server: FileMakerServer, s3: S3, *, ended: bool) -> list[str]:
    """What is wrong with the dump and the marks; an importer that has `ended` leaves no picture unmarked either.

    Each record's picture is that of its best container. The bucket keeps versions, so that a second upload shows.
    """
    by_name = {f"{one.fields['recid']}.jpg": one for one in server.records.values()}
    marks = {name for name, one in by_name.items() if mark_of(one)}  # first, because a run may go on
    found = dump(s3)
    wrong = [f"{name} belongs to no record" for name in found.keys() - by_name.keys()]
    for name, one in by_name.items():
        if name in found and found[name] != best(one):
            wrong.append(f"{name} has other bytes than the record's best container")
        if name in marks and name not in found:
            wrong.append(f"{name} is missing, and its record is marked")
        if ended and name in found and name not in marks:
            wrong.append(f"{name} is there, and its record is not marked")
    written: Counter[str] = count_versions(s3, DUMP)
    return sorted(wrong + [f"{key} was written {count} times" for key, count in written.items() if count > 1])


def fail_first(server: FileMakerServer, method: str, kind: str, times: int = 1) -> list[str]:
    """Make the first calls with this method fail in this way; returns a list that has each of them once it is made."""
    answer, failed = server.answer, []

    def spoil(called: str, *call: Any) -> Any:
        if called == method and len(failed) < times:
            failed.append(called)
            server.faults.planned = [kind]
        return answer(called, *call)

    server.answer = spoil
    return failed
