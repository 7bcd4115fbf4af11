"""Which column each field of an export belongs to: by the header's names, or by their order."""

from collections import Counter
from collections.abc import Sequence

from linkage.errors import UnusableInput
from linkage.filemaker.date_order import WHITE_SPACE
from linkage.seeds import SEED_COLUMNS

SEED = "filemaker_images_metadata"
SEED_NAMES = {name.lower(): name for name in SEED_COLUMNS[SEED]}
# FileMaker's own order, for an export without a header.
EXPORT_COLUMNS = ("date", "fileName", "id", "id_Contact", "Name_of_file", "NexusExportDate", "recid", "Type")


def plain_name(name: str) -> str:
    """A column's name as it is compared: in lower case, without surrounding white space or a leading `Table::`."""
    return name.rpartition("::")[2].strip(WHITE_SPACE).lower()


def parse_columns(option: str | None) -> list[str] | None:
    """The plain names in `--columns`; None if the option is not given. Raises UnusableInput for unusable names."""
    if option is None:
        return None
    columns = [plain_name(name) for name in option.split(",")]
    refuse_unusable_names(columns, "--columns")
    return columns


def export_columns(header: list[str] | None, chosen: list[str] | None) -> list[str]:
    """The plain names of the export's columns: the header's, else the chosen ones, else FileMaker's usual ones.

    Raises UnusableInput for a header with unusable names, or one that disagrees with `chosen`.
    """
    if header is None:
        return chosen or [plain_name(name) for name in EXPORT_COLUMNS]
    refuse_unusable_names(header, "the header")
    if chosen and [SEED_NAMES.get(name) for name in chosen] != [SEED_NAMES.get(name) for name in header]:
        raise UnusableInput("the file's header disagrees with --columns; omit --columns, the header is enough")
    return header


def refuse_unusable_names(names: Sequence[str], place: str) -> None:
    """Raise UnusableInput if a name appears twice, or recid is missing."""
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        # only our own names are printed: anything else in a first record may be a patient's
        known = [SEED_NAMES[name] for name in twice if name in SEED_NAMES]
        which = f" ({', '.join(known)})" if known else ""
        raise UnusableInput(f"{place} has the same column name twice{which}; give each column its own name")
    if "recid" not in names:
        raise UnusableInput(f"{place} has no recid column, and no image can be found without it; export it too")
