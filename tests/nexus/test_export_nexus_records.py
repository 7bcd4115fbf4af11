"""The export: three seeds from one snapshot of a real PostgreSQL, and nothing of a patient but two ids."""

import calendar
import csv
import json
import os
import re
import socket
import stat
import subprocess
import sys
import uuid
from datetime import date
from urllib.parse import urlsplit

import psycopg
import pytest
import yaml

import export_nexus_records
from export_nexus_records import SEEDS, main
from linkage import paths
from linkage.nexus import export as nexus_export
from linkage.nexus import mapping
from linkage.nexus.mapping import FOLDER, expression
from linkage.paths import PROJECT_ROOT
from linkage.seeds import SEED_COLUMNS
from sandbox.postgres_server import database_url
from sandbox.s3_server import free_ports
from tests.support.applications import PATIENT_TABLES, execute, insert_batch, insert_image

THE_END = "the end"
A, B = "0a1b2c3d-0000-4000-8000-00000000000a", "0a1b2c3d-0000-4000-8000-00000000000b"


def number(value):
    """The UUID of a row of these tests, in upper case: it is written in lower case."""
    return str(uuid.UUID(int=0xABCD_0000_0000_4000_8000_0000_0000_0000 + value)).upper()


def add_patients(url, site, notes, name="A", first=1):
    """Patients with these notes, numbered from `first`."""
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        cursor.executemany(
            f"insert into {PATIENT_TABLES[site]} (id, name, notes) values (%s, %s, %s)",
            [(number(place), name, note) for place, note in enumerate(notes, first)],
        )


def add_batch(url, site, place, patient, name="5 Nov 2016 (FileMaker Import)", model="patient"):
    values = {"captured_date": "2016-11-05", "batch_name": name}
    insert_batch(url, site, number(place), number(patient), model, **values)


def add_image(url, site, place, batch, filemaker_id, key):
    insert_image(url, site, number(place), number(batch), filemaker_id=filemaker_id, s3_key=key)


def fill(url, site):
    """Insert two patients; the first has a batch with an image."""
    add_patients(url, site, [f"FileMaker ID: {A}", ""])
    add_batch(url, site, 10, 1)
    add_image(url, site, 20, 10, B if site == "plan" else 228, "a/1.jpg")


@pytest.fixture
def data(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def export(run_here, data, postgres):
    """Callable: run the script as on the command line; it never prints the password."""
    password = urlsplit(postgres).password

    def run(url, *options):
        done = run_here(main, *options, environment={"NEXUS_DATABASE_URL": url, "LINKAGE_DATA": str(data)})
        assert not re.search(f"{password}|hunter2", done.stdout + done.stderr)
        return done

    return run


def read(data, seed):
    with (data / f"{seed}.csv").open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file, strict=True)
    assert tuple(header) == SEED_COLUMNS[seed]
    return rows


def exported(run, data):
    """The rows of the three seeds after a run that must succeed."""
    assert (run.returncode, run.stderr) == (0, ""), run
    return [read(data, seed) for seed in SEEDS]


def everything(data):
    """All files of the folder, with what shows whether one of them was replaced."""
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns, path.read_bytes()) for path in data.iterdir()}


def changed(**parts):
    """The mapping `plan` with these parts, or keys of parts, instead of its own."""
    own = yaml.safe_load((FOLDER / "plan.yml").read_text(encoding="utf-8"))
    for name, part in parts.items():
        own[name] = own[name] | part if isinstance(part, dict) and name in own else part
    return json.dumps(own)  # JSON is YAML


def changed_read(part, **texts):
    """How the mapping `plan` reads this part, with these texts instead of its own."""
    return yaml.safe_load((FOLDER / "plan.yml").read_text(encoding="utf-8"))[part]["read"] | texts


def assert_refused(run, *, saying):
    assert (run.returncode, run.stdout) == (2, ""), run
    assert re.fullmatch(r"error: [^\n]+\n", run.stderr), run.stderr
    assert saying in run.stderr, run.stderr


# FileMaker's id in the notes

NONE = ""
NESTED = "the FileMaker id is in a nested object of the notes' JSON and may be another person's"
TWO = "2 different FileMaker ids"
NOTES = [
    # JSON
    (json.dumps({"filemaker_id": A}), A),
    (json.dumps({"filemaker_id": A}, separators=(",", ":")), A),
    (json.dumps({"name": "A", "tags": ["a", {"b": []}], "filemaker_id": A, "born": None}, indent=4), A),
    (json.dumps({"mother": {"name": "B"}, "filemaker_id": A}), A),
    (json.dumps({"note": "a } b", "filemaker_id": A}), A),
    (json.dumps([{"filemaker_id": A}]), A),
    (f'{{\r\n\t"filemaker_id"\t:\r\n"  {A} "\r\n}}', A),
    (json.dumps({"FileMaker_ID": A.upper()}), A),
    (f'From the old system: {{"filemaker_id": "{A}", "Nr": 5}} (checked)', A),
    (json.dumps({"old_filemaker_id": A, "filemaker_ids": A, "id": A}), NONE),
    # text
    (f"FileMaker ID: {A}", A),
    (f"FileMaker ID:{A}", A),
    (f"filemaker id  :\t\u00a0{A.upper()}", A),
    (f"Left ear.\nFileMaker ID: {A}. Seen in 2016.\n", A),
    (f"(FileMaker ID: {A})", A),
    (json.dumps({"note": f"Left ear.\nFileMaker ID: {A}\n"}), A),
    # none
    ("", NONE),
    ("Left ear", NONE),
    (A, NONE),
    ("FileMaker ID: ", NONE),
    (f"FileMaker ID: none\nanother {A}", NONE),
    (f"NotFileMaker ID: {A}", NONE),
    ("{}", NONE),
    (json.dumps({"filemaker_id": None}), NONE),
    # not a UUID
    ("FileMaker ID: 1234", NONE),
    (f"FileMaker ID: {A[:-1]}", NONE),
    (f"FileMaker ID: {A}0", NONE),
    (f"FileMaker ID: {A}-1", NONE),
    (f"FileMaker ID: {A.replace('-', '')}", NONE),
    (json.dumps({"filemaker_id": A[:-1] + "g"}), NONE),
    (json.dumps({"filemaker_id": 1234}), NONE),
    # twice
    (f"FileMaker ID: {A}\nFileMaker ID: {A.upper()}", A),
    (json.dumps({"filemaker_id": A, "note": f"FileMaker ID: {A}"}), A),
    (f"FileMaker ID: {A}\nFileMaker ID: {B}", TWO),
    (f"FileMaker ID: {A}, {json.dumps({'filemaker_id': B})}", TWO),
    (f'{{"filemaker_id": "{A}", "filemaker_id": "{B}"}}', TWO),
    (json.dumps({"filemaker_id": A, "mother": {"filemaker_id": B}}), TWO),
    (json.dumps({"mother": {"filemaker_id": B}, "filemaker_id": A}), TWO),
    # another person's
    (json.dumps({"mother": {"filemaker_id": A}}), NESTED),
    (json.dumps({"family": [{"filemaker_id": A}]}, indent=2), NESTED),
    (json.dumps({"filemaker_id": None, "mother": {"filemaker_id": A}}), NESTED),
    (json.dumps({"filemaker_id": "", "mother": {"filemaker_id": A}}), NESTED),
    (json.dumps({"note": "a } b", "mother": {"filemaker_id": A}}), NESTED),
    (json.dumps({"note": 'a "} b', "mother": {"filemaker_id": A}}), NESTED),
    (json.dumps({"filemaker_id": A, "mother": {"filemaker_id": A}}), A),
]  # fmt: skip


