"""The marts of random data folders, against a second, plain-Python reading of the contract."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from linkage.seeds import make_missing_seeds
from oracle import MART_COLUMNS, ORDERED_MARTS, expected_marts
from projects import InProcess, Project
from random_folders import data_folders, large_folder, write_folder

SLOW = {"deadline": None, "suppress_health_check": list(HealthCheck), "database": None}


@pytest.fixture(scope="module")
def dbt(tmp_path_factory: pytest.TempPathFactory) -> InProcess:
    folder = tmp_path_factory.mktemp("random")
    make_missing_seeds(folder / "data")
    return InProcess(Project(folder / "data", folder / "work"))


def check_marts(dbt: InProcess, variables: dict) -> None:
    """Build the marts of the folder as it is now and compare each with the second reading, row for row."""
    ended = dbt("build", "--exclude-resource-type", "unit_test", "--exclude-resource-type", "test", variables=variables)
    assert ended.success, ended.text
    for mart, expected in expected_marts(dbt.project.data, variables).items():
        found = dbt.project.mart(mart, MART_COLUMNS[mart])
        if mart in ORDERED_MARTS:
            assert found == expected, mart
        else:
            missing, unexpected = Counter(expected) - Counter(found), Counter(found) - Counter(expected)
            assert (missing, unexpected) == (Counter(), Counter()), mart


def check_random_folder(dbt: InProcess, folder) -> None:
    write_folder(folder, dbt.project.data)
    check_marts(dbt, folder.settings)


@settings(max_examples=20, derandomize=True, phases=[Phase.generate], **SLOW)
@given(folder=data_folders())
def test_random_folders_give_the_marts_of_a_second_reading(dbt, folder):
    check_random_folder(dbt, folder)


@pytest.mark.parametrize("seed", [1, 2])
def test_large_random_folders_give_the_marts_of_a_second_reading(dbt, seed):
    check_marts(dbt, large_folder(seed, 4_000, Path(dbt.project.data)))


@pytest.mark.fuzz
@settings(max_examples=200, **SLOW)
@given(folder=data_folders())
def test_many_random_folders_give_the_marts_of_a_second_reading(dbt, folder):
    check_random_folder(dbt, folder)


@pytest.mark.fuzz
@pytest.mark.parametrize("seed", range(10, 20))
def test_many_large_random_folders_give_the_marts_of_a_second_reading(dbt, seed):
    check_marts(dbt, large_folder(seed, 6_000, Path(dbt.project.data)))
