"""What the database refuses, hides or locks: the row or the table is named, and no word of a trigger's is printed."""

import threading
import time
from contextlib import contextmanager

import psycopg
import pytest

from linkage.nexus import connection as nexus_connections
from sandbox.postgres_server import database_url
from tests.support.applications import BATCH_TABLES, PATIENT_TABLES
from tests.support.publishing import assert_unusable, finding
from tests.support.warehouses import TYPE, batch_id, batches_of, ids_md5, image, patient_id

# Triggers that raise


STATES = [
    "P0001", "42501", "22023", "08006", "3F000", "57014", "57P01", "XX001", "25006", "23505", "40001", "53100", "55P03",
    "SMITH", "42P01", "28P01",
]  # fmt: skip


def refuse(here, table, when, state, row="true", body=""):
    """Add a trigger that raises this SQLSTATE, with a value of the row wherever PostgreSQL lets it say something."""
    said = "new.id || ' Marked type'"
    here.execute(
        f"""
        create or replace function refuse() returns trigger language plpgsql as $$ begin
            {body}
            if {row} then
                raise exception 'permission denied for table %', {said} using errcode = '{state}', detail = {said},
                hint = {said}, table = {said}, column = {said}, constraint = {said}, schema = {said};
            end if;
            return new;
        end $$;
        create or replace trigger refuse {when} on {table} for each row execute function refuse()
        """
    )


def test_the_row_that_a_trigger_refuses_is_named_whatever_the_sqlstate_and_nothing_that_it_says(clinic):
    here = clinic("plan")
    rows = [image(recid, 1 + recid % 3, f"2016-10-1{recid % 5}") for recid in range(1, 12)]
    here.build(rows)
    for state in STATES:
        refuse(here, "images_image", "before insert", state, "new.original_filename = '7.jpg'")
        assert here.refused() == [finding(rows[6], "the database refuses it (the function refuse)")], state


BATCH = batch_id(2, "2016-10-18")
PLACES = {
    "a batch": ("plan", "images_imagebatch", "before insert", f"new.id = '{BATCH}'", f"image batch {BATCH}"),
    "an image count": ("generic", "images_batch", "before update", f"new.id = '{BATCH}'", f"image batch {BATCH}"),
    "an image that is inserted": (
        "plan", "images_image", "after insert", "new.file_size = 1003", f"image {image(3)['id']} (record 3)"
    ),
}  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_a_trigger_is_not_quoted_wherever_it_raises(clinic, place):
    site, table, when, row, named = PLACES[place]
    here = clinic(site)
    if place == "an image count":
        here.build([image(1), image(2, 2)])
        here.published()
    refuse(here, table, when, "42501", row)
    here.build([image(1), image(2, 2), image(3, 2), image(4)])
    assert here.refused() == [f"{named}: the database refuses it (the function refuse)"]


def test_a_trigger_that_refuses_a_new_patient_names_the_batch(clinic):
    here = clinic("generic")
    here.build([image(1), image(2, 1, "2016-10-19")])
    here.published()
    here.lose_patient(1)
    relink = [
        {
            "id": row["batch_id"],
            "patient_id": patient_id(1),
            "new_patient_id": patient_id(2),
            "image_ids_md5": ids_md5(row),
        }
        for row in (image(1), image(2, 1, "2016-10-19"))
    ]
    refused = relink[1]["id"]
    refuse(here, "images_batch", "before update", "08006", f"cast(new.id as text) = '{refused}'")
    here.build([image(9, 3)], relink=relink)
    assert here.refused("--relink") == [
        f"image batch {refused}: it cannot be relinked: the database refuses it (the function refuse)"
    ]


def test_a_deferred_trigger_that_defers_itself_again_still_names_the_row(clinic):
    here = clinic("plan")
    here.execute(
        """
        create table log (category text);
        create function log() returns trigger language plpgsql as $$ begin
            set constraints all deferred;
            insert into log values (new.category);
            return new;
        end $$;
        create trigger log before insert on images_image for each row execute function log();
        create function refuse() returns trigger language plpgsql as $$ begin
            raise exception 'no %', new.category using errcode = '57014';
        end $$;
        create constraint trigger refuse after insert on log deferrable initially deferred
        for each row execute function refuse();
        """
    )
    here.build([image(1)])
    assert here.refused() == [finding(image(1), "the database refuses it (the function refuse)")]


INSIDE = {
    "a missing table named by a value": "execute format('select 1 from %I', new.category);",
    "a missing column named by a value": "execute format('select %I from images_image', new.category);",
    "a value that does not fit": "perform cast(new.category as int);",
    "a syntax error": "execute new.category;",
    "an assertion": "assert false, new.category;",
}


def test_an_error_inside_a_trigger_names_the_row_without_its_values(clinic):
    here = clinic("plan")
    here.build([image(1), image(2)])
    for what, body in INSIDE.items():
        body_for_2 = f"if new.original_filename = '2.jpg' then {body} end if;"
        refuse(here, "images_image", "before insert", "P0001", "false", body_for_2)
        (said,) = here.refused()
        assert said.startswith(f"image {image(2)['id']} (record 2): the database refuses it ("), what


SAYING = {
    "raise exception 'permission denied for table %', notes using errcode = '42501'": (
        "the function says in Nexus refused the query; ask the application's developers"
    ),
    "execute format('select 1 from %I', notes)": "Nexus refused the query: SQLSTATE 42P01",
    "execute format('set role %I', notes)": "Nexus has a value that does not fit (SQLSTATE 22023)",
}


