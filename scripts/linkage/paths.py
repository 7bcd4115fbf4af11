"""Where the project and its data are."""

import os
from pathlib import Path

from linkage.errors import UnusableInput

PROJECT_ROOT = Path(__file__).resolve().parents[2]
SAMPLE_FOLDER = PROJECT_ROOT / "seeds" / "sample"


def data_folder() -> Path:
    """`LINKAGE_DATA` (absolute, or relative to the project root), or else `data/`; it need not exist."""
    return PROJECT_ROOT / (os.environ.get("LINKAGE_DATA") or "data")


def outside_sample(path: Path) -> Path:
    """`path`; raises UnusableInput if it is in the sample."""
    if path.resolve().is_relative_to(SAMPLE_FOLDER.resolve()):
        raise UnusableInput(
            "seeds/sample is the project's own sample and is never written to; set LINKAGE_DATA to a folder of your own"
        )
    return path


def manifest_path() -> Path:
    """`MANIFEST_PATH`, absolute or relative to the project root; by default `manifest.csv` there."""
    return PROJECT_ROOT / os.environ.get("MANIFEST_PATH", "manifest.csv")


def warehouse_path() -> Path:
    """The DuckDB file that dbt builds: `LINKAGE_WAREHOUSE`, or the default of profiles.yml.example."""
    return PROJECT_ROOT / (os.environ.get("LINKAGE_WAREHOUSE") or "target/image_linkage.duckdb")
