"""A record is marked only once its picture is safe, and only if it has not changed; previews mark nothing."""

from datetime import date, datetime

import pytest

from sandbox.filemaker_faults import Faults
from sandbox.filemaker_find import FileMakerError
from sandbox.filemaker_server import MESSAGES, ok
from tests.support.copying import objects
from tests.support.importing import (
    DUMP,
    MARK,
    data_file,
    dump,
    fail_first,
    jpeg,
    mark_of,
    marked,
    newest,
    pictures,
    record,
    use,
    violations,
)

DOWNLOAD = "/Streaming_SSL/MainDB/…"


# --- when ------------------------------------------------------------------------------------------------------------


def test_a_picture_that_is_replaced_after_its_download_is_not_marked(server, s3, import_here):
    use(server, [record(1)])
    calls = []

    def replace(method: str, path: str) -> None:
        calls.append(path)
        if calls.count(DOWNLOAD) == 2:  # the first one is answered with a redirect
            server.records[1001].containers["image_Full"] = jpeg(99)
            server.records[1001].mod_id += 1

    server.faults.on_call = replace
    assert import_here().returncode == 1
    assert newest(s3) == {"1": ("conflict", "no", "")}
    assert dump(s3) == {"1.jpg": jpeg(1)}
    assert not marked(server)


def test_a_change_that_leaves_the_picture_does_not_keep_the_record_from_being_marked(server, s3, import_here):
    use(server, [record(1)])
    calls = []

    def change(method: str, path: str) -> None:
        calls.append(path)
        if calls.count(DOWNLOAD) == 2:
            server.records[1001].fields["Note"] = "a note"
            server.records[1001].mod_id += 1

    server.faults.on_call = change
    assert import_here().returncode == 0
    assert newest(s3) == {"1": ("uploaded", "yes", "")}


def test_at_every_mark_the_picture_is_in_the_dump(server, s3, import_here):
    use(server, pictures(8))
    wrong = []
    server.faults.on_call = lambda method, path: method == "PATCH" and wrong.extend(violations(server, s3, ended=False))
    assert import_here().returncode == 0
    assert server.calls["edit"] == 8
    assert wrong == []


@pytest.mark.parametrize("kind", ["lost", "in_use", "changed", "expired", "data_limit", "gateway", "truncated"])
def test_a_mark_whose_call_fails_at_first_is_set_once(server, s3, import_here, kind):
    use(server, [record(1)])
    failed = fail_first(server, "PATCH", kind)
    assert import_here().returncode == 0
    assert failed
    assert server.records[1001].mod_id == 1
    assert newest(s3) == {"1": ("uploaded", "yes", "")}


# --- with what -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "form"), [("date", "%m/%d/%Y"), ("timeStamp", "%m/%d/%Y %H:%M:%S"), ("number", ""), ("text", "")]
)
def test_the_mark_fits_the_type_of_its_field(server, s3, import_here, kind, form):
    use(server, [record(1)], **{MARK: kind})
    before = date.today()
    assert import_here().returncode == 0
    written = mark_of(server.records[1001])
    if form:
        assert before <= datetime.strptime(written, form).date() <= date.today()
    else:
        assert written == "1"
    assert newest(s3) == {"1": ("uploaded", "yes", "")}


def test_a_mark_that_the_server_forgets_is_reported(server, s3, import_here):
    use(server, pictures(2))
    server.answer_edit = lambda call, fault: ok({"modId": "1"})
    run = import_here()
    assert run.returncode == 1
    assert set(newest(s3).values()) == {("uploaded", "failed", "MarkNotKept")}
    assert "marked 0   not marked 0   marking failed 2\n" in run.stdout
    assert "record 1: uploaded but not marked MarkNotKept, " in run.stdout


def test_a_record_that_is_in_use_all_the_time_is_uploaded_and_reported(server, s3, import_here):
    use(server, [record(1)])
    server.faults = Faults(rate=1, kinds=("in_use",))
    assert import_here().returncode == 1
    assert newest(s3) == {"1": ("uploaded", "failed", "FileMaker301")}
    assert dump(s3) == {"1.jpg": jpeg(1)}
    server.faults = Faults()
    assert import_here().returncode == 0
    assert newest(s3) == {"1": ("already_present", "yes", "")}


