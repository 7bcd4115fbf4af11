"""import_results.csv: one whole line for what became of each record, in any number of runs."""

import hashlib
from datetime import UTC, datetime

from linkage.filemaker.importing.outcomes import IMPORT_RESULTS
from linkage.ledger import open_ledger
from sandbox.filemaker_faults import Faults
from tests.support.importing import DUMP, best, data_file, dump, jpeg, marked, pictures, record, results, use

COLUMNS = "run_id,recorded_at,recid,record_id,container,bucket,key,size,md5,sha256,outcome,marked,attempts,error"


def test_a_line_says_what_became_of_a_record(server, s3, import_here):
    use(server, [record(7), record(8, {})])
    before = datetime.now(UTC)
    run = import_here()
    path = data_file(s3, "import_results.csv")
    assert path.read_text().splitlines()[0] == COLUMNS
    assert path.stat().st_mode & 0o777 == 0o600
    seven, eight = sorted(results(s3), key=lambda line: line["recid"])
    content = jpeg(7)
    assert seven | {"recorded_at": ""} == {
        "run_id": eight["run_id"], "recorded_at": "", "recid": "7", "record_id": "1007", "container": "image_Full",
        "bucket": s3.bucket, "key": f"{DUMP}7.jpg", "size": str(len(content)), "md5": hashlib.md5(content).hexdigest(),
        "sha256": hashlib.sha256(content).hexdigest(), "outcome": "uploaded", "marked": "yes", "attempts": "1",
        "error": "",
    }  # fmt: skip
    assert {name for name, text in eight.items() if text} == {
        "run_id", "recorded_at", "recid", "record_id", "outcome", "marked", "attempts",
    }  # fmt: skip
    assert (eight["outcome"], eight["marked"]) == ("no_image", "no")
    assert before <= datetime.fromisoformat(seven["recorded_at"]) <= datetime.now(UTC)
    assert f"run {seven['run_id']}: {len(content)} bytes uploaded" in run.stdout
    assert f"outcomes are in {path}" in run.stdout


def test_attempts_are_counted(server, s3, import_here):
    use(server, [record(1)])
    server.faults = Faults(planned=["unauthorized", "expired_url"])
    assert import_here().returncode == 0
    assert [line["attempts"] for line in results(s3)] == ["3"]


def test_each_run_adds_its_lines_and_its_times_do_not_go_back(server, s3, import_here):
    use(server, pictures(4))
    assert import_here("--limit=2").returncode == 0
    path = data_file(s3, "import_results.csv")
    first = path.read_text()
    later = first.replace(results(s3)[-1]["recorded_at"], "2999-01-01T00:00:00.000000Z")
    path.write_text(later)
    assert import_here().returncode == 0
    assert path.read_text().startswith(later)
    times = [line["recorded_at"] for line in results(s3)]
    assert times == sorted(times)
    assert len(times) == 4
    assert len({line["run_id"] for line in results(s3)}) == 2


def test_a_torn_last_line_is_set_aside_and_the_record_is_done_again(server, s3, import_here):
    use(server, pictures(3))
    assert import_here("--limit=1").returncode == 0
    path = data_file(s3, "import_results.csv")
    whole = path.read_bytes()
    path.write_bytes(whole + b"4c5c,2026-01-01T00:00:00Z,2,1002,image_F")
    run = import_here()
    assert run.returncode == 0
    assert "was cut off, for example by a power cut; it has been moved to import_results.csv.torn" in run.stderr
    assert path.read_bytes().startswith(whole)
    assert len(results(s3)) == 3
    assert data_file(s3, "import_results.csv.torn").read_bytes().startswith(b"4c5c,")


def test_another_file_of_that_name_is_refused_before_anything_is_uploaded(server, s3, import_here):
    use(server, pictures(2))
    path = data_file(s3, "import_results.csv")
    path.parent.mkdir()
    path.write_text("recid\n1\n")
    run = import_here()
    assert run.returncode == 2
    assert "import_results.csv is not a results file" in run.stderr
    assert path.read_text() == "recid\n1\n"
    assert not dump(s3) and not marked(server)


def test_two_runs_at_once_are_refused(server, s3, import_here):
    use(server, pictures(2))
    assert import_here("--limit=1").returncode == 0
    path = data_file(s3, "import_results.csv")
    with open_ledger(path, IMPORT_RESULTS):
        run = import_here()
    assert run.returncode == 2
    assert run.stderr.startswith(f"error: another run is writing to {path}; wait until it ends, or ")
    assert run.stderr.count("\n") == 1
    assert marked(server) == {1}
    assert dump(s3) == {"1.jpg": best(server.records[1001])}
