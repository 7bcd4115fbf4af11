"""A page with questions in SQL and, below each, the whole answer as a table."""

import re
from collections.abc import Callable

QUESTION = re.compile(r"```sql\n(.*?)\n```\n(?:\n(?:\|[^\n]*\n)+)?", re.DOTALL)
Ask = Callable[[str], tuple[list[str], list[tuple]]]


def with_answers(page: str, ask: Ask) -> str:
    """The page with the answer below each question; `ask` returns the columns and rows that answer a query."""
    return QUESTION.sub(lambda found: f"```sql\n{found[1]}\n```\n\n{table(*ask(found[1]))}", page)


def table(columns: list[str], rows: list[tuple]) -> str:
    """A table in Markdown."""
    written = [["" if value is None else str(value).replace("|", "\\|") for value in row] for row in rows]
    lines = [columns, *written]
    marked = ["| " + " | ".join(line) + " |\n" for line in lines]
    return "".join([marked[0], "|" + "---|" * len(columns) + "\n", *marked[1:]])
