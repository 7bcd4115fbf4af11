"""scripts/document_marts.py: dbt's documentation as one page."""

import os
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from linkage.paths import PROJECT_ROOT
from linkage.seeds import make_missing_seeds
from tests.support.browser import chromium
from tests.support.projects import Project

MARK = "SECRETNAME"
SCRIPT = [sys.executable, PROJECT_ROOT / "scripts" / "document_marts.py"]


def document(project: Project) -> subprocess.CompletedProcess:
    environment = os.environ | project.environment
    return subprocess.run(SCRIPT, env=environment, capture_output=True, text=True, check=False, timeout=300)


@pytest.mark.slow
def test_the_page_shows_tables_with_their_columns_and_no_records_and_asks_nothing_of_a_network(tmp_path: Path):
    make_missing_seeds(tmp_path / "data")
    project = Project(tmp_path / "data", tmp_path / "work")
    warehouse = project.work / "warehouse.duckdb"
    ended = document(project)
    assert ended.returncode == 2
    assert ended.stderr == f"error: the warehouse {warehouse} is missing: run `dbt build`\n"

    with duckdb.connect(str(warehouse)) as connection:
        connection.execute(f"create table skipped_images as select '{MARK}' as id_contact, '{MARK}' as type")
    ended = document(project)
    page = tmp_path / "work" / "target" / "static_index.html"
    assert (ended.returncode, ended.stdout) == (0, f"The documentation is ready: open {page.as_uri()}\n"), ended
    assert page.stat().st_mode & 0o777 == 0o600
    assert MARK not in page.read_text(encoding="utf-8")
    with chromium() as browser:
        shown = browser.new_page()
        asked: list[str] = []
        shown.on("request", lambda request: asked.append(request.url))
        shown.goto(page.as_uri() + "#!/model/model.image_linkage.skipped_images")
        shown.get_by_text("One row per skipped row of the export").first.wait_for()
        assert shown.get_by_text("id_contact").count()
        assert shown.get_by_text("VARCHAR").count()
        assert {url.partition(":")[0] for url in asked} == {"file"}
        # not even if it wanted to
        refused = """new Promise(done => {
            addEventListener('securitypolicyviolation', event => done(event.effectiveDirective));
            fetch('https://localhost').catch(() => setTimeout(done, 1000, 'nothing'));
        })"""
        assert shown.evaluate(refused) == "connect-src"
