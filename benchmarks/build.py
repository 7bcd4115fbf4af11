"""How long `dbt build` takes with a million images, and how much memory, beside DuckDB alone."""

import os
import sys
import tempfile
from pathlib import Path
from statistics import median_high

from benchmarks.large_folder import write_large_folder
from benchmarks.processes import Figures, spread, timed
from linkage.paths import PROJECT_ROOT
from linkage.settings import project_var


def main(rows: int = 1_000_000, patients: int = 100_000, runs: int = 3) -> None:
    """Build and compare, in turn, `runs` times, after one build that is not counted; print the figures."""
    print(f"\nBuild: {rows:,} export rows, {rows:,} objects, {patients:,} patients; {runs} runs in turn")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_large_folder(folder / "data", rows, patients)
        (folder / "alone").mkdir()
        database = folder / "image_linkage.duckdb"
        environment = os.environ | {
            "LINKAGE_DATA": str(folder / "data"),
            "LINKAGE_WAREHOUSE": str(database),
            "MANIFEST_PATH": str(folder / "manifest.csv"),
            "DBT_TARGET_PATH": str(folder / "target"),
            "DBT_LOG_PATH": str(folder / "logs"),
            "PYTHONPATH": f"{PROJECT_ROOT}:{PROJECT_ROOT / 'scripts'}",
        }
        dbt = [str(Path(sys.executable).with_name("dbt")), "build"]
        alone = [
            sys.executable, "-m", "benchmarks.duckdb_alone", str(folder / "target" / "manifest.json"),
            str(folder / "alone" / database.name), project_var("duckdb_memory_limit"),
        ]  # fmt: skip
        with_dbt: list[Figures] = []
        without: list[Figures] = []
        timed(dbt, environment, str(PROJECT_ROOT))
        for _ in range(runs):
            with_dbt.append(timed(dbt, environment, str(PROJECT_ROOT)))
            (folder / "alone" / database.name).unlink(missing_ok=True)
            without.append(timed(alone, environment, str(PROJECT_ROOT)))
    print(f"{'':34}{'min':>8} {'median':>8} {'max':>8}")
    for title, figures in (("dbt build, with all tests", with_dbt), ("DuckDB alone, no tests", without)):
        print(f"{title:26}{'wall s':>8}{spread([run.wall for run in figures])}")
        print(f"{'':26}{'cpu s':>8}{spread([run.cpu for run in figures])}")
        print(f"{'':26}{'peak MB':>8}{spread([run.peak for run in figures])}")
    ratios = [one.wall / other.wall for one, other in zip(with_dbt, without, strict=True)]
    print(f"{'ratio of wall time':26}{'':8}{spread(ratios)}   (at most 2.5)")
    print(f"{'peak of dbt build':26}{'':8}{median_high([run.peak for run in with_dbt]):26.0f} MB   (at most 2,000)")
