"""How long `dbt build` takes and how much memory, beside a hand-written DuckDB script that makes the same marts.

`python -m benchmarks build` for a million images; `python -m benchmarks.build 10000000 1 4` for ten million,
once, where DuckDB may use 4 GB.
"""

import json
import os
import sys
import tempfile
from pathlib import Path
from statistics import median_high

from benchmarks.by_hand import differences
from benchmarks.large_folder import write_large_folder
from benchmarks.processes import Figures, spread, timed
from linkage.paths import PROJECT_ROOT
from sandbox.settings import DEFAULT_VARS

MOST_TIME = 1.5  # times that of the hand-written script
MOST_SHARE = 1 / 5  # of a build's time for what it remembers and compares
MOST_OF_FINDINGS = 1 / 3  # of the time of everything else that a build makes and tests
MOST_MEGABYTES = {1_000_000: 1_500, 10_000_000: 5_000}


def main(rows: int = 1_000_000, runs: int = 3, gigabytes: int = 1) -> None:
    """Build both ways in turn, `runs` times, after one build that is not counted; print the figures.

    Both write the manifest. dbt builds with all data tests, which the script does not have.
    """
    patients = rows // 10
    variables = DEFAULT_VARS | {"duckdb_memory_limit": f"{gigabytes}GB"}
    print(f"\nBuild: {rows:,} export rows, {rows:,} objects, {patients:,} patients; {runs} runs in turn")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_large_folder(folder / "data", rows, patients)
        built, by_hand = folder / "built.duckdb", folder / "by_hand.duckdb"
        environment = os.environ | {
            "LINKAGE_DATA": str(folder / "data"),
            "LINKAGE_WAREHOUSE": str(built),
            "MANIFEST_PATH": str(folder / "manifest.csv"),
            "DBT_TARGET_PATH": str(folder / "target"),
            "DBT_LOG_PATH": str(folder / "logs"),
            "PYTHONPATH": f"{PROJECT_ROOT}:{PROJECT_ROOT / 'scripts'}",
        }
        dbt = [
            str(Path(sys.executable).with_name("dbt")), "build", "--exclude-resource-type", "unit_test",
            "--vars", json.dumps(variables),
        ]  # fmt: skip
        script = [
            sys.executable, "-m", "benchmarks.by_hand", str(folder / "data"), str(by_hand),
            str(variables["duckdb_memory_limit"]), str(variables["today"]),
        ]  # fmt: skip
        with_dbt: list[Figures] = []
        without: list[Figures] = []
        timed(dbt, environment, str(PROJECT_ROOT))
        for _ in range(runs):
            built.unlink()
            with_dbt.append(timed(dbt, environment, str(PROJECT_ROOT)))
            by_hand.unlink(missing_ok=True)
            without.append(timed(script, environment, str(PROJECT_ROOT)))
        timed(dbt, environment, str(PROJECT_ROOT))  # with a build before it that passed
        share = share_of_remembering(folder / "target" / "run_results.json")
        of_findings = share_of_findings(folder / "target" / "run_results.json")
        if unequal := differences(built, by_hand):
            raise RuntimeError(f"dbt and the hand-written script differ in {', '.join(unequal)}")
    print(f"{'':34}{'min':>8} {'median':>8} {'max':>8}")
    for title, figures in (("build, tests, manifest", with_dbt), ("by hand, with manifest", without)):
        print(f"{title:26}{'wall s':>8}{spread([run.wall for run in figures])}")
        print(f"{'':26}{'cpu s':>8}{spread([run.cpu for run in figures])}")
        print(f"{'':26}{'peak MB':>8}{spread([run.peak for run in figures])}")
    for title, ratios in (
        ("ratio of wall time", [one.wall / other.wall for one, other in zip(with_dbt, without, strict=True)]),
        ("ratio of processor time", [one.cpu / other.cpu for one, other in zip(with_dbt, without, strict=True)]),
    ):
        print(f"{title:34}{spread(ratios)}   (at most {MOST_TIME})")
    print(f"{'share of remembering, manifest included':40}{share:8.2f}   (at most {MOST_SHARE})")
    print(f"{'findings, over the rest of the build':40}{of_findings:8.2f}   (at most {MOST_OF_FINDINGS:.2f})")
    most = f"   (at most {MOST_MEGABYTES[rows]:,})" if rows in MOST_MEGABYTES else ""
    print(f"{'peak of dbt build':34}{median_high([run.peak for run in with_dbt]):17.0f} MB{most}")


def share_of_remembering(path: Path) -> float:
    """The share of a build's time for its models of changes, their tests, and its last hook with the manifest."""
    results = json.loads(path.read_text(encoding="utf-8"))
    names = ("build_outcome", "build_differences", "changes_since_last_build", "on-run-end")
    nodes = [node for node in results["results"] if any(name in node["unique_id"] for name in names)]
    return sum(node["execution_time"] for node in nodes) / results["elapsed_time"]


def share_of_findings(path: Path) -> float:
    """The time of a build's models of findings and their tests, over the time of its other nodes."""
    names = ["int_same_bytes", "identity_words", "findings"]
    names += [model.stem for model in (PROJECT_ROOT / "models" / "marts" / "findings").glob("*.sql")]
    times = [0.0, 0.0]
    for node in json.loads(path.read_text(encoding="utf-8"))["results"]:
        times[any(name in node["unique_id"] for name in names)] += node["execution_time"]
    return times[True] / times[False]


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
