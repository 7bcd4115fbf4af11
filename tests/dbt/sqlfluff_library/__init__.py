"""What sqlfluff's jinja templater needs of dbt to render the models: stand-ins, so that neither dbt nor a database runs."""

import datetime
import re
from collections.abc import Callable
from types import SimpleNamespace


def dispatch(name: str, _package: str = "") -> Callable[..., str]:
    """A call of the macro's name, as SQL."""
    return lambda *arguments: f"{name}({', '.join(map(str, arguments))})"


def unchanged(value: object) -> object:
    """What dbt's `return` does in a macro that is printed."""
    return value


adapter = SimpleNamespace(dispatch=dispatch)
modules = SimpleNamespace(re=re, datetime=datetime)
run_started_at = datetime.datetime(2026, 1, 1)
execute = False
globals()["return"] = unchanged