def test_a_patients_filemaker_id_is_found_in_notes_of_every_form_or_reported(nexus_database, export, data):
    url = nexus_database("plan")
    add_patients(url, "plan", [notes for notes, _ in NOTES])
    run = export(url)
    found = [filemaker_id for _, filemaker_id in exported(run, data)[0]]
    problems = dict(re.findall(r"^patient (\S+): (.+); no FileMaker id is written$", run.stdout, re.MULTILINE))
    answers = [problems.get(number(place).lower(), value) for place, value in enumerate(found, 1)]
    assert list(zip(answers, [notes for notes, _ in NOTES], strict=True)) == [
        (expected, notes) for notes, expected in NOTES
    ]
    assert [value for value, answer in zip(found, answers, strict=True) if answer in (TWO, NESTED)] == [NONE] * 11
    assert read(data, "nexus_patients")[0][0] == number(1).lower()


def test_patients_without_notes_have_no_filemaker_id(nexus_database, export, data):
    url = nexus_database("plan")
    execute(url, "alter table patients_patient alter notes drop not null")
    add_patients(url, "plan", [None])
    add_patients(url, "plan", [f"FileMaker ID: {A}"], first=2)
    assert exported(export(url), data) == [[[number(1).lower(), ""], [number(2).lower(), A]], [], []]


def test_notes_may_be_a_json_column_themselves(nexus_database, export, data):
    url = nexus_database("plan")
    add_patients(url, "plan", [json.dumps({"filemaker_id": A.upper(), "mother": {"filemaker_id": 5}})])
    execute(url, "alter table patients_patient alter notes type jsonb using notes::jsonb")
    assert exported(export(url), data)[0] == [[number(1).lower(), A]]


# the JSON column, the notes beside it, what is found
JSON_COLUMNS = [
    (json.dumps({"filemaker_id": A}), "", A),
    (json.dumps({"a": {}, "filemaker_id": f" {A.upper()}\n"}), "Left ear", A),
    (json.dumps({"filemaker_id": A}), f"FileMaker ID: {A.upper()}", A),
    (json.dumps({"filemaker_id": B}), f"FileMaker ID: {A}", TWO),
    (None, f"FileMaker ID: {A}", A),
    ("null", "", NONE),
    ("[]", "", NONE),
    ('"text"', "", NONE),
    (json.dumps({"filemaker_id": None}), f"FileMaker ID: {A}", A),
    (json.dumps({"filemaker_id": 1234}), "", NONE),
    (json.dumps({"filemaker_id": f"FileMaker ID: {A}"}), "", NONE),
    (json.dumps({"filemaker_id": {"filemaker_id": A}}), "", NONE),
    (json.dumps({"mother": {"filemaker_id": A}}), "", NONE),
    (json.dumps([{"filemaker_id": A}]), "", NONE),
]


@pytest.mark.parametrize(
    ("site", "column", "column_type", "options"),
    [
        ("generic", "filemaker_metadata", "jsonb", ["--mapping", "generic"]),
        ("plan", "Meta data", "json", ["--json-column", "Meta data"]),
    ],
)
def test_the_filemaker_id_is_found_in_a_json_column_of_the_mapping_or_the_option(
    nexus_database, export, data, site, column, column_type, options
):
    url = nexus_database(site)
    execute(url, f'alter table {PATIENT_TABLES[site]} add if not exists "{column}" {column_type}')
    add_patients(url, site, [notes for _, notes, _ in JSON_COLUMNS])
    for place, (value, _, _) in enumerate(JSON_COLUMNS, 1):
        execute(url, f'update {PATIENT_TABLES[site]} set "{column}" = %s where id = %s', value, number(place))
    run = export(url, *options)
    expected = [NONE if answer == TWO else answer for *_, answer in JSON_COLUMNS]
    assert [filemaker_id for _, filemaker_id in exported(run, data)[0]] == expected
    assert re.findall("^patient .*$", run.stdout, re.MULTILINE) == [
        f"patient {number(4).lower()}: {TWO}; no FileMaker id is written"
    ]


