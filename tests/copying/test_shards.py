"""Several runs copy one manifest in parts: disjoint and whole, with few requests, and without disturbing each other."""

import fcntl
import json
import os
import re
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatch
from itertools import pairwise
from pathlib import Path

import botocore.session
import pytest
import yaml
from botocore.validate import ParamValidator

import copy_objects
import merge_copy_results
from benchmarks.copying import stub_rows
from benchmarks.copying import write_manifest as write_rows
from benchmarks.stub_s3 import requests_so_far, stub_server
from linkage.copying import resume, run
from linkage.copying.canary import write_canary
from linkage.copying.shards import Shard, parse_shard, scheduled_shard
from linkage.errors import UnusableInput
from linkage.paths import PROJECT_ROOT
from tests.support.copying import (
    CANARY_KEY,
    DUMP,
    assert_refused,
    body,
    hindered,
    hold,
    objects,
    only_line,
    picture,
    pictures,
    results,
    row_of,
    upload,
    write_manifest,
)
from tests.support.proxy import COPY, LIST, PUT, error

# --- which part ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [0, 1, 3, 100, 101, 10**9 + 7])
@pytest.mark.parametrize("shards", [1, 2, 7, 100, 99_999])
def test_the_parts_are_disjoint_and_whole_and_of_equal_size(rows, shards):
    ends = [Shard(number, shards).rows(rows) for number in range(1, shards + 1)]
    assert ends[0][0] == 1
    assert ends[-1][1] == rows
    assert all(first == last + 1 for (_, last), (first, _) in pairwise(ends))
    assert {last - first + 1 for first, last in ends} <= {rows // shards, rows // shards + 1}


@pytest.mark.parametrize("text", ["", "1", "0/4", "5/4", "-1/4", "1/4/2", "1.0/4", "a/b", "1/100000", "١/٤", "1/4\n"])
def test_a_shard_that_is_not_one_is_refused(text, s3, tmp_path, run_here):
    ended = run_here(copy_objects.main, tmp_path / "manifest.csv", "--shard", text, environment=s3.environment)
    assert ended.returncode == 2
    assert "argument --shard: " in ended.stderr


BATCH = ("AWS_BATCH_JOB_ARRAY_INDEX", "AWS_BATCH_JOB_ARRAY_SIZE")
KUBERNETES = ("JOB_COMPLETION_INDEX", "SHARDS")
SLURM = ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT", "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_MAX")


def variables(names, *values):
    return dict(zip(names, map(str, values), strict=False))


SCHEDULED = {
    "no scheduler": ({}, None),
    "Batch's first": (variables(BATCH, 0, 4), "1/4"),
    "Batch's last": (variables(BATCH, 3, 4), "4/4"),
    "Kubernetes": (variables(KUBERNETES, 2, 8), "3/8"),
    "Slurm, --array=1-8": (variables(SLURM, 8, 8, 1, 8), "8/8"),
    "Slurm, --array=0-7": (variables(SLURM, 0, 8, 0, 7), "1/8"),
    "Slurm, --array=5-6": (variables(SLURM, 6, 2, 5, 6), "2/2"),
    "Slurm with a step of one": (variables(SLURM, 2, 8, 1, 8) | {"SLURM_ARRAY_TASK_STEP": "1"}, "2/8"),
    "Slurm without its ends": (variables(SLURM, 2, 8), "2/8"),
}


@pytest.mark.parametrize("case", SCHEDULED)
def test_a_task_of_an_array_job_knows_its_shard(case):
    given, expected = SCHEDULED[case]
    found = scheduled_shard(given)
    assert (str(found) if found else None) == expected


UNCLEAR = {
    "Batch's index alone": (variables(BATCH, 0), "AWS_BATCH_JOB_ARRAY_SIZE is not"),
    "Batch's size alone": ({BATCH[1]: "4"}, "AWS_BATCH_JOB_ARRAY_INDEX is not"),
    "Kubernetes' index alone": (variables(KUBERNETES, 0), "SHARDS is not"),
    "SHARDS alone": ({KUBERNETES[1]: "4"}, "JOB_COMPLETION_INDEX is not"),
    "Slurm's index alone": (variables(SLURM, 1), "SLURM_ARRAY_TASK_COUNT is not"),
    "an index that is not a number": (variables(BATCH, "one", 4), "is not a whole number"),
    "a size that is not a number": (variables(KUBERNETES, 1, "4.0"), "is not a whole number"),
    "a negative index": (variables(BATCH, -1, 4), "is not a whole number"),
    "an index out of range": (variables(BATCH, 4, 4), "not an index of an array of 4"),
    "an array of none": (variables(KUBERNETES, 0, 0), "SHARDS must be from 1"),
    "an array too large": (variables(KUBERNETES, 0, 100_000), "SHARDS must be from 1"),
    "Slurm, from 0, without its ends": (variables(SLURM, 0, 8), "not an index"),
    "Slurm, --array=0-15:4": (variables(SLURM, 4, 4, 0, 12) | {"SLURM_ARRAY_TASK_STEP": "4"}, "have gaps"),
    "Slurm, --array=1,5,9": (variables(SLURM, 5, 3, 1, 9), "have gaps"),
    "two schedulers": (variables(BATCH, 0, 4) | variables(SLURM, 1, 4, 1, 4), "are of different schedulers"),
    "half of another scheduler": (variables(BATCH, 0, 4) | {"SHARDS": "4"}, "are of different schedulers"),
}


@pytest.mark.parametrize("case", UNCLEAR)
def test_what_a_scheduler_leaves_open_is_refused(case):
    given, saying = UNCLEAR[case]
    with pytest.raises(UnusableInput, match=saying):
        scheduled_shard(given)


def test_the_command_line_wins_over_the_scheduler_and_an_empty_variable_counts_as_not_set(s3, tmp_path, run_here):
    manifest = write_manifest(tmp_path, pictures(s3, 4))

    def dry(*arguments, **environment):
        return run_here(copy_objects.main, manifest, "--dry-run", *arguments, environment=s3.environment | environment)

    assert_refused(dry(AWS_BATCH_JOB_ARRAY_INDEX="1"), saying="AWS_BATCH_JOB_ARRAY_SIZE is not")
    assert dry("--shard", "1/2", AWS_BATCH_JOB_ARRAY_INDEX="1").stdout.startswith("shard 1/2: Would copy 2 ")
    assert dry(JOB_COMPLETION_INDEX="3", SHARDS="4").stdout.startswith("shard 4/4: Would copy 1 ")
    assert dry(JOB_COMPLETION_INDEX="", SHARDS="").stdout.startswith("Would copy 4 ")


def test_requests_in_flight_are_divided_among_the_shards():
    assert [Shard(1, shards).workers(512) for shards in (1, 2, 4, 64, 1000)] == [512, 256, 128, 8, 8]
    assert [Shard(1, shards).workers(32) for shards in (1, 4, 16, 64)] == [32, 32, 32, 8]


# --- what a shard does -----------------------------------------------------------------------------------------------


def path_of(s3, shard: str) -> Path:
    return parse_shard(shard).beside(Path(s3.environment["LINKAGE_DATA"]) / "copy_results.csv")


def test_a_shard_copies_its_rows_into_a_file_of_its_own_beside_the_results(s3, proxy, copy_here):
    rows = pictures(s3, 10)
    ended = copy_here(proxy, rows, "--shard", "2/3")
    assert ended.returncode == 0
    assert re.match("shard 2/3: copied 3 .*\nrun .*copy_results-00002-of-00003.csv\n", ended.stdout)
    part = {row.destination_key for row in rows[3:6]}
    assert set(proxy.copies) == {line["destination_key"] for line in results(s3, path_of(s3, "2/3"))} == part
    assert results(s3) == []
    others = [copy_here(proxy, rows, "--shard", f"{number}/3") for number in (3, 1)]
    assert [ended.returncode for ended in others] == [0, 0]
    assert Counter(proxy.copies) == Counter(row.destination_key for row in rows)


def test_a_shard_without_rows_says_so_and_leaves_an_empty_file(s3, proxy, copy_here):
    rows = [picture(s3, 1)]
    said = copy_here(proxy, rows, "--shard", "1/2", "--log-format=json").stdout
    assert (json.loads(said)["shard"], set(json.loads(said)["totals"].values())) == ("1/2", {0})
    ended = copy_here(proxy, rows, "--shard", "1/2")
    assert (ended.returncode, ended.stdout) == (
        0,
        f"shard 1/2: nothing to copy, because {Path(ended.args[1])} has fewer rows than shards\n",
    )
    assert results(s3, path_of(s3, "1/2")) == []
    assert not objects(s3, "patients/")


def test_the_manifest_is_checked_as_a_whole_in_each_shard(s3, proxy, copy_here):
    rows = pictures(s3, 4)
    rows[3] = rows[3]._replace(destination_key=rows[2].destination_key)
    assert "line 5: the destination already appears" in only_line(copy_here(proxy, rows, "--shard", "1/4"))


def test_a_second_run_of_a_shard_is_refused_while_the_first_one_runs(s3, proxy, copy_here):
    rows = pictures(s3, 4)
    copy_here(proxy, rows, "--shard", "1/4")
    with path_of(s3, "1/4").open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        ended = copy_here(proxy, rows, "--shard", "1/4")
        assert (ended.returncode, "another run is writing to" in ended.stderr) == (2, True)
        assert copy_here(proxy, rows, "--shard", "2/4").returncode == 0


def test_every_outcome_of_a_shard_is_that_of_a_run_over_all_rows(s3, proxy, copy_here, monkeypatch):
    monkeypatch.setattr(run, "PAUSES", (0.01,))
    for blind in (False, True):
        if blind:  # as if the originals were too many to list
            monkeypatch.setattr(resume, "source_pages", lambda _: 10**9)
        cases = hindered(s3)
        good, held = pictures(s3, 2)
        wrong = picture(s3, 3)._replace(source_size=1)
        rows = sorted([*cases.values(), good, held, wrong], key=lambda row: row.destination_key)
        Path(s3.environment["LINKAGE_DATA"]).mkdir(exist_ok=True)
        hold(s3, held)
        expected = {row.image_id: name.partition(",")[0] for name, row in cases.items()}
        expected |= {good.image_id: "copied", held.image_id: "held_back", wrong.image_id: "failed"}
        dry = copy_here(proxy, rows, "--shard", "1/1", "--dry-run", "--log-format=json")
        ended = copy_here(proxy, rows, "--shard", "1/1", "--log-format=json")
        for said in (dry, ended):
            *lines, totals = map(json.loads, said.stdout.splitlines())
            assert totals["shard"] == "1/1"
            assert {line["image_id"]: line["outcome"] for line in lines} == expected
            assert totals["totals"]["copied"] == 1
            assert said.returncode == 1
        newest = {line["image_id"]: line for line in results(s3, path_of(s3, "1/1"))}
        assert {image_id: line["outcome"] for image_id, line in newest.items()} == expected
        assert newest[wrong.image_id]["error"] == ("CopyDiffers" if blind else "SourceSizeDiffers")
        path_of(s3, "1/1").unlink()
        for key in objects(s3, "patients/"):
            s3.client.delete_object(Bucket=s3.bucket, Key=key)


def test_a_shard_is_audited_by_itself(s3, proxy, copy_here):
    rows = pictures(s3, 6)
    copy_here(proxy, rows, "--shard", "1/2")
    ended = copy_here(proxy, rows, "--shard", "1/2", "--verify")
    assert (ended.returncode, ended.stdout.count("\n")) == (0, 1)
    assert ", shard 1/2: verified 3   missing 0 " in ended.stdout
    ended = copy_here(proxy, rows, "--shard", "2/2", "--verify", "--log-format=json")
    assert ended.returncode == 1
    assert json.loads(ended.stdout.splitlines()[-1])["totals"]["missing"] == 3


def test_a_limit_is_within_the_shard(s3, proxy, copy_here):
    rows = pictures(s3, 8)
    copy_here(proxy, rows, "--shard", "2/2", "--limit", 2)
    assert sorted(proxy.copies) == sorted(row.destination_key for row in rows[4:6])


def test_the_data_folder_that_a_shard_lacks_is_missed_aloud(s3, proxy, copy_here):
    ended = copy_here(proxy, pictures(s3, 2), "--shard", "1/2")
    assert "has no held_images.csv, so no record is held back" in ended.stderr


# --- what earlier runs are known to have copied ----------------------------------------------------------------------


def merge(s3, run_here, *shards: str):
    return run_here(merge_copy_results.main, *(path_of(s3, shard) for shard in shards), environment=s3.environment)


def test_copies_of_the_own_file_and_of_the_merged_one_are_known(s3, proxy, copy_here, run_here):
    rows = pictures(s3, 6)
    for shard in ("1/2", "2/2"):
        copy_here(proxy, rows, "--shard", shard)
    proxy.seen.clear()
    assert copy_here(proxy, rows, "--shard", "1/2").stdout.startswith("shard 1/2: copied 0   already present 3 ")
    assert not proxy.counted()
    merge(s3, run_here, "1/2", "2/2")
    proxy.seen.clear()
    assert copy_here(proxy, rows, "--shard", "2/3").stdout.startswith("shard 2/3: copied 0   already present 2 ")
    assert copy_here(proxy, rows).stdout.startswith("copied 0   already present 6 ")
    assert not proxy.counted()


def test_a_shards_times_are_never_before_those_of_the_merged_file(s3, proxy, copy_here, run_here):
    """Another machine's clock was ahead, and the newest line must stay the newest."""
    rows = pictures(s3, 2)
    copy_here(proxy, rows, "--shard", "1/1")
    path = path_of(s3, "1/1")
    path.write_text(re.sub(r",20\d\d-", ",2999-", path.read_text()))
    merge(s3, run_here, "1/1")
    upload(s3, rows[0].destination_key, b"somebody else's")
    assert copy_here(proxy, rows, "--shard", "1/2").returncode == 1
    assert "2999-" in results(s3, path_of(s3, "1/2"))[0]["recorded_at"]
    merge(s3, run_here, "1/2")
    newest = {line["destination_key"]: line["outcome"] for line in results(s3)}
    assert newest == {rows[0].destination_key: "conflict", rows[1].destination_key: "copied"}


# --- few requests ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """A stub of S3, of whose objects so many are copied that a listing of all has too many pages, and the manifest."""
    folder = tmp_path_factory.mktemp("many")
    with stub_server(30_000, 0, copied=20_000) as environment:
        yield (
            environment | {"LINKAGE_DATA": str(folder / "data")},
            write_rows(folder / "manifest.csv", stub_rows(30_000)),
        )


def test_a_shard_of_10_000_rows_makes_at_most_40_listing_requests_and_one_for_each_copy(many, run_here):
    environment, manifest = many
    shard = "3/3"
    for copied in (10_000, 0):
        before = requests_so_far(environment)
        ended = run_here(copy_objects.main, manifest, "--shard", shard, environment=environment)
        made = requests_so_far(environment) - before
        assert ended.returncode == 0, ended
        assert ended.stdout.startswith(f"shard {shard}: copied {copied:,}   already present {10_000 - copied:,} ")
        assert (made["CopyObject"], made["HeadObject"] <= 2) == (copied, True)
        assert made["ListObjectsV2"] <= 40


def test_a_range_with_much_else_in_it_is_given_up_and_each_row_is_checked(s3, proxy, copy_here, monkeypatch):
    monkeypatch.setattr(resume, "SHARD_PAGES", 0)
    rows = pictures(s3, 6)
    upload(s3, rows[0].destination_key, b"somebody else's")
    ended = copy_here(proxy, rows, "--shard", "1/2")
    assert ended.stdout.startswith("shard 1/2: copied 2   already present 0   conflicts 1 ")
    assert proxy.counted()[COPY] == 2
    assert sum(request.kind == LIST for request in proxy.seen) <= 2


def test_only_the_keys_of_the_part_are_listed_in_whatever_order_the_manifest_is(s3, proxy, copy_here):
    names = ["unlinked/scan/1.jpg", "patients/b/9.jpg", "patients/c d/1.jpg", "patients/c/2.jpg", "unlinked/a/7.jpg"]
    around = ["patients/a/1.jpg", "patients/b/1.jpg", "patients/d/1.jpg", "unlinked/z/1.jpg", "other/1.jpg"]
    rows = []
    for number, name in enumerate(names, 1):
        source = f"{DUMP}{number}.jpg"
        rows.append(row_of(s3, source, name, upload(s3, source, name.encode()), len(name.encode())))
    for name in around:
        upload(s3, name)
    for copied in (5, 0):
        assert copy_here(proxy, rows, "--shard", "1/1").stdout.startswith(f"shard 1/1: copied {copied} ")
    assert not [request for request in proxy.seen if request.kind == LIST and request.query["prefix"] == [""]]
    assert {body(s3, row.destination_key).decode() for row in rows} == set(names)


# --- several at once -------------------------------------------------------------------------------------------------


def test_canaries_put_at_once_do_not_disturb_one_another(s3):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: write_canary(s3.client, s3.bucket, CANARY_KEY), range(16)))


