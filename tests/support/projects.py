"""dbt, as tests call it: on a data folder, with everything it writes in a temporary folder."""

import csv
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import chdir
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch
from uuid import uuid4

import duckdb
import psycopg
from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from dbt.cli.main import dbtRunner
from dbt.contracts.graph.manifest import Manifest
from dbt.parser.manifest import extended_mashumaro_encoder, extended_mashumuro_decoder

from linkage.paths import PROJECT_ROOT
from linkage.seeds import SEED_COLUMNS, make_missing_seeds
from sandbox.postgres_server import database_url
from sandbox.settings import DEFAULT_VARS, DUMP
from tests.support.quick_dbt import quick_dbt

NO_UNIT_TESTS = ("--exclude-resource-type", "unit_test")
# Dates as month, day, year: 20 of them, so that day and month cannot be swapped.
DATES = [f"{month}/{month + 12}/{year}" for year in (2016, 2017) for month in range(1, 11)]
# Contents of nexus_patients.csv that cannot be read, and the message about each, on either engine.
MALFORMED = [
    ("patient_id,filemaker_id\nn-1,SECRET\nn-2\n", "line 3 has 1 fields, not 2"),
    ('patient_id,filemaker_id\nn-1,"a\nb"\nn-2,SECRET,3,4\n', "line 4 has more than 2 fields"),
    ('patient_id,filemaker_id\nn-1,"SECRET"x\n', "the quotes in line 2 do not match"),
    ('patient_id,filemaker_id\nn-0,x\nn-1,"SECRET\n', "the quotes in line 3 do not match"),
    ("patient_id,filemaker_id\nn-1,SE\rCRET\n", "line 2 ends differently from line 1"),
    ("patient_id,filemaker_id\r\nn-1,SECRET\n", "line 2 ends differently from line 1"),
    (b"patient_id,filemaker_id\nn-1,SECRET\xe9\n", "line 2 is not UTF-8"),
    ("patient_id,filemaker_id\nn-1,SECRET\n".encode("utf-16"), "line 1 is not UTF-8"),
    ("patient_id,filemaker_id\nn-1,SE\0CRET\n", "line 2 has a NUL byte"),
    ("patient_id;filemaker_id\nn-1;SECRET\n", "has no column patient_id in line 1"),
    ("patient_id,FileMaker\nn-1,SECRET\n", "has no column filemaker_id in line 1"),
    ("patient_id,filemaker_id,patient_id\nn-1,SECRET,3\n", "names a column twice in line 1"),
    ("", "has no header in line 1"),
]
DBT = Path(sys.executable).with_name("dbt")
# What dbt has parsed in this run of pytest, whose processes share the environment; conftest.py removes it.
PARSED = Path(tempfile.gettempdir()) / f"image-linkage-{os.environ.setdefault('PYTEST_RUN', uuid4().hex)}"
ANY_DATABASE = f"linkage_{0:032}".encode()
FASTER = ("--no-write-json", "--log-level-file", "none")  # a fifth of the time of a small build


def given(variables: dict | None) -> list[str]:
    """dbt's arguments for these vars and the documented defaults of the others, regardless of dbt_project.yml.

    None: no arguments.
    """
    if variables is None:
        return []
    return ["--vars", json.dumps(DEFAULT_VARS | variables)]


@dataclass
class Project:
    """One place to run dbt in: `data` is the data folder, `work` holds all that dbt writes."""

    data: Path
    work: Path
    root: Path = PROJECT_ROOT
    linkage_data: str | None = None
    variables: dict | None = field(default_factory=dict)

    def __post_init__(self):
        for folder in (self.work, self.work / "profiles"):
            folder.mkdir(exist_ok=True)
        shutil.copy(PROJECT_ROOT / "profiles.yml.example", self.work / "profiles" / "profiles.yml")

    @property
    def manifest(self) -> Path:
        return self.work / "manifest.csv"

    @property
    def environment(self) -> dict[str, str]:
        return {
            "LINKAGE_DATA": self.linkage_data or str(self.data),
            "LINKAGE_WAREHOUSE": str(self.work / "warehouse.duckdb"),
            "MANIFEST_PATH": str(self.manifest),
            "DBT_PROFILES_DIR": str(self.work / "profiles"),
            "DBT_TARGET_PATH": str(self.work / "target"),
            "DBT_LOG_PATH": str(self.work / "logs"),
        }

    def dbt(self, *arguments: str) -> subprocess.CompletedProcess:
        """Run dbt as a command; its output is in `stdout`, uncoloured."""
        return subprocess.run(
            [DBT, "--no-use-colors", *arguments, *given(self.variables)],
            check=False,
            cwd=self.root,
            env=os.environ | self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )

    def query(self, sql: str) -> list[tuple]:
        with duckdb.connect(str(self.work / "warehouse.duckdb"), read_only=True) as connection:
            return connection.execute(sql).fetchall()

    def mart(self, name: str, columns: tuple[str, ...]) -> list[tuple]:
        selected = ", ".join(f'"{column}"' for column in columns)
        return self.query(f"select {selected} from {name}")


