"""The project's settings, as `dbt_project.yml` has them."""

from functools import cache

import yaml

from linkage.paths import PROJECT_ROOT


@cache
def project_var(name: str) -> str:
    """The value of the dbt var `name` in `dbt_project.yml`, as text.

    What `dbt --vars` overrides on a command line is not seen here.
    """
    project = yaml.safe_load((PROJECT_ROOT / "dbt_project.yml").read_text(encoding="utf-8"))
    return str(project["vars"][name])