def test_a_conflict_with_another_shards_canary_is_waited_out(s3, proxy, copy_here):
    answers = iter([error(409, "ConditionalRequestConflict")] * 2)
    proxy.rule = lambda request: next(answers, None) if request.kind == PUT else None
    assert copy_here(proxy, pictures(s3, 2), "--shard", "1/1").returncode == 0


# --- docs/shards.md --------------------------------------------------------------------------------------------------


def examples(kind: str) -> list[str]:
    page = (PROJECT_ROOT / "docs" / "shards.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{kind}\n(.*?)^```", page, flags=re.DOTALL | re.MULTILINE)


def test_the_example_for_xargs_copies_everything_and_merges_it(s3, tmp_path):
    [example, *_] = examples("sh")
    rows = pictures(s3, 6)
    write_manifest(tmp_path, rows)
    (tmp_path / "scripts").symlink_to(PROJECT_ROOT / "scripts")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    ended = subprocess.run(
        ["sh", "-ec", example],
        cwd=tmp_path,
        env=s3.environment | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended
    assert ended.stdout.count("already present 0") == 4
    assert "files 4   lines 6   added 6   already there 0" in ended.stdout
    assert {line["image_id"] for line in results(s3)} == {row.image_id for row in rows}


def test_the_example_for_batch_is_one_that_aws_takes_and_retries_signals_only():
    [example] = examples("json")
    definition = json.loads(example)
    model = botocore.session.get_session().get_service_model("batch").operation_model("RegisterJobDefinition")
    assert not ParamValidator().validate(definition, model.input_shape).has_errors()
    conditions = definition["retryStrategy"]["evaluateOnExit"]
    assert len(conditions) <= 5, "AWS Batch takes no more"

    def action(code):
        """What AWS Batch does: the first condition that matches counts, and a job that none matches is retried."""
        patterns = [(one["onExitCode"], one["action"]) for one in conditions if "onExitCode" in one]
        return next((action for pattern, action in patterns if fnmatch(str(code), pattern)), "RETRY")

    assert [action(code) for code in (0, 1, 2, 137, 143)] == ["EXIT", "EXIT", "EXIT", "RETRY", "RETRY"]


def test_the_example_for_kubernetes_has_as_many_shards_as_completions_and_does_not_retry_1_and_2():
    [example] = examples("yaml")
    job = yaml.safe_load(example)["spec"]
    pod = job["template"]["spec"]
    assert job["completionMode"] == "Indexed"
    assert {"name": "SHARDS", "value": str(job["completions"])} in pod["containers"][0]["env"]
    assert pod["restartPolicy"] == "Never", "a policy for failures needs it"
    fail, ignore = job["podFailurePolicy"]["rules"]
    assert (fail["action"], fail["onExitCodes"]["values"]) == ("FailIndex", [1, 2])
    assert fail["onExitCodes"]["containerName"] == pod["containers"][0]["name"]
    assert (ignore["action"], ignore["onPodConditions"][0]["type"]) == ("Ignore", "DisruptionTarget")
    assert job["backoffLimitPerIndex"] > 0, "FailIndex needs it"