# the notes, whether something in them should be a FileMaker id and is not a UUID
UNREADABLE = [
    *((notes, False) for notes in ("", "Left ear", "FileMaker ID:", "FileMaker ID: \nLeft ear")),
    (f"NotFileMaker ID: {A[:-1]}", False),
    *((f"FileMaker ID: {value}", True) for value in (f"{{{A}}}", A[:-1], A + "0", A.replace("-", ""), f'"{A}"')),
    *((f"FileMaker ID: {value}", True) for value in ("1234", "?")),
    (f"Left ear.\r\nfilemaker id :\u00a0{A[:-1]}\nRight ear", True),
    (f"FileMaker ID:\n{A}", False),
    (f"FileMaker ID: {A.upper()}.", False),
    (f"FileMaker ID: {A}, FileMaker ID: {B[:-1]}", True),
    (json.dumps({"note": "FileMaker ID: "}), False),
    (json.dumps({"note": f"Ear.\nFileMaker ID: {A[:-1]}\nFoot"}), True),
    *((json.dumps({"filemaker_id": value}), False) for value in (A, f" {A} ", "", " ", None)),
    *((json.dumps({"filemaker_id": value}), True) for value in (f"{{{A}}}", A[:-1], 1234, [A], "null", True)),
    (f'{{\n  "filemaker_id"  :  "{A}"\n}}', False),
    (json.dumps(json.dumps({"filemaker_id": A})), True),
    (json.dumps({"filemaker_ids": 1234, "id": "x"}), False),
]  # fmt: skip


def test_patients_whose_filemaker_id_does_not_read_are_counted_and_some_are_named(nexus_database, export, data):
    url = nexus_database("plan")
    add_patients(url, "plan", [f"FileMaker ID: {A}"], first=900)
    said = {}
    for notes, _ in UNREADABLE:
        add_patients(url, "plan", [notes])
        run = export(url)
        exported(run, data)
        said[notes] = re.findall(
            r" 1 patients have a FileMaker id that does not read, .* patient (\S+)$", run.stdout, re.M
        )
        execute(url, "delete from patients_patient where id = %s", number(1))
    assert said == {notes: [number(1).lower()] * is_unreadable for notes, is_unreadable in UNREADABLE}

    add_patients(url, "plan", [f"FileMaker ID: {A[:-1]}"] * 12)
    run = export(url)
    assert "\n        12 patients have a FileMaker id that does not read" in run.stdout
    assert len(re.findall("-4000-", run.stdout)) == 3


def test_a_patients_id_that_is_neither_a_number_nor_a_uuid_is_not_printed(nexus_database, export, data):
    url = nexus_database("generic")
    execute(url, "alter table patients alter id type text")
    add_patients(url, "generic", [f"FileMaker ID: {A} FileMaker ID: {B}", f"FileMaker ID: {A}", "FileMaker ID: ?"])
    for place, name in ((1, "Marked, Anna"), (3, "Marked, Berta")):
        execute(url, "update patients set id = %s where id = %s", name, number(place))
    run = export(url, "--mapping", "generic")
    exported(run, data)
    assert "patient (hidden): 2 different" in run.stdout and "for example patient (hidden)\n" in run.stdout
    assert "arked" not in run.stdout


# the column, the notes beside it, what is found, whether the column is unreadable
GIVEN = [
    (A, "", A, False),
    (f"\t {A.upper()}\u00a0\r\n", "", A, False),
    (A, f"FileMaker ID: {A.upper()}", A, False),
    (A, json.dumps({"mother": {"filemaker_id": A}}), A, False),
    (None, f"FileMaker ID: {A}", A, False),
    ("  ", f"FileMaker ID: {A}", A, False),
    (B, f"FileMaker ID: {A}", TWO, False),
    (B, json.dumps({"filemaker_id": A}), TWO, False),
    (f"{{{A}}}", "", NONE, True),
    (A.replace("-", ""), "", NONE, True),
    (f"{{{B}}}", f"FileMaker ID: {A}", A, True),
    ("", "", NONE, False),
]  # fmt: skip
SOURCES = {
    "a plain column": ("legacy", "text", "legacy", lambda value: value),
    "a nested key": (
        "legacy", "jsonb", "legacy::jsonb -> 'a{b}:c' ->> 'id'",
        lambda value: json.dumps({"a{b}:c": {"id": value}}),
    ),
}  # fmt: skip


@pytest.mark.parametrize("source", SOURCES)
def test_the_filemaker_id_is_found_with_the_mappings_own_sql(nexus_database, export, data, tmp_path, source):
    url = nexus_database("plan")
    column, column_type, text, stored = SOURCES[source]
    execute(url, f"alter table patients_patient add {column} {column_type}")
    add_patients(url, "plan", [notes for _, notes, *_ in GIVEN])
    for place, (value, *_) in enumerate(GIVEN, 1):
        execute(url, f"update patients_patient set {column} = %s where id = %s", stored(value), number(place))
    own = tmp_path / "own.yml"
    own.write_text(changed(patients={"filemaker_id": text}))
    run = export(url, "--mapping", own)
    expected = [NONE if answer == TWO else answer for *_, answer, _ in GIVEN]
    assert [filemaker_id for _, filemaker_id in exported(run, data)[0]] == expected
    assert re.findall("^patient .*$", run.stdout, re.MULTILINE) == [
        f"patient {number(place).lower()}: {TWO}; no FileMaker id is written" for place in (7, 8)
    ]
    assert (
        f"\n{len(GIVEN):>10} patients, 7 of them with a FileMaker id\n{3:>10} patients have a FileMaker id that"
        in run.stdout
    )


