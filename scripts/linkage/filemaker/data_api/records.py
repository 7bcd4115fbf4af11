"""The records of a layout: its fields, one record, all records, and setting a field."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from linkage.errors import UnusableInput
from linkage.filemaker.data_api.problems import (
    CHANGED,
    IN_USE,
    MISSING_FIELD,
    MISSING_LAYOUT,
    MISSING_RECORD,
    NO_PRIVILEGE,
    NONE_FOUND,
    OK,
    NotNow,
    NotThisRecord,
    fault_of_all,
)
from linkage.filemaker.data_api.session import Session

PAGE = 100  # records of one call
PAUSES = (1, 4, 15, 40, 60)  # seconds before a call is repeated without which a run cannot go on
NO_RECORDS = (NONE_FOUND, MISSING_RECORD)
OF_ALL = (MISSING_FIELD, MISSING_LAYOUT, *NO_PRIVILEGE)
REPETITION = re.compile(r"(.+)\([0-9]+\)")


class Record(NamedTuple):
    """A record: the server's own ids, and the fields' values as text, by their names on the layout."""

    record_id: str
    mod_id: str
    values: dict[str, str]


class Shifted(Exception):
    """Records came or went while they were read, so that some may be missing."""


def read_fields(session: Session, layout: str) -> dict[str, str]:
    """The type of each field of the layout, such as `text`, `date` or `container`, by its name.

    Raises UnusableInput if the layout cannot be read.
    """
    code, response = answered(session, "GET", "layouts", layout)
    if code != OK:
        raise fault_of_all(code)
    with documented():
        return {str(field["name"]): str(field["result"]) for field in response["fieldMetaData"]}


def read_record(session: Session, layout: str, record_id: str) -> Record:
    """One record as it is now. Raises NotNow or NotThisRecord if it cannot be read."""
    code, response = session.call("GET", "layouts", layout, "records", record_id)
    check(code)
    return as_record(response["data"][0])


def read_first(session: Session, layout: str, empty_field: str) -> Record | None:
    """A record whose `empty_field` is empty, or else the first one; None if the layout has no record."""
    find = {"query": [{empty_field: "="}], "limit": "1"}
    code, response = answered(session, "POST", "layouts", layout, "_find", json=find)
    if code == NONE_FOUND:
        code, response = answered(session, "GET", "layouts", layout, "records", params={"_limit": 1})
    if code in NO_RECORDS:
        return None
    if code != OK:
        raise fault_of_all(code)
    with documented():
        return as_record(response["data"][0])


def read_pages(session: Session, layout: str) -> Iterator[list[Record]]:
    """All records of the layout, PAGE at most at a time, in the server's order.

    Every page begins with the last record of the one before, and the server must count the same number of records
    each time: otherwise a record that is deleted meanwhile could hide another one.

    Raises Shifted if records came or went meanwhile, and UnusableInput if they cannot be read.
    """
    last, count, offset = "", -1, 1
    while True:
        parameters = {"_offset": offset, "_limit": PAGE}
        code, response = answered(session, "GET", "layouts", layout, "records", params=parameters)
        if code in NO_RECORDS and offset == 1:
            return
        if code in NO_RECORDS:
            raise Shifted
        if code != OK:
            raise fault_of_all(code)
        with documented():
            page, total = [as_record(found) for found in response["data"]], count_of(response)
        if (count not in (-1, total)) or (last and (not page or page[0].record_id != last)):
            raise Shifted
        count = total
        yield page[1:] if last else page
        offset += len(page) - 1
        if offset >= count:
            return
        if len(page) < 2:
            raise Shifted
        last = page[-1].record_id


def set_field(session: Session, layout: str, record: Record, field: str, value: str) -> None:
    """Set one field of a record. Raises NotNow if it is in use or has changed since it was read, or as `check` does."""
    edit = {"fieldData": {field: value}, "modId": record.mod_id}
    code, _ = session.call("PATCH", "layouts", layout, "records", record.record_id, json=edit)
    check(code)


def count_of(response: dict[str, Any]) -> int:
    """How many records the layout has; raises UnusableInput if the account does not see all of them."""
    information = response["dataInfo"]
    found, total = int(information["foundCount"]), int(information["totalRecordCount"])
    if found != total:
        raise UnusableInput(
            f"the account sees {found:,} of {total:,} records; give its privilege set access to all of them"
        )
    return total


@contextmanager
def documented() -> Iterator[None]:
    """Raise UnusableInput in place of the errors from reading an answer that differs from the documented ones."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError):
        raise UnusableInput(
            "FileMaker Server's answer is not what the Data API's documentation shows; version 18 or later is needed"
        ) from None


def check(code: str) -> None:
    """Raise what an answer about one record means, unless its code is 0."""
    if code in OF_ALL:
        raise fault_of_all(code)
    if code in (IN_USE, CHANGED):
        raise NotNow(f"FileMaker{code}", by_server=False)
    if code != OK:
        raise NotThisRecord(f"FileMaker{code}")


def answered(session: Session, method: str, *parts: str, **request: Any) -> tuple[str, dict[str, Any]]:
    """Call the server, for two minutes if need be; raises UnusableInput if it still does not answer as it should."""
    for pause in (*PAUSES, None):
        try:
            return session.call(method, *parts, **request)
        except NotNow as problem:
            if pause is None:
                raise UnusableInput(
                    f"FileMaker Server does not answer as it should ({problem}); run the same command again later"
                ) from None
            time.sleep(pause)
    raise AssertionError


def as_record(found: dict[str, Any]) -> Record:
    """A record of an answer. Repetitions of a field, `name(1)` and so on, are joined by returns, as for an export.

    Empty ones at the end are left out.
    """
    values: dict[str, str] = {}
    repeated: dict[str, list[str]] = {}
    for name, value in found["fieldData"].items():
        text = "" if value is None else str(value)
        if repetition := REPETITION.fullmatch(name):
            repeated.setdefault(repetition[1], []).append(text)
        else:
            values[name] = text
    for name, texts in repeated.items():
        while texts and not texts[-1]:
            del texts[-1]
        values[name] = "\r".join(texts)
    return Record(str(found["recordId"]), str(found["modId"]), values)
