"""A whole run over marked records, and a search through everything that it prints and leaves behind.

See docs/specification.md, Privacy.
"""

import shutil
import tempfile
from pathlib import Path

import duckdb
import pytest

import build_review_site
import convert_fm_tab_to_csv
import export_nexus_records
import publish_to_nexus
from linkage.seeds import make_missing_seeds
from tests.support import projects
from tests.support.applications import PATIENT_TABLES, execute
from tests.support.projects import NO_UNIT_TESTS, InProcess, Project, write_seed
from tests.support.warehouses import (
    add_patients,
    batch_id,
    filemaker_patient_id,
    ids_md5,
    image,
    patient_id,
    result,
    write_warehouse,
)

# of patients: nowhere
NAME, NOTE = "Qqmarkedname", "qqmarkednote"
# of FileMaker's export: only in the seed and the warehouse
EXPORT_NOTE, FILE_NAME, NAME_OF_FILE = "qqexportnote", "qqfilename", "qqnameoffile"
# in the seed, the warehouse and Nexus
TYPE = "qqmarkedtype"
MARKS = (NAME, NOTE, EXPORT_NOTE, FILE_NAME, NAME_OF_FILE, TYPE)
COLUMNS = "date,fileName,id,id_Contact,Name_of_file,NexusExportDate,recid,Type,Note"
FILE_NAMES = {"plan": "original_filename", "generic": "original_name"}
TYPES = {"plan": "filemaker_type", "generic": "category"}


@pytest.fixture(scope="module")
def dbt(tmp_path_factory):
    folder = tmp_path_factory.mktemp("privacy")
    (folder / "data").mkdir()
    make_missing_seeds(folder / "data")
    return InProcess(Project(folder / "data", folder / "work"), options=())  # with all the files that dbt writes


@pytest.fixture(params=["plan", "generic"])
def site(request):
    return request.param


@pytest.fixture
def run(dbt, site, nexus_database, run_here, monkeypatch, tmp_path, copies):
    """A whole run on one site: its database, its folders, and everything that was printed."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    return Run(dbt, site, nexus_database(site), run_here, tmp_path, copies)


class Run:
    def __init__(self, dbt, site, url, run_here, folder, copies):
        self.dbt, self.site, self.url, self.run_here, self.folder = dbt, site, url, run_here, folder
        self.copies = copies
        self.data = dbt.project.data
        self.said = []

    def script(self, main, *arguments, code=0, **environment):
        settings = self.copies.environment | self.dbt.project.environment
        settings |= {"NEXUS_DATABASE_URL": self.url} | environment
        done = self.run_here(main, *arguments, environment=settings)
        self.said.append(done.stdout + done.stderr)
        assert done.returncode == code, self.said[-1]
        return self.said[-1]

    def export(self, *options, code=0):
        return self.script(export_nexus_records.main, "--mapping", self.site, *options, code=code)

    def publish(self, *options, code=0, **environment):
        return self.script(publish_to_nexus.main, "--mapping", self.site, *options, code=code, **environment)

    def build(self, succeeds=True):
        ended = self.dbt("build", *NO_UNIT_TESTS, variables={"today": "2026-01-10"})
        self.said.append(ended.text)
        assert ended.success == succeeds, ended.text

    def execute(self, statement):
        execute(self.url, statement)

    def write_export(self):
        """Write FileMaker's export, marked in each column of free text; the last two records cannot be linked."""
        rows = [
            (
                "13/45/2016" if recid == 9 else f"10/1{recid % 2 + 7}/2016", f"{FILE_NAME}{recid}.jpg",
                projects.uuid(1000 + recid), TYPE if recid == 10 else projects.uuid(recid % 2 + 1),
                f"{NAME_OF_FILE} {recid}", "1/1/2026 10:00:00", recid, TYPE, EXPORT_NOTE,
            )
            for recid in range(1, 11)
        ]  # fmt: skip
        path = self.folder / "export.tab"
        path.write_text("".join("\t".join(map(str, row)) + "\r" for row in rows))
        return path

    def mark_patients(self):
        add_patients(self.url, self.site, 1, 2, 3)
        table = PATIENT_TABLES[self.site]
        self.execute(f"update {table} set name = '{NAME}', notes = '{NOTE} ' || notes || ' {NOTE}'")
        # one patient with two FileMaker ids, which the export reports
        self.execute(
            f"update {table} set notes = notes || ' FileMaker ID: {projects.uuid(77)}' where id = '{patient_id(3)}'"
        )


def holders(folder, marks):
    """The files in `folder` that contain one of the marks, in their names or contents, in any case."""
    wanted = [mark.encode() for mark in marks]
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {
        path.name
        for path in files
        if any(mark.lower() in (str(path.name).encode() + path.read_bytes()).lower() for mark in wanted)
    }


def marks_in_warehouse(path):
    """The marks that any row of any table in a DuckDB file contains; the file itself is compressed."""
    with duckdb.connect(str(path), read_only=True) as warehouse:
        tables = warehouse.execute("select schema_name, table_name from duckdb_tables()").fetchall()
        assert tables
        return {
            mark
            for mark in MARKS
            for schema, table in tables
            if warehouse.execute(
                f'select count(*) from "{schema}"."{table}" as t where contains(lower(cast(t as varchar)), ?)',
                [mark.lower()],
            ).fetchone()[0]
        }


