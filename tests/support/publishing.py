"""A clinic that publishes: an application's database, a warehouse, copies in a store, and a run of the step."""

import re
import uuid
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import publish_to_nexus
from tests.support.applications import BATCH_TABLES, PATIENT_TABLES, execute, insert_batch, insert_image
from tests.support.warehouses import NAME, NOTE, TYPE, patient_id, write_warehouse

PATIENT_COLUMNS = {"plan": "patient_id", "generic": "object_id"}
UPLOADED = {"plan": "created_at", "generic": "uploaded_at"}  # of a batch
FILE_NAMES = {"plan": "original_filename", "generic": "original_name"}


@dataclass
class Clinic:
    """An application's database with the patients 1 to 3, and a warehouse to publish to it."""

    site: str
    url: str
    folder: Path
    run_here: Any
    copies: Any
    environment: dict[str, str] = field(default_factory=dict)

    def build(self, images, **rest):
        """Make what a build and a copy run leave behind."""
        self.environment = self.copies.environment | write_warehouse(self.folder, images, **rest)
        self.copies.put(images)

    def run(self, main, *options, **environment):
        """Run a script as on the command line; it never prints anything of a patient."""
        environment = {"NEXUS_DATABASE_URL": self.url} | self.environment | environment
        mapping = [] if "--mapping" in options else ["--mapping", self.site]
        done = self.run_here(main, *mapping, *options, environment=environment)
        assert not re.search(f"{NAME}|{NOTE}|{TYPE}", done.stdout + done.stderr)
        return done

    def publish(self, *options, **environment):
        return self.run(publish_to_nexus.main, *options, **environment)

    def published(self, *options):
        """The output of a run that must succeed."""
        done = self.publish(*options)
        assert (done.returncode, done.stderr) == (0, ""), done
        return done.stdout

    def refused(self, *options):
        """The findings of a run that must change nothing because of them."""
        before = self.everything()
        done = self.publish(*options)
        assert done.returncode == 1, done
        assert self.everything() == before
        findings = done.stdout.splitlines()[: done.stdout.splitlines().index(HEADER)]
        assert done.stderr == f"error: nothing was changed; rows to correct first: {len(findings)}\n"
        return sorted(findings)

    def execute(self, statement, *values):
        return execute(self.url, statement, *values)

    def table(self, part):
        """The rows of `batches`, `images` or `patients` by id, each a dictionary, ids as text."""
        table = {"batches": BATCH_TABLES[self.site], "images": "images_image", "patients": PATIENT_TABLES[self.site]}
        rows = self.execute(f"select cast(t.id as text), to_jsonb(t) from {table[part]} as t")
        return dict(rows)

    def everything(self):
        return {part: self.table(part) for part in ("patients", "batches", "images")}

    def record_numbers(self):
        """The record numbers of the images in the database, by their file names, in order."""
        names = (row[FILE_NAMES[self.site]] for row in self.table("images").values())
        return sorted(int(Path(name).stem) for name in names)

    def patient_of(self, batch):
        return self.table("batches")[batch][PATIENT_COLUMNS[self.site]]

    def lose_patient(self, number):
        """Remove a patient who has batches, as importing patients again does."""
        if self.site == "plan":
            for (constraint,) in self.execute(
                "select conname from pg_constraint where conrelid = 'images_imagebatch'::regclass and contype = 'f'"
            ):
                self.execute(f"alter table images_imagebatch drop constraint {constraint}")
        self.execute(f"delete from {PATIENT_TABLES[self.site]} where id = %s", patient_id(number))

    def add_batch(self, batch, patient=1, **values):
        """Insert a batch as the application does."""
        insert_batch(self.url, self.site, batch, patient_id(patient), **values)

    def add_image(self, batch, **values):
        """Insert an image as the application does, under an id of its own; returns the id."""
        new = str(uuid.uuid4())
        insert_image(self.url, self.site, new, batch, **values)
        return new


HEADER = "                        new   already there"


def counted(output):
    """New and already there, by kind, as a run prints them."""
    found = re.findall(r"^(image batches|images) +([0-9,]+) +([0-9,]+)$", output, re.MULTILINE)
    return {kind: (int(new), int(there)) for kind, new, there in found}


def finding(row, problem):
    return f"image {row['id']} (record {row['recid']}): {problem}"


def printed_moment(output):
    return datetime.fromisoformat(re.search(r"with the timestamp (\S+ \S+)$", output, re.MULTILINE)[1])


def assert_unusable(done, said):
    """Exit code 2, one sentence, and nothing else."""
    assert (done.returncode, done.stdout) == (2, ""), done
    assert re.fullmatch(r"error: [^\n]+\n", done.stderr)
    assert said in done.stderr, done.stderr
