"""The project's settings, as `dbt_project.yml` has them."""

from datetime import date
from functools import cache
from typing import Any

import yaml

from linkage.errors import UnusableInput
from linkage.paths import PROJECT_ROOT


@cache
def project() -> dict[str, Any]:
    """What `dbt_project.yml` says."""
    settings: dict[str, Any] = yaml.safe_load((PROJECT_ROOT / "dbt_project.yml").read_text(encoding="utf-8"))
    return settings


def project_var(name: str) -> str:
    """The value of the dbt var `name` in `dbt_project.yml`, as text.

    Values given to dbt with `--vars` are not seen here.
    """
    return str(project()["vars"][name])


def project_version() -> str:
    """The version of this project."""
    return str(project()["version"])


def today() -> date:
    """The var `today`, or else the machine's local date."""
    setting = project_var("today")
    try:
        return date.fromisoformat(setting) if setting else date.today()
    except ValueError:
        raise UnusableInput("today in dbt_project.yml is not a date; write it as YYYY-MM-DD") from None