def test_a_uuid_column_can_hold_the_filemaker_id_and_need_not_be_beside_notes(nexus_database, export, data, tmp_path):
    url = nexus_database("plan")
    add_patients(url, "plan", ["", ""])
    execute(url, "alter table patients_patient add legacy uuid")
    execute(url, "update patients_patient set legacy = %s where id = %s", A, number(2))
    execute(url, "alter table patients_patient drop notes")
    own = tmp_path / "own.yml"
    mapping = json.loads(changed(patients={"filemaker_id": "legacy"}))
    del mapping["patients"]["notes"]
    own.write_text(json.dumps(mapping))
    assert exported(export(url, "--mapping", own), data)[0] == [[number(1).lower(), ""], [number(2).lower(), A]]
    del mapping["patients"]["filemaker_id"]
    own.write_text(json.dumps(mapping))
    assert_refused(export(url, "--mapping", own), saying="does not say where FileMaker's id of a patient is")


# Batches and images


def test_batches_and_images_of_the_plan_are_written_unchanged(nexus_database, export, data):
    url = nexus_database("plan")
    add_patients(url, "plan", [f"FileMaker ID: {A}", ""])
    names = ['5 Nov "2016", left', "two\nlines\r\n", "\r", " NULL ", "ümläut 日本"]
    for place, name in enumerate(names, 11):
        add_batch(url, "plan", place, 1, name)
    execute(
        url, "update images_imagebatch set import_source = '', captured_date = '0987-01-02' where batch_name = %s", "\r"
    )
    add_image(url, "plan", 21, 11, A.upper(), "a/1.jpg")
    add_image(url, "plan", 22, 11, None, 'b/",\n.jpg')
    _, batches, images = exported(export(url), data)
    patient, *ids = (number(place).lower() for place in (1, 11, 12, 13, 14, 15))
    rows = [[*row, "2016-11-05", "filemaker_import"] for row in zip(ids, [patient] * 5, names, strict=True)]
    rows[2][3:] = ["0987-01-02", ""]
    assert batches == rows
    assert images == [
        [number(21).lower(), ids[0], A, "a/1.jpg"],
        [number(22).lower(), ids[0], "", 'b/",\n.jpg'],
    ]
    assert (data / "nexus_image_batches.csv").read_bytes().splitlines(keepends=True)[:2] == [
        b"id,patient_id,batch_name,captured_date,import_source\n",
        f'{ids[0]},{patient},"5 Nov ""2016"", left",2016-11-05,filemaker_import\n'.encode(),
    ]


BATCH_NAMES = [
    ("5 Nov 2016 (FileMaker Import)", "2016-11-05", "filemaker_import"),
    ("05 Nov 2016 (FileMaker Import)", "2016-11-05", "filemaker_import"),
    ("29 Feb 2020 (FileMaker Import)", "2020-02-29", "filemaker_import"),
    *((f"1 {month} 2017", f"2017-{place:02}-01", "") for place, month in enumerate(
        calendar.month_abbr[1:], 1)),
    ("5 Nov 2016 left ear", "2016-11-05", ""),
    ("5 Nov 2016 left ear (FileMaker Import)", "2016-11-05", ""),
    ("5 Nov 2016 (FileMaker Import) ", "2016-11-05", ""),
    ("Left ear (FileMaker Import)", "", ""),
    ("Left ear", "", ""),
    ("", "", ""),
    ("5 November 2016 (FileMaker Import)", "", ""),
    ("5 nov 2016", "", ""),
    ("November 2016", "", ""),
    ("Seen 5 Nov 2016", "", ""),
    ("115 Nov 2016", "", ""),
    ("5 Nov 16", "", ""),
    ("5/11/2016", "", ""),
]  # fmt: skip
IMPOSSIBLE = ["31 Feb 2016", "0 Nov 2016", "99 Nov 2016", "5 Anf 2016", "29 Feb 2019"]


def test_captured_date_and_source_of_a_generic_batch_are_read_from_its_name(nexus_database, export, data):
    url = nexus_database("generic")
    add_patients(url, "generic", [f"FileMaker ID: {A}"])
    for place, (name, *_) in enumerate(BATCH_NAMES, 10):
        add_batch(url, "generic", place, 1, name)
    _, batches, _ = exported(export(url, "--mapping", "generic"), data)
    assert [tuple(row[2:]) for row in batches] == BATCH_NAMES
    assert {row[1] for row in batches} == {number(1).lower()}


def test_an_impossible_date_does_not_become_another_date(nexus_database, export, data):
    url = nexus_database("generic")
    add_patients(url, "generic", [f"FileMaker ID: {A}"])
    for place, name in enumerate(IMPOSSIBLE, 10):
        add_batch(url, "generic", place, 1, name)
    run = export(url, "--mapping", "generic")
    _, batches, _ = exported(run, data)
    assert f"{len(IMPOSSIBLE):>10,} image batches have a captured date that does not read" in run.stdout
    assert len(batches) == len(IMPOSSIBLE)
    for row in batches:
        with pytest.raises(ValueError):
            date.fromisoformat(row[3])


def test_a_generic_batch_that_does_not_belong_to_a_patient_has_no_patient_id(nexus_database, export, data):
    url = nexus_database("generic")
    add_patients(url, "generic", [f"FileMaker ID: {A}"])
    add_batch(url, "generic", 11, 1)
    add_batch(url, "generic", 12, 1, model="user")
    add_image(url, "generic", 21, 11, 6066, "a/1.jpg")
    add_image(url, "generic", 22, 12, None, "filemaker-import/images-bulk-dump/7.jpg")
    _, batches, images = exported(export(url, "--mapping", "generic"), data)
    assert [row[1] for row in batches] == [number(1).lower(), ""]
    assert [row[1:] for row in images] == [
        [number(11).lower(), "6066", "a/1.jpg"],
        [number(12).lower(), "", "filemaker-import/images-bulk-dump/7.jpg"],
    ]


