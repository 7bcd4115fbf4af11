"""How the demo runs scripts, dbt and servers, where its files are, and how it prints."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import duckdb

from sandbox.clinic import DUMP, Clinic
from sandbox.nexus_database import nexus_database
from sandbox.s3_server import list_etags, s3_server
from sandbox.settings import DEFAULT_VARS

PROJECT_ROOT = Path(__file__).resolve().parents[1]
# Each demo has a folder of its own in data/, which the Makefile names, so that the results of both can stay.
FOLDER = f"data/{os.environ.get('DEMO_FOLDER', 'demo')}"
DEMO = PROJECT_ROOT / FOLDER
MARK = DEMO / "MADE_BY_MAKE_DEMO.txt"
PICTURES = DEMO / "bucket"
MANIFEST = DEMO / "manifest.csv"
BUCKET = "synthetic-clinic"
DUMP_URL = f"s3://{BUCKET}/{DUMP}"
NEXUS_SEEDS = ("nexus_patients", "nexus_image_batches", "nexus_images")
SETTINGS_OF_A_CLINIC = ("DBT_", "FILEMAKER_", "LINKAGE_", "NEXUS_")
NO_UNIT_TESTS = ("--exclude-resource-type", "unit_test")


class DemoFailed(Exception):
    """A check failed; the message is one sentence that says which."""


def require(condition: bool, problem: str) -> None:
    """Raise DemoFailed with `problem` if the condition is false."""
    if not condition:
        raise DemoFailed(problem)


@contextmanager
def step(title: str) -> Iterator[None]:
    """Print the title when the step begins, and its seconds when it ends."""
    print(f"==> {title}", flush=True)
    started = time.monotonic()
    yield
    say(f"{time.monotonic() - started:.1f} s")


def say(text: str) -> None:
    """Print lines indented under their step."""
    if text.strip():
        print(textwrap.indent(text.rstrip("\n"), "    "), flush=True)


def empty_demo_folder() -> None:
    """Create the demo's folder, or delete what an earlier demo left there, but nothing that the demo did not make."""
    foreign = DEMO.is_symlink() or (DEMO.exists() and not MARK.exists() and any(DEMO.iterdir()))
    require(not foreign, f"{FOLDER} holds files that are not the demo's; move them elsewhere and run the demo again")
    DEMO.mkdir(mode=0o700, parents=True, exist_ok=True)
    MARK.write_text("The demo made everything here from invented records, and deletes it when it runs again.\n")
    for path in DEMO.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path != MARK:
            path.unlink()


@contextmanager
def s3_storage() -> Iterator[dict[str, str]]:
    """Run SeaweedFS; yields the environment in which the scripts run."""
    with ExitStack() as open_until_the_end:
        folder = Path(open_until_the_end.enter_context(tempfile.TemporaryDirectory(prefix="image-linkage-demo-")))
        try:
            with step("Start SeaweedFS, an S3 server"):
                environment = open_until_the_end.enter_context(s3_server(folder))
        except RuntimeError:
            shutil.copy(folder / "weed.log", DEMO)
            raise DemoFailed(f"SeaweedFS does not start; its log is {FOLDER}/weed.log") from None
        yield {
            **{name: value for name, value in environment.items() if not name.startswith(SETTINGS_OF_A_CLINIC)},
            "LINKAGE_DATA": FOLDER,
            "MANIFEST_PATH": f"{FOLDER}/manifest.csv",
            "DBT_TARGET_PATH": f"{FOLDER}/target",
            "DBT_LOG_PATH": f"{FOLDER}/logs",
        }


@contextmanager
def nexus_of(clinic: Clinic, environment: dict[str, str]) -> Iterator[str]:
    """Run Nexus; yields the URL of its owner, and sets `NEXUS_DATABASE_URL` to that of the project's own role."""
    with ExitStack() as open_until_the_end:
        with step("Start PostgreSQL, create Nexus's tables with Django, and register the patients"):
            owner, environment["NEXUS_DATABASE_URL"] = open_until_the_end.enter_context(nexus_database(clinic))
        yield owner


def run_script(environment: dict[str, str], name: str, *arguments: str, code: int = 0) -> str:
    """Run one of the project's scripts as a person would, show what it prints, and return that.

    `code` is the exit code that it must end with.
    """
    say(" ".join([f"$ python scripts/{name}", *arguments]))
    done = run(environment, sys.executable, f"scripts/{name}", *arguments)
    say(done.stdout)
    require(done.returncode == code, f"scripts/{name} ended with exit code {done.returncode}, not {code}")
    return done.stdout


def run_dbt_build(environment: dict[str, str], *options: str) -> None:
    """Build and test the models with the default settings; prints dbt's whole output only if it fails.

    The settings are given with --vars, so the demo passes regardless of dbt_project.yml. So do the scripts that read
    dbt_project.yml: the converter reports which date order the dates support, which decides nothing, and the export
    from Nexus uses two settings in mappings that name them, which the demo's mapping does not.
    """
    say(" ".join(["$ dbt build", *options, "--vars '{…}'   (the default settings)"]))
    command = [str(Path(sys.executable).with_name("dbt")), "--no-use-colors", "build", "--target", "duckdb"]
    done = run(environment, *command, "--vars", json.dumps(DEFAULT_VARS), *options)
    if done.returncode:
        say(done.stdout)
    require(done.returncode == 0, f"dbt build ended with exit code {done.returncode}")
    say("\n".join(re.findall(r"PASS=.*|manifest\.csv: .*", done.stdout)))


def run(environment: dict[str, str], *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command from the project root; its progress and errors go straight to stderr."""
    return subprocess.run(command, cwd=PROJECT_ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=False)


def list_bucket(environment: dict[str, str]) -> dict[str, str]:
    """Return the ETag of every object in the demo's bucket, by key."""
    return list_etags(environment, BUCKET)


def read_results(name: str = "copy_results.csv") -> list[dict[str, str]]:
    """Return the lines of a results file."""
    with (DEMO / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def query(sql: str) -> list[tuple[Any, ...]]:
    """Return rows from the marts; the file is closed at once, because dbt cannot build while another process has it."""
    with duckdb.connect(str(DEMO / "image_linkage.duckdb"), read_only=True) as connection:
        return connection.execute(sql).fetchall()


def read_summary() -> dict[str, int]:
    """Return the figures of the mart import_summary by metric."""
    return dict(query("select metric, value from import_summary"))
