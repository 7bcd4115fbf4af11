"""Stand-ins for what the models use of dbt, so that sqlfluff renders them without dbt and without a database."""

import datetime
import re
from collections.abc import Callable
from types import SimpleNamespace


def dispatch(name: str, _package: str = "") -> Callable[..., str]:
    """A call of the macro's name with its first argument, as SQL: the others may be patterns, which are not SQL."""
    if name.endswith("materialized"):
        return str
    return lambda *arguments: f"{name}({', '.join(arguments[:1])})"


def unchanged(value: object) -> object:
    """What dbt's `return` does in a macro that is printed."""
    return value


def data_folder() -> str:
    """The data folder of a build."""
    return "/data"


def is_sample() -> bool:
    """Whether a build is one of the sample."""
    return False


model = SimpleNamespace(resource_type="model")
invocation_args_dict = SimpleNamespace(vars={})
adapter = SimpleNamespace(dispatch=dispatch, quote='"{}"'.format)
dbt = SimpleNamespace(type_string=lambda: "text", escape_single_quotes=lambda text: text.replace("'", "''"))
modules = SimpleNamespace(re=re, datetime=datetime)
run_started_at = datetime.datetime(2026, 1, 1)
execute = False
globals()["return"] = unchanged