def test_ids_in_columns_of_text_are_written_in_lower_case(nexus_database, export, data):
    url = nexus_database("plan")
    fill(url, "plan")
    before = exported(export(url), data)
    ids = {"patients_patient": ["id"], "images_imagebatch": ["id", "patient_id"]}
    for table, columns in (ids | {"images_image": ["id", "batch_id", "filemaker_id"]}).items():
        execute(
            url, f"create table bare as table {table}; drop table {table} cascade; alter table bare rename to {table}"
        )
        for column in columns:
            execute(url, f"alter table {table} alter {column} type text using upper({column}::text)")
    assert exported(export(url), data) == before


def test_values_do_not_depend_on_the_settings_of_the_role(nexus_database, export, data):
    url = nexus_database("plan")
    fill(url, "plan")
    execute(url, "update images_imagebatch set batch_name = 'ümläut 日本'")
    before = exported(export(url), data)
    name = url.rpartition("/")[2]
    for setting in ("datestyle = 'German'", "client_encoding = 'SQL_ASCII'", "timezone = 'Asia/Tokyo'"):
        execute(url, f"alter database {name} set {setting}")
    assert exported(export(url), data) == before


# Three files from one snapshot


def test_a_database_without_a_filemaker_id_is_refused_and_the_older_files_stay(nexus_database, export, data):
    url = nexus_database("plan")
    assert_refused(export(url), saying="patients_patient has no patients")
    fill(url, "plan")
    exported(export(url), data)
    before = everything(data)
    add_patients(url, "plan", [f"FileMaker ID: {A}; FileMaker ID: {B}", f"FileMaker ID: {{{A}}}", ""], first=3)
    execute(url, "update patients_patient set notes = '' where id = %s", number(1))
    said = "none of the 5 patients in patients_patient has a FileMaker id that can be used"
    assert_refused(export(url), saying=f"{said} (1 have one that is not a UUID, 1 one that is not clear)")
    assert everything(data) == before


def test_the_files_are_private_and_replace_the_older_ones(nexus_database, export, data):
    url = nexus_database("plan")
    fill(url, "plan")
    data.mkdir()
    for seed in SEEDS:
        (data / f"{seed}.csv").write_text("old")
        (data / f"{seed}.csv").chmod(0o644)
    run = export(url)
    assert [len(rows) for rows in exported(run, data)] == [2, 1, 1]
    assert {stat.S_IMODE((data / f"{seed}.csv").stat().st_mode) for seed in SEEDS} == {0o600}
    assert run.stdout.splitlines() == [
        "         2 patients, 1 of them with a FileMaker id",
        *(f"{count:>10,} rows -> {data / seed}.csv" for count, seed in zip((2, 1, 1), SEEDS, strict=True)),
    ]


def test_without_linkage_data_the_hint_for_dbt_is_printed_once(nexus_database, run_here, tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "PROJECT_ROOT", tmp_path)
    url = nexus_database("plan")
    add_patients(url, "plan", [f"FileMaker ID: {A}"])
    run = run_here(main, environment={"NEXUS_DATABASE_URL": url})
    assert run.stdout.count("export LINKAGE_DATA=data") == 1
    assert exported(run, tmp_path / "data") == [[[number(1).lower(), A]], [], []]


def before_each_seed(monkeypatch, action):
    """Call `action` with the seed's name before its rows are fetched, and at last with THE_END."""
    write_seed = export_nexus_records.write_seed

    def act_and_write(seed, rows, file):
        action(seed)
        count = write_seed(seed, rows, file)
        if seed == SEEDS[-1]:
            action(THE_END)
        return count

    monkeypatch.setattr(export_nexus_records, "write_seed", act_and_write)


def test_rows_that_others_commit_meanwhile_are_in_none_of_the_files(nexus_database, export, data, monkeypatch):
    url = nexus_database("plan")
    fill(url, "plan")

    def commit_more(seed):
        place = 100 * (1 + (*SEEDS, THE_END).index(seed))
        add_patients(url, "plan", [""], first=place)
        add_batch(url, "plan", place + 1, place)
        add_image(url, "plan", place + 2, place + 1, None, "b/2.jpg")

    before_each_seed(monkeypatch, commit_more)
    assert [len(rows) for rows in exported(export(url), data)] == [2, 1, 1]
    monkeypatch.undo()
    assert execute(url, "select count(*) from images_image") == [(5,)]


def drop_connection(url):
    """End the export's connection as an administrator does."""
    execute(
        url, "select pg_terminate_backend(pid, 5000) from pg_stat_activity where application_name = 'image-linkage'"
    )


def cut_connection(connection):
    """End a connection as a broken network does."""
    with socket.socket(fileno=os.dup(connection.fileno())) as wire:
        wire.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("moment", [SEEDS[1], THE_END])
def test_a_connection_that_is_ended_in_the_middle_leaves_every_file_unchanged(
    nexus_database, export, data, monkeypatch, moment
):
    url = nexus_database("plan")
    fill(url, "plan")
    exported(export(url), data)
    execute(url, "update patients_patient set notes = notes || '.'; delete from images_image")
    before = everything(data)
    before_each_seed(monkeypatch, lambda seed: seed == moment and drop_connection(url))
    assert_refused(export(url), saying="the connection to Nexus was lost")
    assert everything(data) == before


def test_a_connection_that_breaks_between_two_rows_leaves_every_file_unchanged(
    nexus_database, export, data, monkeypatch
):
    url = nexus_database("plan")
    fill(url, "plan")
    exported(export(url), data)
    before = everything(data)
    fetch = nexus_export.fetch

    def break_after_a_row(connection, query):
        for row in fetch(connection, query):
            yield row
            cut_connection(connection)

    monkeypatch.setattr(nexus_export, "FETCHED", 1)
    monkeypatch.setattr(nexus_export, "fetch", break_after_a_row)
    assert_refused(export(url), saying="the connection to Nexus was lost")
    assert everything(data) == before


