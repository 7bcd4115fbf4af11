"""What a run would do, and what the layout offers, as far as that shows without downloading a picture."""

from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

from linkage.filemaker.data_api.containers import file_type, peek
from linkage.filemaker.data_api.problems import NotNow, NotThisRecord
from linkage.filemaker.data_api.records import Record
from linkage.filemaker.data_api.session import Session
from linkage.filemaker.importing.dump import Dump
from linkage.filemaker.importing.layout import CONTAINERS, MARK, RECID, Layout, missing_fields
from linkage.filemaker.importing.outcomes import CONFLICT, FAILED, NO_IMAGE, UPLOADED
from linkage.filemaker.importing.record import Task

TO_COMPARE = "to compare"
WOULD = {
    UPLOADED: "Would upload",
    TO_COMPARE: "already there, to be compared",
    CONFLICT: "conflicts",
    NO_IMAGE: "no image",
    FAILED: "failed",
}


def preview(dump: Dump, tasks: Iterable[Task], workers: int) -> tuple[Counter[str], Counter[str]]:
    """How many records a run would treat in which way, and how many images it would take from which container.

    An object that is there may hold the same bytes or others: only a run compares them.
    """
    outcomes: Counter[str] = Counter()
    containers: Counter[str] = Counter()
    with ThreadPoolExecutor(workers) as pool:
        for task, outcome in pool.map(lambda task: (task, preview_record(dump, task)), tasks):
            outcomes[outcome] += 1
            if outcome in (UPLOADED, TO_COMPARE):
                containers[task.container] += 1
    return outcomes, containers


def preview_record(dump: Dump, task: Task) -> str:
    """What a run would do with one record."""
    if task.problem:
        return FAILED
    if not task.container:
        return NO_IMAGE
    found = dump.objects(task.recid)
    return UPLOADED if not found else TO_COMPARE if len(found) == 1 else CONFLICT


def describe_layout(layout: Layout, types: dict[str, str]) -> Iterator[str]:
    """What the layout has, and what it lacks, as lines to print."""
    containers = sum(kind == "container" for kind in types.values())
    yield f"layout {layout.name}: {len(types):,} fields, of which {containers:,} containers"
    if missing := missing_fields(layout):
        yield f"not on the layout: {', '.join(missing)}"
    if RECID not in layout.fields:
        yield "without the field recid, FileMaker's own record id is the record number"
    if MARK in layout.fields:
        yield f"{MARK} is a field of the type {layout.mark_type}: records are marked with {layout.mark()}"


def describe_record(session: Session, layout: Layout, record: Record) -> Iterator[str]:
    """Type and size of each container of a record, as lines to print."""
    marked = "marked" if layout.is_marked(record) else "not marked"
    yield f"record {layout.recid(record) or 'without a number that reads'}, {marked}:"
    for name in CONTAINERS:
        if name in layout.fields:
            yield f"  {name:<16}{describe_container(session, layout.value(record, name))}"


def describe_container(session: Session, value: str) -> str:
    """Type and size of one container's file, by its first bytes."""
    if not value.strip():
        return "empty"
    try:
        head, size = peek(session, value)
    except (NotNow, NotThisRecord) as problem:
        return f"cannot be read: {problem}"
    return f"{file_type(head)[0]}, " + ("size unknown" if size is None else f"{size:,} bytes")
