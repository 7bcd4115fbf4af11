"""What keeps a run from going on is one sentence, before anything is written; no session stays open."""

import os
import re
import signal

import pytest
import trustme

from import_filemaker_images import main
from linkage.filemaker.data_api import session
from linkage.s3.clients import single_try_client
from sandbox.filemaker_faults import Faults
from tests.support.copying import objects
from tests.support.importing import BEST_FIRST, DUMP, data_file, dump, marked, newest, pictures, record, use
from tests.support.proxy import HEAD, PUT, error

PASSWORD = "not-the-password"


def assert_refused(run, saying: str) -> None:
    assert run.returncode == 2, run
    assert re.fullmatch(r"error: [^\n]+\n", run.stderr), run.stderr
    assert saying in run.stderr


def assert_nothing_is_written(server, s3) -> None:
    assert not objects(s3)
    assert not marked(server)
    assert not server.calls["edit"]


# --- settings --------------------------------------------------------------------------------------------------------

ADDRESS = "FILEMAKER_URL is not the address of a FileMaker Server; write it as https://host"


@pytest.mark.parametrize("mode", [[], ["--dry-run"], ["--probe"]])
@pytest.mark.parametrize(
    ("variables", "saying"),
    [
        ({"FILEMAKER_URL": ""}, "set FILEMAKER_URL, in .env or in the shell"),
        ({"FILEMAKER_USER": "", "FILEMAKER_PASSWORD": ""}, "set FILEMAKER_USER and FILEMAKER_PASSWORD, in .env"),
        ({"FILEMAKER_DATABASE": ""}, "set FILEMAKER_DATABASE, in .env"),
        ({"FILEMAKER_URL": "http://localhost"}, ADDRESS),
        ({"FILEMAKER_URL": "localhost"}, ADDRESS),
        ({"FILEMAKER_URL": "https://localhost/fmi/data"}, ADDRESS),
        ({"FILEMAKER_URL": f"https://importer:{PASSWORD}@localhost"}, ADDRESS),
        ({"FILEMAKER_URL": "https://localhost:port"}, ADDRESS),
        ({"FILEMAKER_URL": "https://localhost?x"}, ADDRESS),
        ({"FILEMAKER_CA_BUNDLE": "/no/such/file.pem"}, "which FILEMAKER_CA_BUNDLE names, does not exist"),
        ({"FILEMAKER_PASSWORD": PASSWORD}, "rejects FILEMAKER_USER and FILEMAKER_PASSWORD"),
        ({"FILEMAKER_USER": "nobody"}, "rejects FILEMAKER_USER and FILEMAKER_PASSWORD"),
        ({"FILEMAKER_DATABASE": "Other"}, "cannot open the database; check FILEMAKER_DATABASE"),
        ({"FILEMAKER_CA_BUNDLE": ""}, "the TLS certificate of FileMaker Server cannot be verified"),
        (
            {"FILEMAKER_URL": "https://localhost:1"},
            "as it should (ConnectionError); check FILEMAKER_URL",
        ),
    ],
)
def test_settings_that_cannot_work_are_refused(server, s3, import_here, variables, saying, mode):
    use(server, pictures(2))
    run = import_here(*mode, **variables)
    assert_refused(run, saying)
    assert run.stdout == ""
    assert PASSWORD not in run.stderr
    assert_nothing_is_written(server, s3)
    assert not data_file(s3, "").exists()


@pytest.mark.parametrize("content", ["", "not a certificate\n"])
def test_a_ca_bundle_that_is_none_is_refused(server, s3, import_here, tmp_path, content):
    (bundle := tmp_path / "ca.pem").write_text(content)
    use(server, pictures(2))
    assert_refused(import_here(FILEMAKER_CA_BUNDLE=str(bundle)), "FILEMAKER_CA_BUNDLE")
    assert not server.calls


def test_a_certificate_of_another_authority_is_refused(server, s3, import_here, tmp_path):
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "other.pem"))
    use(server, pictures(2))
    run = import_here(FILEMAKER_CA_BUNDLE=str(tmp_path / "other.pem"))
    assert_refused(run, "the TLS certificate of FileMaker Server cannot be verified")
    assert not server.calls


