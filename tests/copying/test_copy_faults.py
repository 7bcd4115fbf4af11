"""Copying under faults: nothing is lost, duplicated, overwritten, or reported falsely."""

import csv
import random
from collections import Counter
from functools import partial
from pathlib import Path

import pytest
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

import copy_objects
from linkage.copying import run as copy_run
from linkage.s3.clients import single_try_client
from tests.copying.copy_faults import (
    ENGINES,
    RESTLESS,
    SPECIAL,
    Driver,
    Plan,
    changed,
    empty,
    gone,
    make_clinic,
    mixture,
    occupied,
    plain,
    there_already,
    torment,
)
from tests.copying.shard_faults import Shards, torment_shards
from tests.support import proxy as faults
from tests.support.copier_process import BLIND, CONTROLS, HURRIES
from tests.support.copy_oracle import DONE, read_lines, versions, violations
from tests.support.copying import CANARY_KEY
from tests.support.proxy import COPY, LOST_ANSWER, SLOW_DOWN, Closed, fault

EIGHT = [*[plain] * 3, empty, there_already, occupied, changed, gone]


@pytest.fixture
def clinic(s3_environment, tmp_path):
    return partial(make_clinic, s3_environment, tmp_path)


@pytest.mark.parametrize("engine", ENGINES)
def test_under_kills_and_faults_every_object_is_copied_once_and_reported_truly(clinic, proxy, engine):
    chance = random.Random(f"small {engine}")
    driver = Driver(clinic([*mixture(38), *RESTLESS], chance), proxy, engine, chance, HURRIES)
    report = torment(driver, kills=4, faults=50, first_step=6, stops=1)
    assert not report.wrong
    assert report.kills >= 4
    assert report.faults.total() >= 50


@pytest.mark.parametrize(("engine", "control"), [("crt", BLIND), ("boto3", HURRIES)])
def test_shards_under_kills_and_faults_copy_every_object_once_and_merge_truly(clinic, proxy, engine, control):
    chance = random.Random(f"shards {engine}")
    driver = Shards(clinic([*SPECIAL, *[plain] * 10], chance), proxy, engine, chance, control)
    report = torment_shards(driver, rounds=2)
    assert not report.wrong
    assert report.kills >= 1
    assert report.faults.total() >= 10


# --- the n-th request ------------------------------------------------------------------------------------------------


# With either engine, boto3 sends every request but the copies.
@pytest.mark.parametrize(("engine", "only", "least"), [("boto3", "", 20), ("crt", COPY, 6)])
@pytest.mark.parametrize("name", [SLOW_DOWN, LOST_ANSWER])
def test_the_end_is_the_same_whichever_request_fails(clinic, proxy, run_here, monkeypatch, engine, only, least, name):
    monkeypatch.setattr(copy_run, "PAUSES", (0.01, *copy_run.PAUSES))
    clinic = clinic(EIGHT, random.Random(1))
    results = clinic.manifest.parent / "copy_results.csv"
    environment = clinic.environment | {"AWS_ENDPOINT_URL_S3": proxy.endpoint}
    arguments = (clinic.manifest, f"--engine={engine}", "--workers=4", f"--results={results}")

    def run(plan):
        proxy.begin(plan.rule)
        return run_here(copy_objects.main, *arguments, environment=environment)

    number = 0
    while True:
        ended = run(plan := Plan(faults={number: name}, only=only))
        if ended.returncode == 2:
            assert ended.stderr.startswith("error: ") and ended.stderr.count("\n") == 1, ended
            ended = run(Plan())
        assert (ended.returncode, ended.stderr) == (1, ""), number
        assert violations(clinic, [results]) == [], number
        if number and not plan.made:
            break
        clear(clinic, results)
        number += 1
    assert number > least


def clear(clinic, results):
    """Delete what the runs have made."""
    results.unlink()
    planted = {case.planted for case in clinic.cases}
    for bucket in clinic.buckets:
        made = [
            {"Key": found.key, "VersionId": found.version}
            for found in versions(clinic.client, bucket, "patients/")
            if found.version not in planted
        ]
        if made:
            clinic.client.delete_objects(Bucket=bucket, Delete={"Objects": made, "Quiet": True})


# --- does the harness find faults? -----------------------------------------------------------------------------------

FOUND = {
    HURRIES: "",
    BLIND: "",
    "overwrites": "was written 2 times",
    "takes any source": "the destination holds other bytes than the manifest's source",
    "lies": "is reported as copied, but nothing is at its destination",
    "moves": "originals are gone or changed",
    "forgets": "lines of the results are lost or changed",
    "omits": "has no outcome",
    "gives up": "is reported as failed, but it was retried too little",
}


def test_every_control_has_its_finding():
    assert FOUND.keys() == CONTROLS.keys()


