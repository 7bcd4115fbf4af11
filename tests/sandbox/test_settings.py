"""The settings that demo, tests and benchmarks share."""

import yaml

from linkage.paths import PROJECT_ROOT
from sandbox.settings import DEFAULT_VARS


def test_every_var_of_the_project_has_a_pinned_default():
    project = yaml.safe_load((PROJECT_ROOT / "dbt_project.yml").read_text(encoding="utf-8"))
    assert DEFAULT_VARS.keys() == project["vars"].keys()