@pytest.mark.parametrize("statement", SAYING)
def test_a_function_of_the_application_that_a_query_calls_is_not_quoted(clinic, statement):
    here = clinic("plan")
    here.execute(
        f"""
        create function says(notes text) returns text language plpgsql as $$ begin {statement}; return notes; end $$;
        alter table images_imagebatch rename to batch_table;
        create view images_imagebatch as
        select id, patient_id, says(batch_name) as batch_name, captured_date, created_at, filemaker_batch_id,
            import_source from batch_table
        """
    )
    here.execute(
        "insert into batch_table (id, patient_id, batch_name, captured_date, created_at, import_source)"
        " values (%s, %s, %s, '2016-10-18', now(), 'filemaker_import')",
        batch_id(1, "2016-10-18"),
        patient_id(1),
        TYPE,
    )
    here.build([image(1)])
    assert_unusable(here.publish(), SAYING[statement])


# What a role may see


def reader(here, name="image_seer"):
    """The database as a role that may read and insert everything sees it."""
    here.execute(f"do $$ begin create role {name} login password 'seer'; exception when duplicate_object then end $$")
    here.execute(f"grant select, insert, update on all tables in schema public to {name}")
    return database_url(here.url, here.url.rpartition("/")[2], user=name, password="seer")


@pytest.mark.parametrize("part", ["patients", "batches", "images", "a table that a view reads"])
def test_rows_that_a_policy_hides_are_not_taken_for_absent(clinic, part):
    here = clinic("plan")
    here.build([image(1)])
    here.published()
    table = {"patients": PATIENT_TABLES["plan"], "batches": BATCH_TABLES["plan"]}.get(part, "images_image")
    if part == "a table that a view reads":
        here.execute(
            "alter table images_image rename to hidden_images;"
            " create view images_image with (security_invoker) as select * from hidden_images"
        )
        table = "hidden_images"
    url = reader(here)
    assert here.publish(NEXUS_DATABASE_URL=url).returncode == 0
    here.execute(f"alter table {table} enable row level security; create policy one on {table} using (false)")
    here.build([image(1), image(2, 2)])
    done = here.publish(NEXUS_DATABASE_URL=url)
    assert_unusable(done, "BYPASSRLS")
    assert table in done.stderr
    here.published()


ISOLATIONS = ["serializable", "repeatable read", "read committed"]


@pytest.mark.parametrize("isolation", ISOLATIONS)
def test_a_run_sees_after_the_wait_what_the_other_run_published_whatever_the_databases_default(clinic, isolation):
    here = clinic("plan")
    database = here.url.rpartition("/")[2]
    here.execute(f"alter database {database} set default_transaction_isolation = '{isolation}'")
    here.execute(f"alter database {database} set default_transaction_deferrable = on")
    here.build([image(1), image(2, 2)])
    with psycopg.connect(here.url) as other:
        other.execute("select pg_advisory_xact_lock(%s)", [nexus_connections.LOCK])
        other.execute(
            "insert into images_imagebatch (id, patient_id, batch_name, captured_date, created_at, import_source)"
            " values (%s, %s, '', '2016-10-18', now(), 'filemaker_import')",
            [batch_id(1, "2016-10-18"), patient_id(1)],
        )
        with called_once(here, WAITING, other.commit):
            output = here.published()
    assert output.startswith("another run is publishing: waiting until it ends\n")
    assert "Inserted 1 image batches and 2 images" in output


SECONDS = 20  # until a test gives up waiting
WAITING = "select 1 from pg_locks where not granted"
# a session that has asked what another waits for, since that waits
SAID = """
select 1
from pg_locks as waiting
inner join pg_stat_activity as asking on asking.query_start > waiting.waitstart and asking.state = 'idle'
where not waiting.granted and asking.query like '%bool_or(not granted%'
"""


@contextmanager
def called_once(here, query, act):
    """Call `act` in a thread once this query returns a row, or after SECONDS."""
    ended = threading.Event()
    deadline = time.monotonic() + SECONDS

    def wait():
        with psycopg.connect(here.url, autocommit=True) as watching:
            while not ended.wait(0.02) and time.monotonic() < deadline and not watching.execute(query).fetchone():
                pass
        act()

    thread = threading.Thread(target=wait)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


LOCKS = {
    "a table": ("lock table images_image in access exclusive mode", "images_image"),
    "a batch's patient": (f"delete from patients_patient where id = '{patient_id(2)}'", "patients_patient"),
    "the batches": ("alter table images_imagebatch add reviewed boolean", "images_imagebatch"),
}


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_that_another_session_holds_is_said_and_waited_for(clinic, lock):
    statement, table = LOCKS[lock]
    here = clinic("plan")
    here.build([image(1), image(2, 2)])
    with psycopg.connect(here.url) as other:
        other.execute(statement)
        with called_once(here, SAID, other.rollback):
            output = here.published()
    assert output.splitlines()[0] == f"waiting for a lock that another session holds on {table}"
    assert output.count("waiting") == 1
    assert here.record_numbers() == [1, 2]


# Values that PostgreSQL cannot store


@pytest.mark.parametrize("column", ["category", "original_filename", "filemaker_type"])
def test_a_nul_in_a_value_names_the_record_and_the_column(clinic, column):
    here = clinic("plan")
    row = image(2, **{column: f"{TYPE}\0"})
    here.build([image(1), row])
    assert_unusable(here.publish(), f"image {row['id']} (record 2): its {column} has a NUL character")
    batches = batches_of([image(1)])
    batches[0]["batch_name"] = "\0"
    here.build([image(1)], batches=batches)
    assert_unusable(here.publish(), f"batch {batches[0]['id']}: its batch_name has a NUL character")
    assert not here.table("images")
