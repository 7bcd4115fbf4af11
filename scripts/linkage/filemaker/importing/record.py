"""What is done about one record: its best picture goes into the dump, and only then is the record marked."""

from dataclasses import dataclass
from tempfile import SpooledTemporaryFile
from typing import NamedTuple

from linkage.filemaker.data_api.containers import Picture, fetch, file_type
from linkage.filemaker.data_api.problems import NotNow, NotThisRecord
from linkage.filemaker.data_api.records import Record, read_record, set_field
from linkage.filemaker.data_api.session import Session
from linkage.filemaker.importing.dump import Dump
from linkage.filemaker.importing.layout import MARK, Layout
from linkage.filemaker.importing.outcomes import CONFLICT, FAILED, IN_DUMP, NO_IMAGE, UPLOADED, Outcome

IN_MEMORY = 4 * 1024 * 1024  # bytes; a larger file goes by way of a temporary one, which has no name


class Source(NamedTuple):
    """Where the pictures come from and go to, and whether records are marked."""

    session: Session
    layout: Layout
    dump: Dump
    marks: bool


@dataclass(slots=True)
class Task:
    """A record to import. `safe` is what is known of it once its picture is in the dump."""

    record_id: str
    recid: int
    container: str = ""  # at the time when all records were read
    problem: str = ""  # a word, if it cannot be imported
    safe: Outcome | None = None
    attempts: int = 0
    problems: int = 0  # attempts that failed because of the record
    faults: int = 0  # attempts that failed because of the server


def import_record(source: Source, task: Task) -> Outcome:
    """Import a record: read it, fetch its best picture, add it to the dump, mark the record, and read it back.

    Every attempt begins with the record as it is now, because the URLs of containers expire, and because a picture
    that was replaced meanwhile must not be taken for the one in the dump: a record is marked only if it has not
    changed since.

    Raises NotNow if a retry may succeed, and UnusableInput if no record can be imported.
    """
    try:
        if task.problem:
            raise NotThisRecord(task.problem)
        record = read_record(source.session, source.layout.name, task.record_id)
        if source.layout.recid(record) != task.recid:
            raise NotThisRecord("RecidChanged")
        container = source.layout.best_container(record)
        if not container:
            return Outcome(NO_IMAGE)
        task.container = container
        outcome = upload(source, task, record, container)
        if outcome.outcome not in IN_DUMP:
            return outcome
        task.safe = outcome
        return outcome._replace(marked="yes") if mark(source, record) else outcome
    except NotThisRecord as problem:
        return failed(task, str(problem))


def failed(task: Task, word: str) -> Outcome:
    """The outcome of a record that is given up."""
    if task.safe:
        return task.safe._replace(marked="failed", error=word)
    return Outcome(FAILED, task.container, error=word)


def upload(source: Source, task: Task, record: Record, container: str) -> Outcome:
    """Fetch the picture, and add it to the dump unless it is there."""
    value = source.layout.value(record, container)
    with SpooledTemporaryFile(IN_MEMORY) as file:
        picture: Picture = fetch(source.session, value, file)
        expected = source.layout.filemaker_md5(record, container)
        if expected and expected != picture.md5:
            raise NotNow("MD5Differs", by_server=False)
        outcome, key = source.dump.add(task.recid, picture, file_type(picture.head), file)
    if task.safe and task.safe.outcome == UPLOADED and outcome != CONFLICT:
        outcome = UPLOADED  # in an earlier attempt
    return Outcome(outcome, container, key, picture.size, picture.md5, picture.sha256)


def mark(source: Source, record: Record) -> bool:
    """Mark a record, unless it is marked or is not to be, and read it back; return whether it is marked."""
    layout, session = source.layout, source.session
    if layout.is_marked(record):
        return True
    if not source.marks:
        return False
    value = layout.mark()
    set_field(session, layout.name, record, layout.fields[MARK], value)
    if layout.value(read_record(session, layout.name, record.record_id), MARK) != value:
        raise NotThisRecord("MarkNotKept")
    return True
