"""What the layout must have, what it says of a record, and which container has a record's best picture."""

from datetime import datetime
from typing import NamedTuple

from linkage.errors import UnusableInput
from linkage.filemaker.data_api.records import Record
from linkage.seeds import SEED_COLUMNS
from linkage.texts import WHITE_SPACE, recid_number

# From the largest picture to the smallest; `Recovered` is never taken.
CONTAINERS = ("image_Full", "image_Ex_large", "image_large", "image_medium", "image_small")
COLUMNS = SEED_COLUMNS["filemaker_images_metadata"]
RECID, MARK = "recid", "NexusExportDate"
NEEDED = ("id_Contact", "date", MARK)
MD5_SUFFIX = "_MD5"
MARK_FORMATS = {"date": "%m/%d/%Y", "timestamp": "%m/%d/%Y %H:%M:%S"}


class Layout(NamedTuple):
    """A layout that can be imported from: for each field that we know, its name there, which may differ in case.

    `mark_type` is the type of the field NexusExportDate.
    """

    name: str
    fields: dict[str, str]
    mark_type: str

    def value(self, record: Record, field: str) -> str:
        """A record's value, as FileMaker has it; empty if the layout does not have the field."""
        return record.values.get(self.fields.get(field, ""), "")

    def recid(self, record: Record) -> int:
        """A record's number: of the field `recid`, or else the server's own; 0 if it does not read."""
        text = self.value(record, RECID) if RECID in self.fields else record.record_id
        return recid_number(text.strip(WHITE_SPACE))

    def is_marked(self, record: Record) -> bool:
        """Whether the record needs no import any more."""
        return bool(self.value(record, MARK).strip(WHITE_SPACE))

    def mark(self) -> str:
        """The value that marks a record now."""
        form = MARK_FORMATS.get(self.mark_type)
        return datetime.now().strftime(form) if form else "1"

    def best_container(self, record: Record) -> str:
        """The first container that has a value, `?` included; empty if there is none."""
        return next((name for name in CONTAINERS if self.value(record, name).strip(WHITE_SPACE)), "")

    def filemaker_md5(self, record: Record, container: str) -> str:
        """The MD5 that FileMaker has calculated of a container, in hex and lower case; empty if there is none."""
        text = self.value(record, container + MD5_SUFFIX).strip(WHITE_SPACE).lower()
        return text if len(text) == 32 and not text.strip("0123456789abcdef") else ""


def find_layout(name: str, types: dict[str, str]) -> Layout:
    """The layout with these fields, types by name."""
    by_name = {field.lower(): field for field in types}
    containers = [name for name in CONTAINERS if types.get(by_name.get(name.lower(), "")) == "container"]
    known = (*COLUMNS, *containers, *(container + MD5_SUFFIX for container in containers))
    fields = {field: by_name[field.lower()] for field in known if field.lower() in by_name}
    return Layout(name, fields, types.get(fields.get(MARK, ""), "").lower())


def check_layout(layout: Layout) -> None:
    """Raise UnusableInput if a field is missing without which nothing can be imported, or linked afterwards."""
    missing = [field for field in NEEDED if field not in layout.fields]
    if not any(container in layout.fields for container in CONTAINERS):
        missing.append(f"container {' or '.join(CONTAINERS)}")
    if missing:
        raise UnusableInput(
            f"the layout {layout.name} has no field {' and no '.join(missing)}; put it on the layout in FileMaker"
        )


def missing_fields(layout: Layout) -> list[str]:
    """Fields that are of use and that the layout does not have."""
    return [field for field in (*COLUMNS, *CONTAINERS) if field not in layout.fields]
