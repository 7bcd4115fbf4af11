"""publish_results.csv, and the SQL that takes a run back."""

import csv
import os
import stat
import uuid

import psycopg
import pytest

import publish_to_nexus
from linkage.nexus.publish_results import HEADER, Change, record_and_commit
from tests.support.applications import BATCH_TABLES
from tests.support.postgres_proxy import DROPPED, LOST_ANSWER, postgres_proxy
from tests.support.publishing import FILE_NAMES, PATIENT_COLUMNS, assert_unusable, counted, printed_moment
from tests.support.warehouses import batch_id, ids_md5, image, patient_id

sites = pytest.mark.parametrize("site", ["plan", "generic"])
DAY, OTHER_DAY = "2016-10-18", "2016-10-19"


def results_path(here):
    return here.folder / "publish_results.csv"


def lines(here):
    """The lines of publish_results.csv as tuples of its five first named columns."""
    with results_path(here).open(encoding="utf-8", newline="") as file:
        return [
            tuple(row[column] for column in ("published_at", "kind", "id", "recid", "action"))
            for row in csv.DictReader(file)
        ]


def inserted(moment, rows):
    """The lines of a run that inserts these images, each in a batch of its own."""
    at = moment.isoformat(sep=" ")
    return {
        *((at, "image", row["id"], str(row["recid"]), "inserted") for row in rows),
        *((at, "batch", row["batch_id"], "", "inserted") for row in rows),
    }


def undo(here, moment, expected_kept=()):
    """Run the printed SQL as the owner; what it lists as kept must be as expected."""
    done = here.publish("--undo-sql", str(moment))
    assert (done.returncode, done.stderr) == (0, "")
    with psycopg.connect(here.url, autocommit=True) as connection:
        cursor = connection.execute(done.stdout)
        kept = []
        while True:
            if cursor.description:
                kept = cursor.fetchall()
            if not cursor.nextset():
                break
    assert kept == list(expected_kept)
    return done.stdout


# The file


@sites
def test_every_inserted_row_is_a_line_of_a_private_file_and_a_later_run_adds_its_own(clinic, site):
    here = clinic(site)
    rows = [image(recid, recid % 3 + 1, f"2016-10-{recid:02}") for recid in range(1, 7)]
    here.build(rows[:4])
    here.published("--dry-run")
    assert not results_path(here).exists()
    first = printed_moment(here.published())
    assert set(lines(here)) == inserted(first, rows[:4])
    assert stat.S_IMODE(results_path(here).stat().st_mode) == 0o600
    here.build(rows)
    second = printed_moment(here.published())
    expected = inserted(first, rows[:4]) | inserted(second, rows[4:])
    assert set(lines(here)) == expected
    here.published()
    assert set(lines(here)) == expected
    assert len(lines(here)) == len(expected)


def test_no_line_stays_of_a_run_that_a_row_prevents(clinic):
    here = clinic("plan")
    here.build([image(1)])
    here.published()
    before = results_path(here).read_bytes()
    here.execute("alter table images_image add constraint no_2 check (file_size <> 1002)")
    here.build([image(1), image(2)])
    assert here.publish().returncode == 1
    assert results_path(here).read_bytes() == before


@pytest.mark.parametrize(
    ("error", "stays"), [(psycopg.errors.SerializationFailure(), False), (psycopg.OperationalError(), True)]
)
def test_lines_are_removed_again_if_the_commit_fails_but_not_if_nobody_knows_whether_it_did(tmp_path, error, stays):
    path = tmp_path / "publish_results.csv"
    change = Change("2026-01-01 10:00:00+00:00", "image", "1", 1, "inserted")
    assert record_and_commit(path, [change], lambda: None) == 1
    before = path.read_bytes()
    seen = []

    def commit():
        seen.append(path.read_bytes())
        raise error

    with pytest.raises(type(error)):
        record_and_commit(path, [change, change], commit)
    assert seen == [before + before[len(HEADER) :] * 2]
    assert path.read_bytes() == (seen[0] if stays else before)


@pytest.mark.parametrize(("fault", "committed"), [(DROPPED, False), (LOST_ANSWER, True)])
def test_a_run_whose_commit_is_not_answered_keeps_its_lines_and_undoing_it_removes_what_was_committed(
    clinic, fault, committed
):
    here = clinic("plan")
    here.build([image(1), image(2, 2)])
    with postgres_proxy(here.url, lambda message: fault if message == "QCOMMIT" else None) as proxy:
        assert here.publish(NEXUS_DATABASE_URL=proxy.url).returncode == 2
    moments = {line[0] for line in lines(here)}
    assert len(lines(here)) == 4
    here.execute("select pg_sleep(0.1)")
    assert len(here.table("images")) == 2 * committed
    (moment,) = moments
    undo(here, moment)
    assert not here.table("images")
    here.published()
    assert here.record_numbers() == [1, 2]


