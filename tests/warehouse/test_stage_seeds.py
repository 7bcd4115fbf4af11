"""scripts/stage_seeds.py: the seeds as Parquet files for Spark."""

import fcntl
import os
import re
from hashlib import sha256
from pathlib import Path

import duckdb
import pytest

import stage_seeds
from linkage.files import csv_line
from linkage.paths import PROJECT_ROOT, SAMPLE_FOLDER
from linkage.seeds import SEED_COLUMNS, load_seed
from linkage.warehouse import parquet_seeds
from linkage.warehouse.parquet_seeds import declared_seeds
from tests.support.projects import DATES, MALFORMED, hashes, uuid, write_clinic, write_seed


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder."""
    write_clinic(tmp_path / "data", DATES)
    return tmp_path / "data"


@pytest.fixture
def staged(tmp_path: Path) -> Path:
    """Where the Parquet files go."""
    return tmp_path / "staged"


@pytest.fixture
def stage(run_here, data, staged):
    """Callable: stage the data folder, or another one."""
    return lambda folder=staged, linkage_data=data: run_here(
        stage_seeds.main, folder, environment=os.environ | {"LINKAGE_DATA": str(linkage_data)}
    )


def rows(path: Path, columns: str = "*") -> list[tuple]:
    return duckdb.sql(f"select {columns} from read_parquet('{path}')").fetchall()


def test_every_seed_is_staged_as_a_build_on_duckdb_reads_it(stage, data, staged):
    values = ["NULL", "null", "", "\\N", " ", 'a "b", c\nd', "\r", "é😀", "\x01", "'", "\\", "a\r\nb", "\ufeff"]
    export = [(n, "", "", value, value, "", "", "", "") for n, value in enumerate(values * 2_000)]
    lines = map(csv_line, [SEED_COLUMNS["filemaker_images_metadata"], *export])
    (data / "filemaker_images_metadata.csv").write_bytes("".join(lines).encode())
    write_seed(data, "held_images", [{"recid": n, "held_by": "\ufeff", "held_on": ""} for n in (3, 1, 2)])
    before = hashes(data)
    ended = stage()
    assert (ended.returncode, ended.stderr) == (0, "")
    said = re.fullmatch(r"Staged ([0-9,]+) rows of 10 seeds\. .*  export LINKAGE_STAGED=(.*)\n", ended.stdout)
    assert said[2] == str(staged)
    assert hashes(data) == before
    connection = duckdb.connect()
    total = 0
    for seed in declared_seeds():
        path = data / f"{seed.name}.csv"
        path = path if path.exists() else PROJECT_ROOT / "seeds" / "reference" / path.name
        numbered = seed.name in ("held_images", "copy_results")
        assert load_seed(connection, path, "loaded", seed.columns, record_number=numbered) is None
        file = staged / f"{seed.name}.parquet"
        assert rows(file) == connection.execute("from loaded").fetchall(), seed.name
        types = duckdb.sql(f"select column_name, column_type from (describe from read_parquet('{file}'))").fetchall()
        expected = [(column, "VARCHAR") for column in SEED_COLUMNS.get(seed.name, seed.columns)]
        assert types == expected + [("record_number", "BIGINT")] * numbered
        count = len(rows(file))
        total += count
        assert rows(staged / "staged.parquet", "seed, row_count, sha256, data_folder").count(
            (seed.name, count, sha256(path.read_bytes()).hexdigest(), str(data))
        )
    assert said[1] == f"{total:,}"
    times = {time for (time,) in rows(staged / "staged.parquet", "staged_at")}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", " ".join(times))
    assert staged.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in staged.iterdir()} == {0o600}
    assert {path.name for path in staged.iterdir()} == {f"{s.name}.parquet" for s in declared_seeds()} | {
        "staged.parquet"
    }


@pytest.mark.parametrize("linkage_data", ["seeds/sample", "seeds/sample/", str(SAMPLE_FOLDER)])
def test_the_sample_is_staged_under_the_name_that_a_build_of_it_records(stage, staged, linkage_data):
    assert stage(linkage_data=linkage_data).returncode == 0
    assert set(rows(staged / "staged.parquet", "data_folder")) == {("seeds/sample",)}


def test_without_linkage_data_it_stages_what_the_scripts_write_and_prints_what_dbt_needs(
    run_here, staged, data, monkeypatch
):
    monkeypatch.setattr("linkage.paths.PROJECT_ROOT", data.parent)  # so that data/ is this folder
    ended = run_here(stage_seeds.main, staged, environment={"PATH": os.environ["PATH"]})
    assert ended.stdout.endswith("export LINKAGE_DATA=data\n")
    assert set(rows(staged / "staged.parquet", "data_folder")) == {(str(data),)}


@pytest.mark.parametrize(("text", "complaint"), MALFORMED[3::3], ids=range(len(MALFORMED[3::3])))
def test_a_malformed_seed_is_refused_with_its_line_and_without_its_values(stage, data, staged, text, complaint):
    staged.mkdir()
    (staged / "staged.parquet").write_text("of an earlier run")
    (data / "nexus_patients.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    ended = stage()
    assert (ended.returncode, ended.stdout) == (2, "")
    assert re.fullmatch(f"error: nexus_patients.csv [^\n]*{re.escape(complaint)}[^\n]*\n", ended.stderr)
    assert "SECRET" not in ended.stderr
    assert not (staged / "staged.parquet").exists()


def test_a_seed_that_is_missing_is_refused(stage, data, staged):
    for seed in ("held_images", "copy_results"):
        (data / f"{seed}.csv").unlink()
        ended = stage()
        assert ended.returncode == 2
        assert ended.stderr.startswith(f"error: {seed}.csv cannot be opened (No such file or directory): ")
        assert not (staged / "staged.parquet").exists()
        write_seed(data, seed, [])


def test_a_seed_that_changes_while_it_is_read_is_refused(stage, data, staged, monkeypatch):
    def load_and_change(connection, path, *arguments, **options):
        problem = load_seed(connection, path, *arguments, **options)
        with Path(path).open("a", encoding="utf-8") as file:
            file.write("n-2,\n" if path.name == "nexus_patients.csv" else "")
        return problem

    monkeypatch.setattr(parquet_seeds, "load_seed", load_and_change)
    ended = stage()
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: nexus_patients.csv changed while it was read: ")
    assert not (staged / "staged.parquet").exists()


def test_copies_that_are_recorded_meanwhile_are_staged_up_to_one_moment(stage, data, staged, monkeypatch):
    results = data / "copy_results.csv"
    line = ",".join(["x"] * len(SEED_COLUMNS["copy_results"])) + "\n"
    results.write_text(results.read_text() + line * 3)
    digest = sha256(results.read_bytes()).hexdigest()

    def load_while_copying(connection, path, *arguments, **options):
        if path.name == results.name:
            with results.open("a", encoding="utf-8") as file:
                file.write(line + line[:9])
        return load_seed(connection, path, *arguments, **options)

    monkeypatch.setattr(parquet_seeds, "load_seed", load_while_copying)
    assert stage().returncode == 0
    assert rows(staged / "copy_results.parquet", "record_number") == [(1,), (2,), (3,)]
    staged_rows = rows(staged / "staged.parquet", "seed, row_count, sha256")
    assert ("copy_results", 3, digest) in staged_rows


def test_a_record_that_a_copy_run_did_not_finish_is_left_out_and_that_is_said(stage, data, staged):
    results = data / "copy_results.csv"
    results.write_text(results.read_text() + "x" + "," * 12 + "\nr-2,2026-0")
    ended = stage()
    assert ended.returncode == 0
    assert (
        ended.stderr == "copy_results.csv: the last line is cut off and is left out; the next copy run sets it aside\n"
    )
    assert rows(staged / "copy_results.parquet", "run_id, record_number") == [("x", 1)]


def test_a_run_that_is_killed_leaves_nothing_that_a_build_would_take(stage, data, staged, monkeypatch):
    assert stage().returncode == 0

    def killed(connection, path, *arguments, **options):
        if path.name == "nexus_images.csv":
            raise KeyboardInterrupt
        return load_seed(connection, path, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(parquet_seeds, "load_seed", killed)
        assert stage().returncode == 130
    assert not (staged / "staged.parquet").exists()
    left = staged / ".staging-left"
    left.mkdir()
    (left / "copy_results.csv").write_text("of a run that was killed")
    assert stage().returncode == 0
    assert not left.exists()
    assert (staged / "staged.parquet").exists()


def test_two_runs_do_not_write_into_one_folder(stage, staged):
    staged.mkdir()
    descriptor = os.open(staged, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        ended = stage()
    finally:
        os.close(descriptor)
    assert (ended.returncode, ended.stderr) == (
        2,
        f"error: another run is writing to {staged}: wait until it ends, then run again\n",
    )
    assert stage().returncode == 0


def test_a_folder_that_cannot_be_used_is_refused_in_one_sentence(stage, tmp_path):
    (tmp_path / "file").write_text("")
    for folder, complaint in (
        (SAMPLE_FOLDER / "staged", "seeds/sample is the project's own sample and is never written to"),
        ("s3://bucket/staged", "s3://bucket/staged is not a folder on this machine"),
        (tmp_path / "file", f"cannot write to {tmp_path / 'file'}: File exists"),
        (tmp_path / "file" / "staged", f"cannot write to {tmp_path / 'file' / 'staged'}: Not a directory"),
    ):
        ended = stage(folder)
        assert ended.returncode == 2
        assert re.fullmatch(f"error: {re.escape(complaint)}[^\n]*\n", ended.stderr)
    assert not (SAMPLE_FOLDER / "staged").exists()


def test_a_full_disk_is_reported_without_a_value(stage, data, staged, monkeypatch):
    def fail(*_):
        raise duckdb.IOException(f"No space left: {uuid(1)}")

    monkeypatch.setattr(parquet_seeds, "write_parquet", fail)
    ended = stage()
    assert ended.returncode == 2
    assert "(IOException): make sure that the disk has room" in ended.stderr
    assert uuid(1) not in ended.stderr


def test_the_declared_columns_are_those_that_scripts_write():
    declared = {seed.name: tuple(seed.columns) for seed in declared_seeds()}
    assert {name: declared[name] for name in SEED_COLUMNS} == SEED_COLUMNS
    lists = {path.stem for path in (PROJECT_ROOT / "seeds" / "reference").glob("*.csv")}
    assert declared.keys() - SEED_COLUMNS.keys() == lists