def test_a_certificate_for_another_name_is_refused(server, s3, import_here):
    use(server, pictures(2))
    run = import_here(FILEMAKER_URL=server.url.replace("localhost", "127.0.0.1"))
    assert_refused(run, "the TLS certificate of FileMaker Server cannot be verified")
    assert not server.calls


def test_a_certificate_of_an_authority_that_is_not_known_is_never_sent_the_password(server, s3, import_here):
    use(server, pictures(2))
    asked = []
    answer = server.answer
    server.answer = lambda *call: asked.append(call) or answer(*call)
    import_here(FILEMAKER_CA_BUNDLE="")
    assert asked == []


# --- the layout ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("types", "saying"),
    [
        ({"NexusExportDate": ""}, "the layout API_Images has no field NexusExportDate; put it on the layout"),
        ({"id_Contact": ""}, "the layout API_Images has no field id_Contact;"),
        ({"date": "", "id_Contact": ""}, "the layout API_Images has no field id_Contact and no date;"),
        (dict.fromkeys(BEST_FIRST, ""), "has no field container image_Full or image_Ex_large or image_large or"),
        (dict.fromkeys(BEST_FIRST, "text"), "has no field container image_Full or image_Ex_large or image_large or"),
    ],
)
@pytest.mark.parametrize("mode", [[], ["--dry-run"], ["--probe"]])
def test_a_layout_without_a_field_that_is_needed_is_refused(server, s3, import_here, types, saying, mode):
    use(server, pictures(2), **types)
    assert_refused(import_here(*mode), saying)
    assert_nothing_is_written(server, s3)
    assert len(server.issued_tokens) == 1


def test_names_of_fields_may_differ_in_case(server, s3, import_here):
    use(server, [record(1, Nexusexportdate="", ID_contact="B")], NexusExportDate="", Nexusexportdate="text",
        id_Contact="", ID_contact="text", Image_FULL="container", image_Full="")  # fmt: skip
    server.records[1001].containers = {"Image_FULL": record(1).containers["image_Full"]}
    assert import_here().returncode == 0
    assert server.records[1001].fields["Nexusexportdate"] == "1"


@pytest.mark.parametrize("mode", [[], ["--dry-run"], ["--probe"]])
def test_another_layouts_name_is_refused(server, s3, import_here, mode):
    use(server, pictures(2))
    assert_refused(import_here("--layout=Other", *mode), "the layout does not exist; check its name")
    assert_nothing_is_written(server, s3)


def test_a_server_with_too_many_sessions_is_refused_with_a_sentence(server, s3, import_here):
    use(server, pictures(2))
    server.most_sessions = 0
    assert_refused(import_here(), "FileMaker Server has too many Data API sessions; close some")
    assert server.calls["sign_in"] == len(session.PAUSES_AT_SIGN_IN) + 1
    assert_nothing_is_written(server, s3)


def test_a_data_limit_that_is_used_up_is_a_sentence(server, s3, import_here):
    use(server, pictures(2))
    server.faults = Faults(rate=1, kinds=("data_limit",))
    assert_refused(import_here(), "953")
    assert_nothing_is_written(server, s3)


# --- the dump --------------------------------------------------------------------------------------------------------


def test_a_bucket_that_does_not_exist_is_refused(server, s3, run_here):
    use(server, pictures(2))
    environment = {**s3.environment, **server.environment()}
    run = run_here(main, "s3://no-such-bucket-here/dump/", environment=environment)
    assert_refused(run, "the bucket 'no-such-bucket-here' does not exist")
    assert not server.calls["layout"]


@pytest.mark.parametrize("dump_prefix", ["filemaker-import/images-bulk-dump", ""])
def test_a_dump_that_is_not_a_folder_is_refused(server, s3, import_here, dump_prefix):
    use(server, pictures(2))
    assert_refused(import_here(dump=dump_prefix), "the dump must be a folder, so that its address ends with /")
    assert not server.calls