def test_nothing_is_changed_if_the_lines_cannot_be_written(clinic):
    here = clinic("plan")
    here.build([image(1)])
    results_path(here).mkdir()
    assert_unusable(here.publish(), "publish_results.csv: Is a directory; nothing was changed in Nexus")
    results_path(here).rmdir()
    results_path(here).write_text("recid,something\n1,2\n")
    assert_unusable(here.publish(), "is another file: its first line is not published_at,kind,id,recid,action")
    results_path(here).unlink()
    results_path(here).symlink_to("/dev/full")
    assert_unusable(here.publish(), "nothing was changed in Nexus")
    assert not here.table("images")


def test_a_line_that_a_killed_run_has_cut_off_is_removed_by_the_next(clinic):
    here = clinic("plan")
    here.build([image(1)])
    first = printed_moment(here.published())
    with results_path(here).open("a") as file:
        file.write("2026-01-01 10:00:00+00:00,image,0000")
    undo(here, first)
    second = printed_moment(here.published())
    assert set(lines(here)) == inserted(first, [image(1)]) | inserted(second, [image(1)])


def test_a_header_that_a_killed_run_has_cut_off_is_written_again(clinic):
    here = clinic("plan")
    here.build([image(1)])
    results_path(here).write_text(HEADER[:20])
    moment = printed_moment(here.published())
    assert set(lines(here)) == inserted(moment, [image(1)])


# Taking a run back


@sites
def test_the_printed_sql_takes_back_exactly_that_run(clinic, site):
    here = clinic(site)
    held = str(uuid.uuid4())
    here.add_batch(held, patient=3)
    here.add_image(held)
    here.build([image(1)])
    first = printed_moment(here.published())
    before = here.everything()
    in_held = image(9, 3, batch_id=held)
    count = {"image_count": 2} if site == "generic" else {}
    here.build([image(1), image(2), image(3, 2), image(4, 2, OTHER_DAY), in_held])
    second = printed_moment(here.published())
    here.build([image(1), image(2), image(3, 2), image(4, 2, OTHER_DAY), in_held, image(5, 2, OTHER_DAY)])
    third = printed_moment(here.published())
    assert len({first, second, third}) == 3
    after = here.everything()
    assert after["batches"][held].items() >= count.items()

    undo(here, third)
    undo(here, second)
    restored = here.everything()
    if site == "generic":  # what the application counted wrongly is now counted
        before["batches"][held]["image_count"] = 1
    assert restored == before
    assert undo(here, second)  # once more does nothing
    assert here.everything() == before

    assert counted(here.published())["images"] == (5, 1)


@sites
def test_a_run_is_taken_back_out_of_order_without_the_batch_that_a_later_run_uses(clinic, site):
    here = clinic(site)
    here.build([image(1), image(2, 2)])
    first = printed_moment(here.published())
    here.build([image(1), image(2, 2), image(3)])
    here.published()
    undo(here, first, [("image batch", batch_id(1, DAY), "it has other images")])
    assert here.record_numbers() == [3]
    assert here.table("batches").keys() == {batch_id(1, DAY)}
    if site == "generic":
        assert here.table("batches")[batch_id(1, DAY)]["image_count"] == 1


@sites
def test_what_the_application_changed_or_added_since_is_kept_and_listed(clinic, site):
    here = clinic(site)
    rows = [image(1), image(2, 2), image(3, 3), image(4, 3, OTHER_DAY)]
    here.build(rows)
    moment = printed_moment(here.published())
    own = here.add_image(rows[0]["batch_id"])
    here.execute(f"update images_image set {FILE_NAMES[site]} = 'mine.jpg' where id = %s", rows[1]["id"])
    name = "batch_name" if site == "plan" else "name"
    here.execute(f"update {BATCH_TABLES[site]} set {name} = 'mine' where id = %s", rows[2]["batch_id"])
    before = here.everything()
    kept = [
        ("image", rows[1]["id"], "it was changed after the run"),
        *sorted(
            [
                ("image batch", rows[0]["batch_id"], "it has other images"),
                ("image batch", rows[1]["batch_id"], "it has other images"),
                ("image batch", rows[2]["batch_id"], "it was changed after the run"),
            ]
        ),
    ]
    undo(here, moment, kept)
    after = here.everything()
    assert after["images"].keys() == {own, rows[1]["id"]}
    assert after["batches"].keys() == {row["batch_id"] for row in rows[:3]}
    for part in ("images", "batches"):
        for key, row in after[part].items():
            changed = {"image_count": row["image_count"]} if "image_count" in row else {}
            assert row == before[part][key] | changed