def test_if_one_path_is_a_folder_no_file_is_replaced(nexus_database, export, data):
    url = nexus_database("plan")
    fill(url, "plan")
    seed = SEEDS[1]
    (data / f"{seed}.csv").mkdir(parents=True)
    assert_refused(export(url), saying=f"cannot write {data / seed}.csv: it is a folder")
    assert {path.name for path in data.iterdir()} == {f"{seed}.csv" for seed in SEED_COLUMNS}
    for other in set(SEEDS) - {seed}:
        assert read(data, other) == []


# What cannot be used


def other_port(url):
    return re.sub(r":\d+/", f":{free_ports(1)[0]}/", url)


UNUSABLE_URLS = [
    (lambda _: "", "set NEXUS_DATABASE_URL to Nexus's database: postgresql://"),
    (lambda _: "host=127.0.0.1 password=hunter2", "set NEXUS_DATABASE_URL"),
    (lambda url: url.replace("@", "@["), "Nexus"),
    (lambda url: url + "?sslmode=perhaps", "Nexus"),
    (lambda url: url + "?nonsense=1", "Nexus cannot be reached with these settings"),
    (lambda url: re.sub(r":\d+/", ":port/", url), "Nexus"),
    (other_port, "Nexus does not answer"),
    (lambda url: url.replace("127.0.0.1", "nexus.invalid"), "Nexus does not answer"),
    (lambda url: url.replace("127.0.0.1", "nexus..invalid"), "the host in NEXUS_DATABASE_URL"),
    (lambda url: url.replace("127.0.0.1", "127.0.0.1,127.0.0.1").replace("/postgres", "/nowhere"), "no such database"),
    (lambda url: url.replace(":", ":x", 2).replace(":x//", "://"), "does not accept this user with this password"),
    (lambda url: database_url(url, "nowhere"), "no such database"),
    (lambda url: database_url(url, "postgres", "nobody", "hunter2"), "does not accept this user"),
]


@pytest.mark.parametrize(("change", "said"), UNUSABLE_URLS)
def test_a_database_that_cannot_be_reached_is_named_without_its_password(postgres, export, data, change, said):
    url = change(postgres)
    assert_refused(export(url), saying=said)
    assert not data.exists()


UNUSABLE_DATABASES = [
    ("plan", "drop table images_image", [], "this database has no table images_image"),
    ("plan", "", ["--mapping", "generic"], "this database has no table patients;"),
    ("generic", "", ["--mapping", "plan"], "this database has no table patients_patient"),
    (
        "generic",
        "update django_content_type set model = 'person' where model = 'patient'",
        [],
        "its value patient_type is not found",
    ),
    ("plan", "alter table patients_patient drop notes", [], "patients_patient has no column notes"),
    ("generic", "alter table patients drop filemaker_metadata", [], "patients has no column filemaker_metadata"),
    ("plan", "alter table images_imagebatch drop captured_date", [], "images_imagebatch has no column captured_date"),
    ("plan", "alter table images_image drop s3_key", [], "images_image has no column s3_key"),
    ("plan", "", ["--json-column", "metadata"], "patients_patient has no column metadata"),
    ("plan", "", ["--json-column", "notes"], "patients_patient.notes is not a JSON column"),
]


@pytest.mark.parametrize(("site", "change", "options", "said"), UNUSABLE_DATABASES)
def test_a_database_that_does_not_fit_is_refused_in_one_sentence(
    nexus_database, export, data, site, change, options, said
):
    url = nexus_database(site)
    fill(url, site)
    execute(url, change or "select 1")
    assert_refused(export(url, *(options or ["--mapping", site])), saying=said)
    assert all(read(data, seed) == [] for seed in SEEDS if data.exists())


UNREADABLE_ROWS = [
    ({"patients": {"filemaker_id": "cast(notes as jsonb) ->> 'legacy'"}}, "patients.filemaker_id"),
    (
        {"batches": {"read": changed_read("batches", captured_date="cast(batch_name as date)")}},
        "batches.read.captured_date",
    ),
    ({"images": {"read": changed_read("images", filemaker_id="file_size / 0")}}, "images.read.filemaker_id"),
]


@pytest.mark.parametrize(("changes", "key"), UNREADABLE_ROWS)
def test_a_row_that_the_mappings_sql_cannot_read_is_refused_with_the_key_and_no_value(
    nexus_database, export, data, tmp_path, changes, key
):
    url = nexus_database("plan")
    fill(url, "plan")
    exported(export(url), data)
    before = everything(data)
    own = tmp_path / "own.yml"
    own.write_text(changed(**changes))
    run = export(url, "--mapping", own)
    assert_refused(run, saying=f"the SQL of {key} cannot read a row of ")
    assert everything(data) == before
    assert not re.search(f"{A}|FileMaker Import", run.stderr)


@pytest.mark.parametrize("table", ["patients_patient", "images_image"])
def test_rows_that_a_policy_can_hide_are_an_error_and_not_a_smaller_export(roles, export, data, table):
    owner, url = roles
    fill(owner, "plan")
    exported(export(url), data)
    before = everything(data)
    execute(owner, f"alter table {table} enable row level security")
    execute(owner, f"create policy own on {table} using (id <> '{number(1)}')")
    assert_refused(export(url), saying=f"hides rows of the table {table} from this role by row-level security")
    assert everything(data) == before
    execute(owner, "alter role image_linkage bypassrls")
    assert len(exported(export(url), data)[0]) == 2


def test_rows_that_a_policy_hides_behind_a_view_are_an_error_too(roles, export, data):
    owner, url = roles
    fill(owner, "plan")
    execute(owner, "alter table images_image rename to pictures; alter table pictures enable row level security")
    execute(owner, "create view images_image with (security_invoker) as table pictures")
    execute(owner, "grant select on images_image to image_linkage")
    run = export(url)
    assert_refused(run, saying="row-level security")
    assert "pictures" in run.stderr


