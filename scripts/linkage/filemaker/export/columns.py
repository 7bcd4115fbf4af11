"""Which column each field of an export belongs to: by the header's names, or by their order."""

import re
from collections import Counter
from collections.abc import Sequence
from difflib import get_close_matches

from linkage.errors import UnusableInput
from linkage.seeds import SEED_COLUMNS

SEED = "filemaker_images_metadata"
# FileMaker's own order, for an export without a header.
EXPORT_COLUMNS = ("date", "fileName", "id", "id_Contact", "Name_of_file", "NexusExportDate", "recid", "Type")
# In `--columns`: a column that the seed does not get.
DROPPED = "-"

# The columns of an export, in their order: a name of the seed's, or None for one that is dropped.
Columns = list[str | None]


def plain_name(name: str) -> str:
    """A name as it is compared: without case, blanks and underscores."""
    return re.sub(r"[\s_]", "", name).lower()


SEED_NAMES = {plain_name(name): name for name in SEED_COLUMNS[SEED]}


def seed_name(name: str) -> str | None:
    """The seed's column that a field's name, with or without `Table::` before it, stands for; None if there is none."""
    return SEED_NAMES.get(plain_name(name.rpartition("::")[2]))


def parse_columns(option: str, place: str = "--columns") -> Columns:
    """The columns that `option` lists. Raises UnusableInput for unusable names; `place` says where they come from."""
    names = option.split(",")
    for name in names:
        if name.strip() != DROPPED and seed_name(name) is None:
            plain = plain_name(name.rpartition("::")[2])
            nearest = [SEED_NAMES[close] for close in get_close_matches(plain, SEED_NAMES, 1, cutoff=0.1)]
            names_are = f"the nearest name is {nearest[0]}" if nearest else f"the names are {', '.join(EXPORT_COLUMNS)}"
            raise UnusableInput(
                f"{place} has '{name.strip()}', which is not a column of the seed; {names_are}, "
                f"and {DROPPED} drops a column"
            )
    return taken_columns(names, place)


def export_columns(header: Sequence[str] | None, chosen: Columns | None) -> Columns:
    """The export's columns: the header's, of them only those that `chosen` takes; without a header, the chosen ones.

    Raises UnusableInput for a header with unusable names, or one that disagrees with `chosen`.
    """
    if header is None:
        return chosen or list(EXPORT_COLUMNS)
    if chosen is None:
        return taken_columns(header, "the header")
    if len(chosen) != len(header) or any(
        name not in (None, seed_name(own)) for name, own in zip(chosen, header, strict=True)
    ):
        raise UnusableInput(
            "the file's header disagrees with --columns (or FILEMAKER_COLUMNS); omit it, the header is enough"
        )
    return taken_columns([own if name else DROPPED for name, own in zip(chosen, header, strict=True)], "the header")


def taken_columns(names: Sequence[str], place: str) -> Columns:
    """The seed's column for each name.

    Raises UnusableInput if one is taken twice, if recid is missing, or if `Table::` shows that the fields do not
    belong together: the date of a related record is not the image's.
    """
    columns = [seed_name(name) for name in names]
    twice = [name for name, count in Counter(filter(None, columns)).items() if count > 1]
    if twice:
        raise UnusableInput(
            f"{place} has the same column name twice ({', '.join(twice)}); give each column its own name"
        )
    if "recid" not in columns:
        raise UnusableInput(f"{place} has no recid column, and no image can be found without it; export it too")
    tables: dict[str, list[str]] = {}
    for name in filter(seed_name, names):
        tables.setdefault(plain_name(name.rpartition("::")[0]), []).append(printable(name))
    if len(tables) > 1:
        which = "; ".join(", ".join(fields) for fields in tables.values())
        raise UnusableInput(
            f"{place} takes fields of more than one table ({which}); export the fields of the images' own table, "
            f"or list the columns to take with --columns, with {DROPPED} for the others"
        )
    return columns


def printable(name: str) -> str:
    """A field's name as it can be printed on a line."""
    return "".join(character if character.isprintable() else " " for character in name).strip()
