"""Where the project and its data are."""

import os
from pathlib import Path

from linkage.errors import UnusableInput

PROJECT_ROOT = Path(__file__).resolve().parents[2]
SAMPLE_FOLDER = PROJECT_ROOT / "seeds" / "sample"


def data_folder() -> Path:
    """`LINKAGE_DATA` (absolute, or relative to the project root), or else `data/`; it need not exist."""
    return place("LINKAGE_DATA") or PROJECT_ROOT / "data"


def data_folder_name() -> str:
    """The data folder as `build_settings` records it: `seeds/sample` for the sample, otherwise absolute.

    macros/data_folder.sql spells it in the same way.
    """
    data_folder()  # refuses a ~
    text = os.environ.get("LINKAGE_DATA") or "data"
    folder = (text if text.startswith("/") else f"{PROJECT_ROOT}/{text}").rstrip("/")
    return "seeds/sample" if folder == str(SAMPLE_FOLDER) else folder


def outside_sample(path: Path) -> Path:
    """`path`; raises UnusableInput if it is in the sample."""
    if path.resolve().is_relative_to(SAMPLE_FOLDER.resolve()):
        raise UnusableInput(
            "seeds/sample is the project's own sample and is never written to; set LINKAGE_DATA to a folder of your own"
        )
    return path


def manifest_path() -> Path:
    """`MANIFEST_PATH`, absolute or relative to the project root; by default `manifest.csv` there."""
    return place("MANIFEST_PATH") or PROJECT_ROOT / "manifest.csv"


def warehouse_path() -> Path:
    """The DuckDB file that dbt builds from the data folder."""
    return warehouse_of(data_folder())


def warehouse_of(folder: Path) -> Path:
    """The DuckDB file of a data folder: `LINKAGE_WAREHOUSE`, or else in the folder; the sample's is in `target/`.

    profiles.yml.example says the same to dbt.
    """
    if folder.resolve() == SAMPLE_FOLDER.resolve():
        folder = PROJECT_ROOT / "target"
    return place("LINKAGE_WAREHOUSE") or folder / "image_linkage.duckdb"


def place(name: str) -> Path | None:
    """The file or folder that an environment variable names, absolute or relative to the project root; None if empty.

    Raises UnusableInput for a `~`, which a shell leaves as it is inside quotation marks.
    """
    text = os.environ.get(name)
    if not text:
        return None
    if text.startswith("~"):
        raise UnusableInput(f"{name} begins with ~, which only a shell understands: write the whole path, from / on")
    return PROJECT_ROOT / text