@pytest.mark.parametrize("code", ["500", "509", "504"])
def test_a_mark_that_fails_validation_is_reported(server, s3, import_here, code, monkeypatch):
    monkeypatch.setitem(MESSAGES, code, "Validation")
    use(server, [record(1)])

    def refuse(call, fault):
        raise FileMakerError(code)

    server.answer_edit = refuse
    assert import_here().returncode == 1
    assert newest(s3) == {"1": ("uploaded", "failed", f"FileMaker{code}")}
    assert server.calls["edit"] == 1


# --- not at all ------------------------------------------------------------------------------------------------------


def test_without_marks_the_records_to_mark_are_listed(server, s3, import_here):
    use(server, [*pictures(3), record(4, NexusExportDate="01/02/2024"), record(5, {}), record(12)])
    s3.client.put_object(Bucket=s3.bucket, Key=f"{DUMP}2.png", Body=b"other bytes")
    run = import_here("--no-mark")
    assert run.returncode == 1  # one conflict, and one record without a picture
    assert marked(server) == {4}
    assert server.calls["edit"] == 0
    listed = data_file(s3, "to_mark.csv")
    assert listed.read_text() == "recid\n1\n3\n12\n"
    assert listed.stat().st_mode & 0o777 == 0o600
    assert f"3 records to mark -> {listed}\n" in run.stdout


def test_without_marks_what_is_there_by_now_is_listed_again(server, s3, import_here):
    use(server, pictures(3))
    assert import_here("--no-mark").returncode == 0
    assert import_here("--no-mark").returncode == 0
    assert data_file(s3, "to_mark.csv").read_text() == "recid\n1\n2\n3\n"


@pytest.mark.parametrize("arguments", [["--dry-run"], ["--probe"]])
def test_a_preview_writes_nothing(server, s3, import_here, arguments):
    use(server, [*pictures(3), record(4, {}), record(5, recid="x"), record(6)], recid="text")
    s3.client.put_object(Bucket=s3.bucket, Key=f"{DUMP}6.png", Body=b"other bytes")
    before = objects(s3), {number: (one.mod_id, dict(one.fields)) for number, one in server.records.items()}
    run = import_here(*arguments)
    assert run.returncode == (1 if "--dry-run" in arguments else 0), run
    assert (objects(s3), {number: (one.mod_id, dict(one.fields)) for number, one in server.records.items()}) == before
    assert not data_file(s3, "").exists()
    assert server.calls.keys() <= {
        "sign_in", "layout", "records", "find", "container", "redirected container", "sign_out",
    }  # fmt: skip
    if "--dry-run" in arguments:
        assert run.stdout.splitlines()[1] == (
            "Would upload 3   already there, to be compared 1   conflicts 0   no image 1   failed 1"
        )
        assert server.calls["container"] == 0


def test_a_probe_describes_the_layout_and_one_record(server, s3, import_here):
    containers = {"image_Full": "?", "image_large": jpeg(1, 400), "image_small": "imagemac:/Volumes/secret-name.jpg"}
    use(server, [record(1, {**containers, "Recovered": jpeg(2)})], recid="", Note="")
    run = import_here("--probe")
    assert run.returncode == 0
    size = len(jpeg(1, 400))
    assert [line.strip() for line in run.stdout.splitlines()] == [
        "layout API_Images: 14 fields, of which 6 containers",
        "not on the layout: recid, Note",
        "without the field recid, FileMaker's own record id is the record number",
        f"NexusExportDate is a field of the type date: records are marked with {date.today():%m/%d/%Y}",
        "record 1001, not marked:",
        "image_Full      cannot be read: ContainerUnreadable",
        "image_Ex_large  empty",
        f"image_large     jpg, {size} bytes",
        "image_medium    empty",
        "image_small     cannot be read: StoredByReference",
    ]
    assert "secret-name" not in run.stdout + run.stderr


def test_a_limit_takes_the_first_records_by_number(server, s3, import_here):
    use(server, [record(11), record(2), record(9, NexusExportDate="01/02/2024"), record(10)])
    run = import_here("--limit=2")
    assert run.returncode == 0
    assert "4 records: 1 marked, 3 to import, of which 2 now (--limit)\n" in run.stdout
    assert dump(s3).keys() == {"2.jpg", "10.jpg"}
    assert marked(server) == {2, 9, 10}
    assert len(data_file(s3, "filemaker_images_metadata.csv").read_text().splitlines()) == 5