def test_a_whole_run_prints_and_leaves_nothing_of_a_patients_name_notes_or_free_text(run, dbt, site):
    run.mark_patients()
    for arguments in (["--columns", COLUMNS, "--check"], ["--columns", COLUMNS]):
        run.script(convert_fm_tab_to_csv.main, run.write_export(), *arguments)
    run.script(convert_fm_tab_to_csv.main, run.write_export(), code=2)  # nine fields, not eight
    write_seed(
        run.data,
        "s3_inventory",
        [
            {
                "bucket": "clinic",
                "key": f"filemaker-import/images-bulk-dump/{n}.jpg",
                "size": 10,
                "etag": f"{n:032x}",
            }
            for n in range(1, 9)
        ],
    )
    write_seed(run.data, "copy_results", [])
    assert "different FileMaker ids" in run.export()
    run.export("--json-column", "notes", code=2)
    run.build()
    assert "8 linked images have no verified copy yet" in run.publish("--dry-run")

    columns = ("id", "recid", "s3_key", "file_size", "source_bucket", "source_key", "source_etag")
    rows = [dict(zip(columns, row, strict=True)) for row in dbt.project.mart("image", columns)]
    write_seed(run.data, "copy_results", [result(row) for row in rows])
    run.copies.put(rows)
    # The row that violates a rule contains the mark, and so does PostgreSQL's own message about it.
    run.execute(f"alter table images_image add constraint no_sixth check ({FILE_NAMES[site]} <> '6.jpg')")
    assert "(record 6): the database refuses it (no_sixth)" in run.publish(code=1)
    run.execute("alter table images_image drop constraint no_sixth")
    for name, state in (("raised", "P0001"), ("odd", "XX000")):
        run.execute(
            f"create function {name}() returns trigger language plpgsql as $$ begin"
            f" raise exception 'not %', new.{TYPES[site]} using errcode = '{state}', detail = new.{TYPES[site]};"
            " end $$"
        )
        run.execute(f"create trigger {name} before insert on images_image for each row execute function {name}()")
        assert f"): the database refuses it (the function {name})\n" in run.publish(code=1)
        run.execute(f"drop trigger {name} on images_image")
    run.execute(f"alter table images_image alter column {TYPES[site]} type varchar(3)")
    assert "characters, and Nexus allows 3" in run.publish(code=1)
    run.execute(f"alter table images_image alter column {TYPES[site]} type varchar(100)")

    assert "Would insert 2 image batches and 8 images" in run.publish("--dry-run")
    assert "Inserted 2 image batches and 8 images" in run.publish()
    run.execute(f"update images_image set {TYPES[site]} = 'other {TYPE}' where s3_key like '%/7.jpg'")
    assert "(record 7): Nexus holds it with another" in run.publish(code=1)
    run.export()
    if site == "plan":  # a build takes long, and knows nothing of the site
        run.build()
        assert "Inserted 0 image batches and 0 images" in run.publish()
        pages = run.folder / "review"
        run.script(build_review_site.main, "--no-pictures", "-o", pages)
        assert len(holders(pages, [TYPE])) > 5  # the category, which pages show
        assert holders(pages, set(MARKS) - {TYPE}) == set()
        shutil.rmtree(pages)
    relink_by_hand(run, site)
    with (run.data / "filemaker_images_metadata.csv").open("a") as seed:
        seed.write(f"30,{FILE_NAME},{EXPORT_NOTE}\n")
    run.build(succeeds=False)
    run.publish(code=2)

    said = "\n".join(run.said).lower()
    assert len(run.said) >= 20
    assert [mark for mark in MARKS if mark.lower() in said] == []
    work = dbt.project.work
    assert (work / "logs" / "dbt.log").stat().st_size
    assert [path for path in Path(tempfile.tempdir).rglob("*") if path.is_file()] == []
    warehouses = {"warehouse.duckdb", "warehouse.duckdb.wal"}
    assert holders(work, MARKS) <= warehouses
    assert holders(run.data, MARKS) == {"filemaker_images_metadata.csv"}
    assert holders(run.folder, MARKS) <= {"export.tab", *warehouses}
    assert marks_in_warehouse(work / "warehouse.duckdb") >= {TYPE}
    assert marks_in_warehouse(work / "warehouse.duckdb").isdisjoint({NAME, NOTE})


def relink_by_hand(run, site):
    """Publish with --relink for a patient who was imported again: refused at first, then done."""
    folder = run.folder / "relink"
    folder.mkdir()
    add_patients(run.url, site, 8, 9)
    run.execute(f"update {PATIENT_TABLES[site]} set name = '{NAME}', notes = '{NOTE}' where name <> '{NAME}'")
    pictures = [image(50, patient=8, filemaker_type=TYPE, category=TYPE)]
    environment = write_warehouse(folder, pictures)
    run.copies.put(pictures)
    assert "Inserted 1 image batches" in run.publish(**environment)
    if site == "plan":
        run.execute(
            "do $$ declare found text; begin select conname into found from pg_constraint"
            " where conrelid = 'images_imagebatch'::regclass and contype = 'f';"
            " execute 'alter table images_imagebatch drop constraint ' || found; end $$"
        )
    relink = {
        "id": batch_id(8, "2016-10-18"),
        "patient_id": patient_id(8),
        "new_patient_id": patient_id(9),
        "captured_date": "2016-10-18",
        "image_ids_md5": ids_md5(*pictures),
    }
    environment = write_warehouse(folder, [], relink=[relink])
    assert "a person must check it" in run.publish("--relink", code=1, **environment)
    run.execute(f"delete from {PATIENT_TABLES[site]} where id = '{patient_id(8)}'")
    assert "would be given their new patient: 1" in run.publish("--relink", "--dry-run", **environment)
    assert "Image batches given their new patient: 1" in run.publish("--relink", **environment)
    assert filemaker_patient_id(8) not in "\n".join(run.said)
