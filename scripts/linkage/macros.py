"""dbt's macros for scripts: a rule is one SQL text, and it means the same in a build and in a script."""

from functools import cache
from types import SimpleNamespace
from typing import Any

from linkage.paths import PROJECT_ROOT

FILES = ("text", "filemaker", "newest_copy_results")


@cache
def duckdb_macros() -> Any:
    """The macros of FILES, each an attribute, as dbt-duckdb would call them."""
    import jinja2  # which takes longer than many a step that needs no macro

    def dispatch(name: str, _: str) -> Any:
        return getattr(macros, f"duckdb__{name}", None) or getattr(macros, f"default__{name}")

    macros = SimpleNamespace()
    environment = jinja2.Environment(autoescape=False, extensions=["jinja2.ext.do"])
    dbt = SimpleNamespace(type_string=lambda: "text", escape_single_quotes=lambda text: text.replace("'", "''"))
    known = {"adapter": SimpleNamespace(dispatch=dispatch), "dbt": dbt, "return": str, "image_linkage": macros}
    environment.globals.update(known)
    text = "".join((PROJECT_ROOT / "macros" / f"{name}.sql").read_text(encoding="utf-8") for name in FILES)
    vars(macros).update(vars(environment.from_string(text).module))
    return macros


def macro_sql(name: str, *arguments: str) -> str:
    """DuckDB's SQL of the macro `name`, one of those in FILES, for SQL expressions or relations as arguments."""
    return str(getattr(duckdb_macros(), name)(*arguments)).strip()


def query_sql(text: str, **names: Any) -> str:
    """DuckDB's SQL of a query that calls macros of FILES, and these functions by their names, such as `ref`."""
    import jinja2

    environment = jinja2.Environment(autoescape=False)
    return environment.from_string(text, globals=vars(duckdb_macros()) | names).render().strip()
