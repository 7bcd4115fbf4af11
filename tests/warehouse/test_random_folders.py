"""The marts and refusals of random data folders, compared with a second implementation of docs/specification.md."""

import random
from collections import Counter
from datetime import date
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from linkage.filemaker.export.date_order import contradicts, date_order_evidence, undecided_orders
from linkage.seeds import SEED_COLUMNS, make_missing_seeds
from linkage.texts import WHITE_SPACE
from tests.support.oracle import JUDGES, ORDERED_MARTS, expected_refusals, read_seed
from tests.support.oracle_findings import CHANGES, MART_COLUMNS, expected_marts, read_kinds, remembered
from tests.support.projects import InProcess, Project, forget, postgres_project
from tests.support.projects import given as given_variables
from tests.support.random_folders import Folder, SeedFile, data_folders, large_folder, write_folder

EVIDENCE_OF_BUILD = (
    "date_order", "readable_dates", "impossible_dates", "future_dates", "steps_back", "weekend_dates", "misfits",
    "verdict",
)  # fmt: skip
EVIDENCE_OF_CONVERTER = (
    "readable", "impossible_here_readable_elsewhere", "in_future", "steps_back", "weekends", "misfits",
)  # fmt: skip
SLOW = {"deadline": None, "suppress_health_check": list(HealthCheck), "database": None}


@pytest.fixture(scope="module")
def dbt(tmp_path_factory: pytest.TempPathFactory) -> InProcess:
    folder = tmp_path_factory.mktemp("random")
    make_missing_seeds(folder / "data")
    return InProcess(Project(folder / "data", folder / "work"))


