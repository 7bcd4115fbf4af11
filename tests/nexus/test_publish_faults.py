"""Publishing when something goes wrong in the middle: afterwards Nexus holds everything, or nothing."""

import multiprocessing
import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from functools import partial
from multiprocessing import forkserver
from multiprocessing.connection import wait

import psycopg
import pytest

import publish_to_nexus
from linkage.paths import PROJECT_ROOT
from linkage.steps import run_script
from sandbox.postgres_server import database_url
from tests.support.applications import PATIENT_TABLES, execute, insert_batch, insert_image
from tests.support.postgres_proxy import DROPPED, LOST_ANSWER, postgres_proxy
from tests.support.warehouses import NAME, NOTE, TYPE, add_patients, batch_id, image, patient_id, write_warehouse

IMAGES = [image(recid, patient=recid % 3 + 1, day=f"2016-10-1{recid % 2}") for recid in range(1, 13)]
NOTHING, EVERYTHING = (0, 0), (6, 12)
WAITING = "another run is publishing: waiting until it ends\n"
TABLES = {"plan": ("images_imagebatch", "images_image"), "generic": ("images_batch", "images_image")}
SECONDS = 20  # until a test gives up waiting


class Clinic:
    """An application's database with the patients 1 to 3, and a warehouse with 12 images in 6 batches."""

    def __init__(self, site, url, folder, run_here, copies):
        self.site, self.url, self.run_here, self.folder = site, url, run_here, folder
        self.environment = copies.environment | write_warehouse(folder, IMAGES)
        copies.put(IMAGES)
        add_patients(url, site, 1, 2, 3)

    def publish(self, url=None):
        """Run the publisher in this process."""
        environment = self.environment | {"NEXUS_DATABASE_URL": url or self.url}
        done = self.run_here(publish_to_nexus.main, "--mapping", self.site, environment=environment)
        assert not any(mark in done.stdout + done.stderr for mark in (NAME, NOTE, TYPE))
        return done

    def start(self, url=None):
        """Start the publisher in a process of its own, its output in pipes."""
        environment = os.environ | self.environment | {"NEXUS_DATABASE_URL": url or self.url}
        return subprocess.Popen(
            [sys.executable, "scripts/publish_to_nexus.py", "--mapping", self.site],
            cwd=PROJECT_ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def held(self):
        """The numbers of batches and images, once no other session is at work."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            others = (
                "select count(*) = 0 from pg_stat_activity"
                " where datname = current_database() and pid <> pg_backend_pid()"
            )
            until(lambda: connection.execute(others).fetchone()[0])
            return tuple(
                connection.execute(f"select count(*) from {table}").fetchone()[0] for table in TABLES[self.site]
            )

    def clear(self):
        self.execute(f"truncate {', '.join(TABLES[self.site])}")

    def execute(self, statement, *values):
        execute(self.url, statement, *values)

    def completes(self):
        """A new run inserts what is missing, and nothing twice."""
        done = self.publish()
        assert (done.returncode, done.stderr, self.held()) == (0, "", EVERYTHING)

    def messages(self):
        """What a run sends to the server, up to its commit; the database is empty again afterwards."""
        said = []
        with postgres_proxy(self.url, said.append) as proxy:
            assert self.publish(proxy.url).returncode == 0
        self.clear()
        assert said[-2:] == ["QCOMMIT", "X"]
        return said[:-1]


@pytest.fixture
def clinic(nexus_database, tmp_path, run_here, copies):
    return lambda site="plan": Clinic(site, nexus_database(site), tmp_path, run_here, copies)


def until(holds):
    """Wait until something holds."""
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)


def at(number, act):
    """A listener for the proxy: at the message with this number, from 1, it calls `act` and returns what that does."""
    counted = iter(range(1, 10_000))
    return lambda message: act() if next(counted) == number else None


def at_text(text, act):
    """The same at the first message that contains `text`."""
    waiting = [text]

    def listen(message):
        if waiting and waiting[0] in message:
            waiting.clear()
            return act()
        return None

    return listen


def chosen(clinic, messages):
    """The numbers of some messages before the first insert, and of all from there on; on the second site of a few."""
    first_copy, first_insert = (
        next(n for n, message in enumerate(messages, 1) if message.startswith(text)) for text in ("Qcopy", "QSAVEPOINT")
    )
    if clinic.site == "generic":
        return [*range(first_insert, len(messages), 5), len(messages)]
    before = [*range(1, first_copy, 7), *range(first_copy, first_insert, 5)]
    return [*before, *range(first_insert, len(messages) + 1)]


@pytest.mark.parametrize("site", ["plan", "generic"])
@pytest.mark.parametrize("fault", [DROPPED, LOST_ANSWER])
def test_a_connection_lost_at_any_message_ends_in_one_sentence_and_leaves_nothing(clinic, caplog, site, fault):
    clinic = clinic(site)
    messages = clinic.messages()
    for number in chosen(clinic, messages):
        with postgres_proxy(clinic.url, at(number, lambda: fault)) as proxy:
            done = clinic.publish(proxy.url)
        assert (done.returncode, done.stdout, caplog.records) == (2, "", []), messages[number - 1]
        assert is_one_sentence(done.stderr), done.stderr
        # Nobody can know the outcome of a commit whose answer is lost; here it was done.
        was_committed = number == len(messages) and fault == LOST_ANSWER
        assert clinic.held() == (EVERYTHING if was_committed else NOTHING), messages[number - 1]
        assert "nothing" not in done.stderr
    clinic.completes()


def is_one_sentence(stderr):
    return stderr.startswith("error: ") and stderr.count("\n") == 1 and stderr.endswith("\n")


def publish_alone(environment, site):
    """Run the publisher in a new process without output."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    os.environ.update(environment)
    sys.argv = ["publish_to_nexus.py", "--mapping", site]
    run_script(publish_to_nexus.main)


@pytest.fixture(scope="module")
def processes():
    """Makes processes that have already imported the publisher: a kill takes 0.2 s, not a second."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        forkserver.ensure_running()  # now, for tests change the environment
    return context


@pytest.mark.parametrize("site", ["plan", "generic"])
def test_a_run_killed_at_any_message_leaves_everything_or_nothing_and_the_next_completes_it(clinic, processes, site):
    clinic = clinic(site)
    messages = clinic.messages()
    last = len(messages)
    kills = [(number, DROPPED) for number in chosen(clinic, messages)]
    kills += [(number, LOST_ANSWER) for number in (range(last - 4, last + 1) if site == "plan" else [last])]
    for number, fault in kills:
        assert killed_at(clinic, processes, number, fault), messages[number - 1]
        was_committed = (number, fault) == (last, LOST_ANSWER)
        assert clinic.held() == (EVERYTHING if was_committed else NOTHING), messages[number - 1]
        if number % 9 == 0 or number == last:
            clinic.completes()
            clinic.clear()


def killed_at(clinic, processes, number, fault):
    """Whether a run was killed at the message with this number, before or after passing it on."""
    run = None

    def kill():
        run.kill()
        assert wait([run.sentinel], SECONDS)
        return fault

    with postgres_proxy(clinic.url, at(number, kill)) as proxy:
        environment = clinic.environment | {"NEXUS_DATABASE_URL": proxy.url}
        run = processes.Process(target=publish_alone, args=(environment, clinic.site), daemon=True)
        run.start()
        until(lambda: wait([run.sentinel], 0))
    run.join()
    return run.exitcode == -9


@contextmanager
def paused_before_commit(clinic, fault=None):
    """A run that has done all but the commit; once `go` is set, it continues, or the fault happens."""
    reached, go = threading.Event(), threading.Event()

    def pause():
        reached.set()
        go.wait(SECONDS)
        return fault

    with postgres_proxy(clinic.url, at_text("QCOMMIT", pause)) as proxy:
        run = clinic.start(proxy.url)
        try:
            assert reached.wait(SECONDS)
            yield run, go
        finally:
            go.set()
            run.kill()
            run.communicate()


def waiting_run(clinic):
    """Another run, which has said that it is waiting."""
    run = clinic.start()
    assert run.stdout.readline() == WAITING
    return run


def test_of_three_runs_at_once_one_publishes_and_the_others_wait_and_insert_nothing(clinic):
    clinic = clinic()
    with paused_before_commit(clinic) as (first, go):
        rest = [waiting_run(clinic) for _ in range(2)]
        assert all(run.poll() is None for run in (first, *rest))
        go.set()
        said, _ = first.communicate(timeout=SECONDS)
        assert "Inserted 6 image batches and 12 images" in said
        for run in rest:
            said, errors = run.communicate(timeout=SECONDS)
            assert (run.returncode, errors) == (0, "")
            assert "Inserted 0 image batches and 0 images" in said
    assert clinic.held() == EVERYTHING


@pytest.mark.parametrize(
    ("fault", "said_by_second"),
    [(DROPPED, "Inserted 6 image batches and 12 images"), (None, "Inserted 0 image batches and 0 images")],
)
def test_once_a_run_is_killed_the_waiting_one_continues_and_inserts_what_is_missing(clinic, fault, said_by_second):
    clinic = clinic()
    with paused_before_commit(clinic, fault) as (first, go):
        second = waiting_run(clinic)
        first.kill()
        first.wait()
        go.set()
        said, errors = second.communicate(timeout=SECONDS)
    assert (second.returncode, errors) == (0, "")
    assert said_by_second in said
    assert clinic.held() == EVERYTHING


def another_image(clinic, id="22222222-2222-4222-8222-222222222222", **values):
    """Insert an image in a batch of its own, as the application does."""
    batch = "11111111-1111-4111-8111-111111111111"
    insert_batch(clinic.url, clinic.site, batch, patient_id(1))
    insert_image(clinic.url, clinic.site, id, batch, **values)


def delete_patient(clinic):
    clinic.execute(f"delete from {PATIENT_TABLES[clinic.site]} where id = %s", patient_id(1))


BATCHES_OF_1 = {f"image batch {batch_id(1, day)}" for day in ("2016-10-10", "2016-10-11")}
SIXTH = f"image {IMAGES[5]['id']} (record 6)"
CHANGES = {
    "a patient deleted": ("plan", 'Qinsert into "images_imagebatch"', delete_patient, BATCHES_OF_1),
    "a generic patient deleted": ("generic", 'Qinsert into "images_batch"', delete_patient, BATCHES_OF_1),
    "an image with the same id": (
        "plan",
        'Qinsert into "images_image"',
        partial(another_image, id=IMAGES[5]["id"]),
        {SIXTH},
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_by_another_session_before_the_insert_prevents_publishing_and_is_named(clinic, change):
    site, before, act, named = CHANGES[change]
    clinic = clinic(site)
    held = []

    def change_now():
        act(clinic)
        with psycopg.connect(clinic.url) as connection:
            held.extend(connection.execute(f"select count(*) from {table}").fetchone()[0] for table in TABLES[site])

    with postgres_proxy(clinic.url, at_text(before, change_now)) as proxy:
        done = clinic.publish(proxy.url)
    assert (done.returncode, done.stderr) == (1, "error: nothing was changed; rows to correct first: 1\n")
    finding = done.stdout.splitlines()[0]
    assert finding.partition(": ")[0] in named
    assert ": the database refuses it (" in finding
    assert clinic.held() == tuple(held)


def test_a_patient_whose_deletion_is_under_way_is_waited_for_and_the_batch_named(clinic):
    clinic = clinic()
    with psycopg.connect(clinic.url) as other:
        other.execute("delete from patients_patient where id = %s", [patient_id(1)])

        def commit_when_waited_for():
            waiting = "select count(*) from pg_locks where not granted"
            with psycopg.connect(clinic.url, autocommit=True) as watching:
                until(lambda: watching.execute(waiting).fetchone()[0])
            other.commit()

        helper = threading.Thread(target=commit_when_waited_for)
        helper.start()
        done = clinic.publish()
        helper.join()
    assert (done.returncode, done.stderr) == (1, "error: nothing was changed; rows to correct first: 1\n")
    assert done.stdout.partition(": ")[0] in BATCHES_OF_1
    assert clinic.held() == NOTHING


def read_only(clinic):
    database = clinic.url.rpartition("/")[2]
    clinic.execute(f"alter database {database} set default_transaction_read_only = on")
    return clinic.url


def without_insert(clinic):
    """A role that may read everything and insert nothing."""
    clinic.execute(
        "do $$ begin create role image_reader login password 'reader'; exception when duplicate_object then end $$"
    )
    clinic.execute("grant select on all tables in schema public to image_reader")
    return database_url(clinic.url, clinic.url.rpartition("/")[2], user="image_reader", password="reader")


def short_of_time(clinic):
    """Queries may take 0.3 seconds, and inserting an image takes one."""
    database = clinic.url.rpartition("/")[2]
    clinic.execute(f"alter database {database} set statement_timeout = '300ms'")
    clinic.execute(
        "create function sleep() returns trigger language plpgsql as $$ begin perform pg_sleep(1); return new; end $$"
    )
    clinic.execute("create trigger slow before insert on images_image execute function sleep()")
    return clinic.url


UNUSABLE = {
    "read-only": (read_only, "Nexus is read-only; name a database that can be written to"),
    "no privilege": (
        without_insert,
        "Nexus refused the query: permission denied for table images_imagebatch; grant the role this privilege",
    ),
    "no time": (
        short_of_time,
        "Nexus ended a query that took too long (statement_timeout); raise the timeout for this role",
    ),
}


@pytest.mark.parametrize("state", UNUSABLE)
def test_a_database_that_cannot_be_used_is_refused_in_one_sentence(clinic, caplog, state):
    make, said = UNUSABLE[state]
    clinic = clinic()
    done = clinic.publish(make(clinic))
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"error: {said}\n")
    assert (clinic.held(), caplog.records) == (NOTHING, [])


def test_a_lost_connection_is_one_line_on_stderr_of_a_process_too(clinic):
    clinic = clinic()
    with postgres_proxy(clinic.url, at_text("Qinsert", lambda: DROPPED)) as proxy:
        run = clinic.start(proxy.url)
        said, errors = run.communicate(timeout=SECONDS)
    assert (run.returncode, said) == (2, "")
    assert errors == "error: the connection to Nexus was lost; run again once it answers\n"