def test_a_column_of_the_applications_own_that_changed_keeps_the_image(clinic):
    here = clinic("plan")
    here.execute("alter table images_image add rating int")
    here.build([image(1), image(2)])
    moment = printed_moment(here.published())
    here.execute("update images_image set rating = 5 where id = %s", image(1)["id"])
    undo(
        here,
        moment,
        [
            ("image", image(1)["id"], "it was changed after the run"),
            ("image batch", batch_id(1, DAY), "it has other images"),
        ],
    )
    assert here.record_numbers() == [1]


def relinked(site, here):
    """Publish two batches of patient 1, who is then imported again as patient 2, and relink them."""
    rows = [image(1), image(2, 1, OTHER_DAY)]
    here.build(rows)
    here.published()
    here.lose_patient(1)
    before = here.everything()
    relink = [
        {
            "id": row["batch_id"],
            "patient_id": patient_id(1),
            "new_patient_id": patient_id(2),
            "image_ids_md5": ids_md5(row),
        }
        for row in rows
    ]
    here.build([image(9, 3)], relink=relink)
    moment = printed_moment(here.published("--relink"))
    at = moment.isoformat(sep=" ")
    assert {line for line in lines(here) if line[0] == at} == inserted(moment, [image(9, 3)]) | {
        (at, "batch", row["batch_id"], "", "relinked") for row in rows
    }
    return before, moment, rows


@sites
def test_relinked_batches_get_their_previous_patient_back(clinic, site):
    here = clinic(site)
    before, moment, _ = relinked(site, here)
    count = len(lines(here))
    assert "given their new patient: 0" in here.published("--relink")
    assert len(lines(here)) == count
    undo(here, moment)
    assert here.everything() == before


@sites
def test_a_batch_that_got_another_patient_after_relinking_keeps_it_and_is_listed(clinic, site):
    here = clinic(site)
    _, moment, rows = relinked(site, here)
    statement = f"update {BATCH_TABLES[site]} set {PATIENT_COLUMNS[site]} = %s where id = %s"
    here.execute(statement, patient_id(3), rows[0]["batch_id"])
    undo(here, moment, [("relinked image batch", rows[0]["batch_id"], "its patient was changed after the run")])
    assert here.patient_of(rows[0]["batch_id"]) == patient_id(3)
    assert here.patient_of(rows[1]["batch_id"]) == patient_id(1)


def test_nothing_is_taken_back_if_rows_of_another_table_refer_to_an_image(clinic):
    here = clinic("plan")
    here.build([image(1)])
    moment = printed_moment(here.published())
    here.execute("create table note (image uuid references images_image)")
    here.execute("insert into note values (%s)", image(1)["id"])
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        undo(here, moment)
    assert here.record_numbers() == [1]
    assert here.table("batches")


def test_a_timestamp_is_understood_in_any_zone_and_an_unknown_one_is_refused_with_those_that_exist(clinic):
    here = clinic("plan")
    assert_unusable(
        here.publish("--undo-sql", "2026-01-01", LINKAGE_DATA=str(here.folder)), "publish_results.csv is missing"
    )
    here.build([image(1)])
    moment = printed_moment(here.published())
    for text in ("2026-01-01 10:00", "yesterday", "'; drop table images_image; --"):
        assert_unusable(here.publish("--undo-sql", text), f"its runs are '{moment.isoformat(sep=' ')}'")
    shifted = moment.astimezone().isoformat()
    assert here.publish("--undo-sql", shifted).stdout == here.publish("--undo-sql", str(moment)).stdout
    assert here.record_numbers() == [1]


def test_no_database_is_asked_for_the_sql_and_it_is_the_same_with_a_bom_and_other_line_ends(clinic):
    here = clinic("generic")
    here.build([image(1)])
    moment = printed_moment(here.published())
    printed = here.publish("--undo-sql", str(moment)).stdout
    results_path(here).write_bytes(b"\xef\xbb\xbf" + results_path(here).read_bytes().replace(b"\n", b"\r\n"))
    environment = {name: value for name, value in os.environ.items() if name == "PATH"}
    done = here.run_here(
        publish_to_nexus.main,
        *("--undo-sql", str(moment), "--mapping", "generic"),
        environment=environment | {"LINKAGE_DATA": str(here.folder)},
    )
    assert (done.returncode, done.stdout) == (0, printed)