@dataclass
class PostgresProject(Project):
    """The same on PostgreSQL, in the database of `url`."""

    url: str = ""

    @property
    def environment(self) -> dict[str, str]:
        found = psycopg.conninfo.conninfo_to_dict(self.url)
        connection = {f"PG{name.upper()}": found[name] for name in ("host", "port", "user", "password")}
        connection["PGDATABASE"] = found["dbname"]
        return super().environment | connection | {"DBT_TARGET": "postgres"}

    def query(self, sql: str) -> list[tuple]:
        with psycopg.connect(self.url, options="-c search_path=image_linkage") as connection:
            return connection.execute(sql).fetchall()

    def mart(self, name: str, columns: tuple[str, ...]) -> list[tuple]:
        selected = ", ".join(f'"{column}"' for column in columns)
        return self.query(f"select {selected} from {name}" + (" order by ctid" if name == "copy_manifest" else ""))


def postgres_project(server: str, folder: Path) -> PostgresProject:
    """A project in a new database of the superuser's URL `server`, owned by a new role that may do nothing else."""
    name = f"linkage_{uuid4().hex}"
    password = f"password-of-{name}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"create role {name} login password '{password}'")
        connection.execute(f"create database {name} owner {name}")
    return PostgresProject(folder / "data", folder / "work", url=database_url(server, name, name, password))


@dataclass
class Ended:
    """How a dbt command ended, and all that it said."""

    success: bool
    text: str


class InProcess:
    """dbt in this process, on one data folder whose files change: it parses the project once."""

    def __init__(self, project: Project, options: tuple[str, ...] = FASTER):
        self.project, self.options = project, options
        self.said: list[str] = []
        self.manifest = parsed_once(self) if options == FASTER else self.parse()
        self.runner = dbtRunner(manifest=self.manifest, callbacks=[self.hear])

    def parse(self) -> Manifest:
        """What dbt reads from the project's files."""
        parsed = self.invoke(dbtRunner(), ["parse", "--no-partial-parse", *given({})])
        assert parsed.success, parsed.exception
        return parsed.result

    def hear(self, event):
        if event.info.level in ("info", "warn", "error"):
            self.said.append(event.info.msg)

    def invoke(self, runner, arguments):
        """Run dbt; changes that end with a command's own process are reset: environment, umask, database."""
        umask = os.umask(0o022)
        try:
            quick = quick_dbt(debug=self.options != FASTER)
            with patch.dict(os.environ, self.project.environment), chdir(PROJECT_ROOT), quick:
                return runner.invoke(["--quiet", *self.options, *arguments])
        finally:
            os.umask(umask)
            if environment := DuckDBConnectionManager._ENV:
                environment.close()

    def __call__(self, *arguments: str, variables: dict | None = None) -> Ended:
        self.said.clear()
        result = self.invoke(self.runner, [*arguments, *given(variables or {})])
        return Ended(result.success, "\n".join([*self.said, str(result.exception or "")]))


def parsed_once(dbt: InProcess) -> Manifest:
    """What dbt reads from the project's files, read once in a run of pytest for all its processes.

    That takes some 5 s, and is the same for every data folder. On PostgreSQL the database's name is in it, which has
    the same length for every project.
    """
    url = getattr(dbt.project, "url", "")
    database = psycopg.conninfo.conninfo_to_dict(url)["dbname"].encode() if url else ANY_DATABASE
    with PARSED.with_suffix(".postgres" if url else ".duckdb").open("a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        parsed = file.read()
        if not parsed:
            parsed = dbt.parse().to_msgpack(extended_mashumaro_encoder).replace(database, ANY_DATABASE)
            file.write(parsed)
    return Manifest.from_msgpack(parsed.replace(ANY_DATABASE, database), decoder=extended_mashumuro_decoder)


def forget(project: Project) -> None:
    """Take away what builds have remembered: the next one is a first build."""
    if isinstance(project, PostgresProject):
        with psycopg.connect(project.url) as connection:
            connection.execute("drop table if exists image_linkage.last_build_outcome, image_linkage.build_changes")
        return
    with duckdb.connect(str(project.work / "warehouse.duckdb")) as connection:
        connection.execute("drop table if exists last_build_outcome; drop table if exists build_changes")


def write_seed(folder: Path, seed: str, rows: list[dict], **text) -> Path:
    """Write one seed of a data folder; columns that a row lacks are empty."""
    path = folder / f"{seed}.csv"
    with path.open("w", encoding="utf-8", newline="", **text) as file:
        writer = csv.DictWriter(file, SEED_COLUMNS[seed], restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path


def uuid(number: int) -> str:
    """A UUID as FileMaker writes one."""
    return f"{number:08X}-0000-FFFF-9999-0123456789AB"


def write_clinic(folder: Path, dates: list[str], prefix: str = DUMP) -> None:
    """Write a data folder with one linkable image per date, of one patient."""
    make_missing_seeds(folder)
    write_seed(
        folder,
        "filemaker_images_metadata",
        [
            {
                "recid": n,
                "id_Contact": uuid(1),
                "date": date,
                "Type": "Dorsal",
                "id": uuid(1000 + n),
                "fileName": f"{n}.jpg",
            }
            for n, date in enumerate(dates, 1)
        ],
    )
    write_seed(
        folder,
        "s3_inventory",
        [
            {"bucket": "clinic", "key": f"{prefix}{n}.jpg", "size": 10, "etag": f"{n:032x}"}
            for n in range(1, len(dates) + 1)
        ],
    )
    write_seed(folder, "nexus_patients", [{"patient_id": "n-1", "filemaker_id": uuid(1)}])


def hashes(folder: Path) -> dict[str, str]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