def test_a_role_that_may_not_insert_exports_and_is_told_what_publishing_lacks(roles, export, data):
    owner, url = roles
    fill(owner, "plan")
    assert "may not" not in export(url).stdout
    execute(owner, "revoke insert on images_image from image_linkage")
    execute(owner, "grant insert (id, batch_id, s3_key) on images_image to image_linkage")
    run = export(url)
    assert [len(rows) for rows in exported(run, data)] == [2, 1, 1]
    assert (
        "This role may not yet publish: it lacks the privilege to insert images_image.original_filename, " in run.stdout
    )
    assert "images_image.s3_key" not in run.stdout


# Memory and privacy


def peak_memory(url, data):
    """The most that a whole run of the script had in memory, in MB."""
    process = subprocess.Popen(
        [sys.executable, str(PROJECT_ROOT / "scripts" / "export_nexus_records.py")],
        env=os.environ | {"NEXUS_DATABASE_URL": url, "LINKAGE_DATA": str(data)},
        stdout=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_maxrss / (1024 if sys.platform == "linux" else 1024 * 1024)


def test_a_hundred_thousand_images_take_no_more_memory_than_one(nexus_database, data):
    url = nexus_database("plan")
    fill(url, "plan")
    small = peak_memory(url, data)
    execute(
        url,
        """
        set session_replication_role = 'replica';  -- no check of references: the rows are right
        insert into images_image (id, batch_id, s3_key, file_size, original_filename, category, uploaded_at)
        select gen_random_uuid(), batch_id, repeat('a', 100) || number, 1, '', '', now()
        from images_image cross join generate_series(1, 100000) as number
        """,
    )
    assert peak_memory(url, data) < small + 25
    with (data / "nexus_images.csv").open(encoding="utf-8") as file:
        assert sum(1 for _ in file) == 100_002


@pytest.fixture
def roles(nexus_database):
    """A database's URLs: that of its owner, and that of the shipped role."""
    url = nexus_database("plan")
    execute(url, (FOLDER / "plan_role.sql").read_text(encoding="utf-8"))
    execute(url, "alter role image_linkage password 'hunter2'")
    yield url, database_url(url, url.rpartition("/")[2], "image_linkage", "hunter2")
    execute(url, "drop owned by image_linkage; drop role image_linkage")


def test_a_role_that_cannot_read_names_suffices_and_nothing_of_a_patient_is_written(
    roles, export, data, monkeypatch, tmp_path
):
    owner, url = roles
    marked = [
        "Marked note",
        f"Marked note. FileMaker ID: {A}. Marked note",
        f'{{"filemaker_id": "{A}", "a": "Marked"}}',
    ]
    marked += [f"Marked {A} FileMaker ID: {A} FileMaker ID: {B}", f'{{"Marked": {{"filemaker_id": "{A}"}}}}']
    add_patients(owner, "plan", marked, name="Marked name")
    add_batch(owner, "plan", 10, 1)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        execute(url, "select name from patients_patient")
    outputs = []
    runs = [[], ["--json-column", "notes"], ["--json-column", "name"], ["--mapping", "nowhere"]]
    for options in runs:
        run = export(url, *options)
        outputs += [run.stdout, run.stderr]
        assert run.returncode == (2 if options else 0)
    assert [filemaker_id for _, filemaker_id in read(data, "nexus_patients")] == ["", A, A, "", ""]
    before_each_seed(monkeypatch, lambda seed: drop_connection(owner))
    outputs += [export(url).stderr]
    written = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) == len(SEED_COLUMNS)
    assert not re.search("marked", " ".join([*outputs, *written, *map(str, tmp_path.rglob("*"))]), re.IGNORECASE)


# The mapping's file


def test_the_environment_can_name_the_mapping_and_the_option_goes_before_it(
    nexus_database, run_here, data, tmp_path, monkeypatch
):
    url = nexus_database("generic")
    add_patients(url, "generic", [f"FileMaker ID: {A}"])
    own = tmp_path / "own.yml"
    own.write_text((FOLDER / "generic.yml").read_text())
    monkeypatch.setattr(mapping, "PROJECT_ROOT", tmp_path)
    for named, options, code in (
        ("generic", [], 0),
        ("own.yml", [], 0),
        (str(own), [], 0),
        ("plan", ["--mapping", "generic"], 0),
        ("", [], 2),
        ("", ["--mapping", "generic"], 0),
        ("nowhere", [], 2),
    ):
        environment = {"NEXUS_DATABASE_URL": url, "LINKAGE_DATA": str(data), "NEXUS_MAPPING": named}
        run = run_here(main, *options, environment=environment)
        assert run.returncode == code, (named, run)
    assert "the mapping nowhere" in run.stderr


PLAN = yaml.safe_load((FOLDER / "plan.yml").read_text(encoding="utf-8"))
MISFITS = [
    ("batches", "insert", {"created_at": ":published"}, "the mapping uses :published,"),
    ("batches", "insert", {"batch_name": "batch.name"}, "batches.insert.batch_name: column batch.name does not exist"),
    ("batches", "insert", {"patient_id": "patient.notes"}, "batches.insert.patient_id: column patient.notes does not"),
    ("batches", "insert", {"captured_date": "batch.batch_name"},
     "batches.insert.captured_date gives a value that is not a date"),
    ("batches", "insert", {"owner": "1"}, "images_imagebatch has no column owner"),
    ("batches", "read", {"captured_date": "captured_on"}, 'batches.read.captured_date: column "captured_on" does not'),
    ("images", "insert", {"category": "image.category ||"}, "images.insert.category: syntax error"),
    ("images", "insert", {"category": "nothing(image.category)"},
     "images.insert.category: function nothing(text) does not"),
    ("images", "insert", {"file_size": "image.s3_key"}, "images.insert.file_size gives a value that is not a bigint"),
    ("images", "insert", {"file_size": "'many'"}, "images.insert.file_size gives a value that is not a bigint"),
    ("images", "insert", {"filemaker_id": "image.recid"},
     "images.insert.filemaker_id gives a value that is not a uuid"),
    ("images", "insert", {"filemaker_date": "image.taken"},
     "images.insert.filemaker_date: column image.taken does not"),
    ("images", "read", {"s3_key": "lower(s3_key, 1)"}, "images.read.s3_key: function lower("),
    ("images", "read", {"filemaker_id": "(select 1)) from patients_patient --"}, "images.read.filemaker_id"),
    ("images", "not_compared", ["uploaded"], "images.not_compared names uploaded, which images.insert does not fill"),
    ("batches", "relink", "patient", "images_imagebatch has no column patient"),
    ("batches", "image_count", "images", "images_imagebatch has no column images"),
    ("patients", "id", "number", "patients_patient has no column number"),
    ("patients", "filemaker_id", "filemaker", 'patients.filemaker_id: column "filemaker" does not exist'),
]  # fmt: skip