@pytest.mark.parametrize("control", FOUND)
def test_a_copier_without_one_of_its_safeguards_is_detected_and_the_real_one_is_not(clinic, proxy, control):
    chance = random.Random(f"control {control}")
    driver = Driver(clinic([*SPECIAL, *RESTLESS, *[plain] * 20], chance), proxy, "crt", chance, control)
    # The listings are over by request 12, and the copies have begun.
    driver.run(Plan(rates={COPY: {LOST_ANSWER: 0.4, SLOW_DOWN: 0.1}}, seed=1, surprise_at=12))
    driver.run(Plan())
    driver.judge()
    if not FOUND[control]:
        assert not driver.report.wrong
    else:
        assert any(FOUND[control] in sentence for sentence in driver.report.wrong), driver.report.wrong


def test_the_oracle_finds_every_tampering(clinic, proxy):
    chance = random.Random(5)
    driver = Driver(clinic([*[plain] * 12, occupied, there_already, gone], chance), proxy, "crt", chance)
    driver.run(Plan())
    clinic, (path,) = driver.clinic, driver.results
    assert violations(clinic, [path]) == []
    for tamper, sentence in tamperings(clinic, path):
        before = violations(clinic, [path])
        tamper()
        assert [new for new in violations(clinic, [path]) if new not in before and sentence in new], sentence


def tamperings(clinic, path: Path):
    """Ways to tamper with the store and the results, each on a row of its own, and what must then be found."""
    bucket, copies = clinic.buckets[0], clinic.buckets[-1]
    put, delete = clinic.client.put_object, clinic.client.delete_object
    rows = iter([case.row for case in clinic.cases if case.allowed == DONE])
    there, other = (
        next(case for case in clinic.cases if case.planted and case.allowed == {outcome})
        for outcome in ("already_present", "conflict")
    )
    gone_row = next(case.row for case in clinic.cases if case.allowed == {"source_missing"})

    def edit(row, **values):
        lines, _ = read_lines(path)
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, lines[0], lineterminator="\n")
            writer.writeheader()
            writer.writerows({**line, **(values if line["image_id"] == row.image_id else {})} for line in lines)

    def omit(row):
        path.write_text("".join(line for line in path.read_text().splitlines(True) if row.image_id not in line))

    def repeat(row):
        path.write_text(path.read_text() + next(x for x in path.read_text().splitlines(True) if row.image_id in x))

    def overwrite_unseen(row):
        """Put another object as the only version."""
        at = {"Bucket": row.destination_bucket, "Key": row.destination_key}
        delete(**at, VersionId=clinic.client.head_object(**at)["VersionId"])
        put(**at, Body=b"?")

    yield partial(put, Bucket=bucket, Key=next(rows).source_key, Body=b"!"), "originals have another version"
    yield partial(delete, Bucket=bucket, Key=next(rows).source_key), "originals are gone or changed"
    yield partial(put, Bucket=copies, Key="patients/new.jpg", Body=b"!"), "no row asks for"
    yield partial(put, Bucket=copies, Key=next(rows).destination_key, Body=b"!"), "was written 2 times"
    yield partial(delete, Bucket=copies, Key=next(rows).destination_key), "nothing is at its destination"
    yield partial(overwrite_unseen, next(rows)), "the destination holds other bytes"
    yield partial(overwrite_unseen, other.row), "has another version now"
    yield (
        partial(delete, Bucket=copies, Key=there.row.destination_key, VersionId=there.planted),
        "existed and is gone",
    )
    yield partial(put, Bucket=copies, Key=CANARY_KEY, Body=b"!"), "the canary was written 2 times"
    yield partial(edit, next(rows), outcome="conflict"), "nothing else is at its destination"
    yield partial(edit, next(rows), outcome="failed", error="SlowDown"), "retried too little"
    yield partial(edit, next(rows), destination_etag="0" * 32), "with another ETag"
    yield partial(edit, next(rows), source_key="another"), "differs from its row"
    yield partial(edit, gone_row, outcome="source_changed"), "that outcome is impossible"
    yield partial(omit, row := next(rows)), f"{row.image_id} has no outcome"
    yield partial(repeat, next(rows)), "is reported as copied 2 times"
    yield lambda: path.write_bytes(path.read_bytes()[:-3]), "torn line"


@pytest.mark.parametrize("name", [*faults.NOT_DONE, *faults.DONE])
def test_a_fault_of_the_proxy_comes_before_or_after_the_request_is_done(s3, proxy, monkeypatch, name):
    monkeypatch.setitem(faults.NOT_DONE, faults.HANG, Closed(0.1))
    monkeypatch.setitem(faults.DONE, faults.HANG_AFTER, Closed(0.1, done=True))
    s3.client.put_object(Bucket=s3.bucket, Key="source", Body=b"a picture")
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"):
        monkeypatch.setenv(variable, s3.environment[variable])
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.endpoint)
    made = Counter()
    proxy.rule = lambda request: fault(name, request, made)
    with pytest.raises((ClientError, BotoCoreError, ResponseParserError)):
        single_try_client(1).copy_object(
            Bucket=s3.bucket, Key="copy", CopySource={"Bucket": s3.bucket, "Key": "source"}
        )
    assert made == {f"{COPY} {name}": 1}
    listed = [found["Key"] for found in s3.client.list_objects_v2(Bucket=s3.bucket)["Contents"]]
    assert listed == (["copy", "source"] if name in faults.DONE else ["source"])