def test_a_store_that_ignores_the_condition_ends_the_run_after_the_first_upload(server, s3, proxy, import_here):
    use(server, pictures(8))
    proxy.translate = lambda headers: headers.pop("if-none-match", None)
    run = import_here(AWS_ENDPOINT_URL_S3=proxy.endpoint)
    assert_refused(run, f"the store of the bucket '{s3.bucket}' ignores If-None-Match")
    assert not marked(server)
    assert server.calls["edit"] == 0
    assert 1 <= len(dump(s3)) <= 3  # one for each worker
    assert set(newest(s3).values()) == {("failed", "no", "RunEnded")}


@pytest.mark.parametrize("step", [PUT, HEAD])
def test_a_store_that_ignores_the_condition_marks_nothing_even_if_a_request_fails_before_that_shows(
    server, s3, proxy, import_here, monkeypatch, step
):
    """The record is tried again, and finds its own object, which is not one that was there before."""
    use(server, pictures(2))
    proxy.translate = lambda headers: headers.pop("if-none-match", None)
    monkeypatch.setattr("import_filemaker_images.retrying_client", lambda: single_try_client(4))
    written, failed = [], []

    def fail_once_after_the_first_upload(request):
        if written and not failed and request.kind == step:
            failed.append(request.key)
            return error(503, "SlowDown")
        if request.kind == PUT:
            written.append(request.key)
        return None

    proxy.rule = fail_once_after_the_first_upload
    assert_refused(import_here("--workers=1", AWS_ENDPOINT_URL_S3=proxy.endpoint), "ignores If-None-Match")
    assert failed
    assert not marked(server)


def test_credentials_that_may_not_write_end_the_run(server, s3, proxy, import_here):
    use(server, pictures(8))
    proxy.rule = lambda request: error(403, "AccessDenied") if request.kind == PUT else None
    assert_refused(import_here(AWS_ENDPOINT_URL_S3=proxy.endpoint), "s3:PutObject")
    assert_nothing_is_written(server, s3)


# --- signals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_after_a_signal_what_is_in_flight_is_finished_and_the_session_is_closed(server, s3, import_here, number):
    use(server, pictures(12))
    calls = []

    def stop(method: str, path: str) -> None:
        calls.append(path)
        if calls.count("/Streaming_SSL/MainDB/…") == 6 and path.startswith("/Streaming"):
            os.kill(os.getpid(), number)

    server.faults.on_call = stop
    run = import_here()
    assert run.returncode == 130
    assert run.stderr == "stopped; run the same command again to continue where this run ended\n"
    assert 0 < len(marked(server)) < 12
    assert set(newest(s3).values()) == {("uploaded", "yes", "")}
    assert {f"{recid}.jpg" for recid in marked(server)} == dump(s3).keys()
    assert not server.sessions
    server.faults = Faults()
    assert import_here().returncode == 0
    assert len(marked(server)) == 12


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_the_records_are_read_closes_the_session(server, s3, import_here, number):
    use(server, pictures(3))
    server.faults.on_call = lambda method, path: path.endswith("/records") and os.kill(os.getpid(), number)
    run = import_here()
    assert run.returncode == 130
    assert run.stderr == "stopped by Ctrl-C\n"
    assert not server.sessions
    assert_nothing_is_written(server, s3)


def test_a_record_with_an_unexpected_answer_is_its_own_failure(server, s3, import_here):
    use(server, pictures(3))
    show = server.show

    def spoil(records, found, call, fault, asked):
        answer = show(records, found, call, fault, asked)
        if call.kind == "record" and call.key == "1002":
            answer.body = answer.body.replace(b'"data"', b'"date"')
        return answer

    server.show = spoil
    assert import_here().returncode == 1
    assert newest(s3)["2"][:2] == ("failed", "no")
    assert marked(server) == {1, 3}
    assert dump(s3).keys() == {"1.jpg", "3.jpg"}
    assert f"{DUMP}2.jpg" not in objects(s3)