@pytest.mark.parametrize(("part", "key", "value", "said"), MISFITS)
def test_the_export_refuses_a_mapping_with_which_publishing_or_a_later_export_could_not_work(
    empty_plan, export, data, tmp_path, part, key, value, said
):
    own = tmp_path / "own.yml"
    own.write_text(changed(**{part: {key: PLAN[part][key] | value if isinstance(value, dict) else value}}))
    assert_refused(export(empty_plan, "--mapping", own), saying=said)
    assert not data.exists()


def test_a_mapping_is_not_refused_for_values_of_the_sample_or_for_what_only_a_transaction_that_writes_can_do(
    nexus_database, export, data, tmp_path
):
    url = nexus_database("plan")
    fill(url, "plan")
    execute(
        url,
        "create type view as enum ('left', 'right'); create domain size as bigint check (value > 5000);"
        " create sequence numbers;"
        " alter table images_image alter category type view using 'left', alter file_size type size using 6000,"
        " add number bigint, add toe int, add day int",
    )
    insert = PLAN["images"]["insert"] | {
        "category": "image.category",
        "number": "nextval('numbers')",
        "toe": "case when image.category like 'Toe %' then cast(substr(image.category, 5) as int) end",
        "day": "case when to_char(image.filemaker_date, 'DD') = '18' then cast(image.category as int) end",
    }
    own = tmp_path / "own.yml"
    own.write_text(changed(images={"insert": insert}))
    assert [len(rows) for rows in exported(export(url, "--mapping", own), data)] == [2, 1, 1]


READ = {"id": "id", "batch_id": "batch_id", "filemaker_id": "filemaker_id", "s3_key": "s3_key"}
UNUSABLE_MAPPINGS = [
    ("", "in its top level, None is not of type 'object'"),
    ("text", "in its top level, 'text' is not"),
    ("patients: [", "is not YAML, line 1"),
    (b"patients: \xff\xfe", "is not YAML"),
    ("patients:\n  table: a\n  id: a\n  table: b\n", "has the key table twice, line 4"),
    ('{"patients": {}, "batches": {}, "images": {}, "patients": {"table": "a"}}', "has the key patients twice, line 1"),
    (changed(images={"insert": {}}), "in images.insert"),
    (changed(patients={"filemaker_id": 5}), "in patients.filemaker_id"),
    (changed(reports={}), "'reports' was unexpected"),
    (changed(patients=[]), "in patients"),
    (changed(patients={"name": "name"}), "in patients"),
    (changed(patients={"table": None}), "in patients.table"),
    (changed(patients={"notes": ["notes"]}), "in patients.notes"),
    (changed(images={"read": ["id", "batch_id", "filemaker_id", "s3_key"]}), "in images.read"),
    (changed(images={"read": {"id": "id"}}), "'batch_id' is a required property"),
    (changed(images={"read": READ | {"s3_key": ["s3_key"]}}), "in images.read.s3_key"),
    (changed(images={"insert": None}), "in images.insert"),
    (changed(images={"not_compared": "caption"}), "in images.not_compared"),
    (changed(values=["a"]), "in values"),
    (changed(images={"read": READ | {"s3_key": ":somewhere"}}), "the mapping uses :somewhere"),
    (changed(values={"a": "select 1 where false"}), "its value a is not found"),
    (changed(values={"a": "selekt 1"}), "Nexus refused the query: syntax error"),
]


@pytest.mark.parametrize(("text", "said"), UNUSABLE_MAPPINGS)
def test_a_mapping_that_cannot_be_used_is_refused_in_one_sentence(empty_plan, export, data, tmp_path, text, said):
    own = tmp_path / "own.yml"
    own.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert_refused(export(empty_plan, "--mapping", own), saying=said)
    assert not data.exists()


@pytest.fixture(scope="module")
def empty_plan(postgres, nexus_template):
    """The URL of a database with empty tables, which no test changes."""
    return database_url(postgres, nexus_template("plan"))


@pytest.mark.parametrize("name", ["plans", "", "nowhere.yml", ".yml"])
def test_an_unknown_mapping_is_refused_with_the_names_of_the_known_ones(export, data, name):
    assert_refused(export("postgresql://", "--mapping", name), saying="name one of generic, plan, or a .yml file")
    assert not data.exists()


EXPRESSIONS = [
    ("cast(:a as text)", "cast('it''s' as text)"),
    (":b_c+:a", "5+'it''s'"),
    ("name::text || '12:30'", "name::text || '12:30'"),
    ("x:a", "x:a"),
    ("'100 %' || '{}' || '%s'", "'100 %' || '{}' || '%s'"),
    (5, "5"),
]


@pytest.mark.parametrize(("text", "filled"), EXPRESSIONS)
def test_variables_in_a_mapping_become_quoted_values_and_nothing_else_changes(text, filled):
    assert expression(text, {"a": "it's", "b_c": 5}).as_string() == filled