@pytest.fixture(scope="module")
def dbt_on_postgres(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> InProcess:
    project = postgres_project(postgres, tmp_path_factory.mktemp("random"))
    make_missing_seeds(project.data)
    return InProcess(project)


def check_marts(dbt: InProcess, variables: dict, before: dict | None = None) -> None:
    """Build the marts of the folder as it is now and compare each with the second implementation, row for row.

    Nothing is remembered, because data tests are left out; so `before` is what was remembered before.
    """
    ended = dbt("build", "--exclude-resource-type", "unit_test", "--exclude-resource-type", "test", variables=variables)
    assert ended.success, ended.text
    marts = expected_marts(dbt.project.data, variables, before)
    for mart, expected in marts.items():
        found = dbt.project.mart(mart, MART_COLUMNS[mart])
        if mart in ORDERED_MARTS:
            assert found == expected, mart
        else:
            missing, unexpected = Counter(expected) - Counter(found), Counter(found) - Counter(expected)
            assert (missing, unexpected) == (Counter(), Counter()), mart

    check_date_order_evidence(dbt, variables)
    assert refusals(dbt, variables) == expected_refusals(dbt.project.data, variables, marts)


def refusals(dbt: InProcess, variables: dict) -> set[str]:
    """Those of `JUDGES` that fail on the marts as they are."""
    ended = dbt.invoke(dbt.runner, ["test", "--select", *JUDGES, *given_variables(variables)])
    return {result.node.name for result in ended.result if result.status == "fail"}


def check_date_order_evidence(dbt: InProcess, variables: dict) -> None:
    """Check that the converter prints the same evidence as the build uses."""
    rows = read_seed(dbt.project.data, "filemaker_images_metadata")
    recids, dates = ([row[column] or "" for row in rows] for column in ("recid", "date"))
    configured = variables.get("filemaker_date_order", "mdy")
    evidence = date_order_evidence(
        pd.Series(recids, dtype="str"), pd.Series(dates, dtype="str"), date.fromisoformat(variables["today"])
    )
    expected = {
        order: (*(int(row[column]) for column in EVIDENCE_OF_CONVERTER), verdict(evidence, order, configured))
        for order, row in evidence.iterrows()
    }
    found = {order: tuple(figures) for order, *figures in dbt.project.mart("date_order_evidence", EVIDENCE_OF_BUILD)}
    # if no value is a date, no order has a row
    assert found == (expected if any(text.strip(WHITE_SPACE) for text in dates) else {})


def verdict(evidence: pd.DataFrame, order: str, configured: str) -> str:
    if order == configured:
        return "configured"
    if contradicts(evidence, order, configured):
        return "contradicts the configured order"
    if evidence.loc[order, f"differs_from_{configured}"] == 0:
        return "reads no date otherwise"
    return "undecided" if order in undecided_orders(evidence, configured) else "ruled out"


def change_folder(path: Path, settings: dict, seed: int) -> None:
    """Take some rows out of each seed, and give some of its values to other rows."""
    choose = random.Random(seed)
    files = {}
    for name, columns in SEED_COLUMNS.items():
        rows = [row for row in read_seed(path, name) if choose.random() < 0.97]
        for column in columns:
            chosen = choose.sample(rows, len(rows) // 20)
            values = [row[column] for row in chosen]
            for row, value in zip(chosen, values[1:] + values[:1], strict=True):
                row[column] = value
        files[name] = SeedFile([tuple(row[column] or "" for column in columns) for row in rows])
    write_folder(Folder(settings, files), path)


def write_month(path: Path, seed: int, month: int) -> dict:
    """Write a random folder as it is in one month of two; its settings are returned."""
    settings = large_folder(seed, 2_000, path)
    change_folder(path, settings, seed + month)
    return settings


def check_changes(dbt: InProcess, seed: int) -> None:
    """Build the first month of a random folder and remember it; then build and remember the second."""
    folder = Path(dbt.project.data)
    settings = write_month(folder, seed, 1)
    try:
        check_marts(dbt, settings)
        assert dbt("run-operation", "remember_build", variables=settings).success
        before = remembered(folder, settings)
        write_month(folder, seed, 2)
        check_marts(dbt, settings, before)
        findings = dbt.project.query("select distinct finding from review_findings")
        assert {finding for (finding,) in findings} == set(read_kinds())
        changes = dbt.project.query("select distinct change from changes_since_last_build")
        assert {change for (change,) in changes} == set(CHANGES)
        assert dbt("run-operation", "remember_build", variables=settings).success
        columns = ("record", "is_repeated", "decision", "filemaker_patient_id", "patient_id", "batch_id")
        state, now = (Counter(dbt.project.mart(table, columns)) for table in ("last_build_outcome", "build_outcome"))
        assert state == now
    finally:
        forget(dbt.project)


def check_random_folder(dbt: InProcess, folder) -> None:
    write_folder(folder, dbt.project.data)
    # dbt needs a tenth less time where it has no table to replace
    (dbt.project.work / "warehouse.duckdb").unlink(missing_ok=True)
    check_marts(dbt, folder.settings)


@settings(max_examples=20, derandomize=True, phases=[Phase.generate], **SLOW)
@given(folder=data_folders())
def test_random_folders_give_the_same_marts_as_a_second_implementation(dbt, folder):
    check_random_folder(dbt, folder)


@pytest.mark.parametrize("seed", [1, 2])
def test_large_random_folders_give_the_same_marts_as_a_second_implementation(dbt, seed):
    check_marts(dbt, large_folder(seed, 4_000, Path(dbt.project.data)))


@settings(max_examples=5, derandomize=True, phases=[Phase.generate], **SLOW)
@given(folder=data_folders())
def test_random_folders_give_the_same_marts_on_postgres(dbt_on_postgres, folder):
    check_random_folder(dbt_on_postgres, folder)


def test_a_large_random_folder_gives_the_same_marts_on_postgres(dbt_on_postgres):
    check_marts(dbt_on_postgres, large_folder(3, 4_000, Path(dbt_on_postgres.project.data)))


@pytest.mark.parametrize("engine", ["dbt", "dbt_on_postgres"])
def test_changes_of_random_folders_are_those_of_a_second_implementation(engine, request):
    # a folder in which every kind of change and finding comes up
    check_changes(request.getfixturevalue(engine), 40)


@pytest.mark.fuzz
@settings(max_examples=50, **SLOW)
@given(folder=data_folders())
def test_many_random_folders_give_the_same_marts_on_postgres(dbt_on_postgres, folder):
    check_random_folder(dbt_on_postgres, folder)


@pytest.mark.fuzz
@settings(max_examples=200, **SLOW)
@given(folder=data_folders())
def test_many_random_folders_give_the_same_marts_as_a_second_implementation(dbt, folder):
    check_random_folder(dbt, folder)


@pytest.mark.fuzz
@pytest.mark.parametrize("seed", range(10, 20))
def test_many_large_random_folders_give_the_same_marts_as_a_second_implementation(dbt, seed):
    check_marts(dbt, large_folder(seed, 6_000, Path(dbt.project.data)))
