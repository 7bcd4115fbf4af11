"""Write the answers on docs/analyst.md again: `PYTHONPATH=scripts python -m tests.warehouse.write_sample_answers`.

Needed whenever the sample, a question or a mart that one reads has changed. Read the difference before you commit it.
"""

import tempfile
from pathlib import Path

import duckdb

from linkage.paths import PROJECT_ROOT, SAMPLE_FOLDER
from linkage.warehouse.query_copy import query_copy
from tests.support.answers import with_answers
from tests.support.projects import NO_UNIT_TESTS, Project

PAGE = PROJECT_ROOT / "docs" / "analyst.md"


def main() -> None:
    """Build the sample in a temporary folder, and ask every question of the page."""
    with tempfile.TemporaryDirectory() as folder:
        project = Project(SAMPLE_FOLDER, Path(folder) / "work", linkage_data="seeds/sample", variables=None)
        ended = project.dbt("build", *NO_UNIT_TESTS)
        assert ended.returncode == 0, ended.stdout
        PAGE.write_text(answered(project, PAGE.read_text(encoding="utf-8")), encoding="utf-8")


def answered(project: Project, page: str) -> str:
    """The page with the answers of what a project has built, as `make query` gives them."""
    with query_copy(project.work / "warehouse.duckdb") as (copy, passed):
        assert passed
        with duckdb.connect(copy, read_only=True) as marts:

            def ask(sql: str) -> tuple[list[str], list[tuple]]:
                answer = marts.sql(sql)
                return answer.columns, answer.fetchall()

            return with_answers(page, ask)


if __name__ == "__main__":
    main()
