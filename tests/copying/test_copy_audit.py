"""`--verify` compares the store with manifest and results, at any later time; another tool agrees with it."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from linkage.copying.manifest import ManifestRow
from tests.support.copying import (
    CANARY_KEY,
    DUMP,
    MIB,
    body,
    hold,
    objects,
    only_line,
    picture,
    pictures,
    row_of,
    upload,
    upload_in_parts,
)
from tests.support.proxy import LIST, Reply, Request, error
from tests.support.servers import S3

VERIFIED = "verified {}   missing 0   different 0   undecided 0   failed 0"


def said(run: Any) -> tuple[str, str]:
    """What the two lines of totals say about the manifest and about the results."""
    lines = [line.rpartition(": ")[2] for line in run.stdout.splitlines() if not line.startswith("  ")]
    assert len(lines) == 2, run
    return lines[0], lines[1]


def results_file(s3: S3) -> Path:
    return Path(s3.environment["LINKAGE_DATA"]) / "copy_results.csv"


def test_a_finished_run_is_verified_without_writing_anything(s3, proxy, copy_here, tmp_path):
    rows = pictures(s3, 8)
    copy_here(proxy, rows)
    before, files = objects(s3), {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    proxy.seen.clear()
    run = copy_here(proxy, rows, "--verify")
    assert run.returncode == 0, run
    assert said(run) == (VERIFIED.format(8), VERIFIED.format(8))
    assert {request.method for request in proxy.seen} <= {"GET", "HEAD"}
    assert not proxy.counted(), "the listings and the results are enough"
    assert objects(s3) == before
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == files


def test_an_auditor_needs_neither_results_nor_the_canary(s3, proxy, copy_here, tmp_path):
    rows = pictures(s3, 4)
    copy_here(proxy, rows)
    s3.client.delete_object(Bucket=s3.bucket, Key=CANARY_KEY)
    proxy.seen.clear()
    run = copy_here(proxy, rows, "--verify", "--results", tmp_path / "nowhere" / "results.csv")
    assert run.returncode == 0, run
    assert said(run) == (VERIFIED.format(4), VERIFIED.format(0))
    assert {request.method for request in proxy.seen} <= {"GET", "HEAD"}
    assert CANARY_KEY not in objects(s3)
    assert not (tmp_path / "nowhere").exists()


def removed(s3: S3, row: ManifestRow) -> None:
    s3.client.delete_object(Bucket=s3.bucket, Key=row.destination_key)


def replaced(s3: S3, row: ManifestRow) -> None:
    upload(s3, row.destination_key, body(s3, row.destination_key).swapcase())


def lengthened(s3: S3, row: ManifestRow) -> None:
    upload(s3, row.destination_key, b"something longer than it was")


def both_removed(s3: S3, row: ManifestRow) -> None:
    removed(s3, row)
    s3.client.delete_object(Bucket=s3.bucket, Key=row.source_key)


FINDINGS = {removed: "missing", replaced: "different", lengthened: "different", both_removed: "missing"}


@pytest.mark.parametrize("with_results", [True, False])
def test_a_missing_or_different_copy_is_found_and_named(s3, proxy, copy_here, tmp_path, with_results):
    rows = pictures(s3, len(FINDINGS) + 1)
    copy_here(proxy, rows)
    for row, change in zip(rows, FINDINGS, strict=False):
        change(s3, row)
    run = copy_here(proxy, rows, "--verify", *([] if with_results else ["--results", tmp_path / "none.csv"]))
    assert run.returncode == 1
    found = "verified 1   missing 2   different 2   undecided 0   failed 0"
    assert said(run) == (found, found if with_results else VERIFIED.format(0))
    for row, finding in zip(rows, FINDINGS.values(), strict=False):
        where = f"{s3.bucket}/{row.source_key} -> {s3.bucket}/{row.destination_key}"
        assert f"  {row.image_id}  {finding}: {where}\n" in run.stdout


def test_a_proved_copy_is_verified_even_if_its_original_is_gone(s3, proxy, copy_here, tmp_path):
    rows = pictures(s3, 2)
    copy_here(proxy, rows)
    s3.client.delete_object(Bucket=s3.bucket, Key=rows[0].source_key)
    upload(s3, rows[1].source_key, b"another picture")
    run = copy_here(proxy, rows, "--verify", "--results", tmp_path / "none.csv")
    assert run.returncode == 0, run


def test_a_copy_that_only_a_lost_original_could_prove_is_undecided(s3, proxy, copy_here, tmp_path):
    etag = upload_in_parts(s3, f"{DUMP}1.tif", [b"a" * 5 * MIB, b"b"])
    row = row_of(s3, f"{DUMP}1.tif", "patients/1.tif", etag, 5 * MIB + 1)
    copy_here(proxy, [row])
    s3.client.delete_object(Bucket=s3.bucket, Key=row.source_key)
    assert copy_here(proxy, [row], "--verify").returncode == 0, "the results have verified this very object"
    run = copy_here(proxy, [row], "--verify", "--results", tmp_path / "none.csv")
    assert run.returncode == 1
    assert "undecided 1 " in said(run)[0]
    assert f"  {row.image_id}  undecided source_missing" in run.stdout


def test_copies_in_the_results_are_audited_although_the_manifest_does_not_have_them(s3, proxy, copy_here):
    first, second = pictures(s3, 2)
    copy_here(proxy, [first, second])
    removed(s3, second)
    run = copy_here(proxy, [first], "--verify")
    assert run.returncode == 1
    assert said(run)[0] == VERIFIED.format(1)
    assert "verified 1   missing 1 " in said(run)[1]
    assert second.image_id in run.stdout


def test_the_newest_line_of_the_results_is_audited(s3, proxy, copy_here):
    """A destination whose last outcome is a conflict is not our copy, whatever earlier lines say."""
    first, second = pictures(s3, 2)
    copy_here(proxy, [first, second])
    replaced(s3, second)
    copy_here(proxy, [first, second])
    run = copy_here(proxy, [first], "--verify")
    assert run.returncode == 0, run
    assert said(run) == (VERIFIED.format(1), VERIFIED.format(1))


@pytest.mark.parametrize("column", [2, 3, 4, 5, 7])
def test_a_line_of_the_results_that_lacks_a_value_does_not_end_the_audit_with_a_trace(s3, proxy, copy_here, column):
    rows = pictures(s3, 2)
    copy_here(proxy, rows)
    header, first, second = results_file(s3).read_text().splitlines()
    values = second.split(",")
    values[column] = ""
    results_file(s3).write_text("\n".join([header, first, ",".join(values), ""]))
    removed(s3, rows[1])
    removed(s3, rows[0])
    run = copy_here(proxy, rows, "--verify")
    assert run.returncode == 1 or run.stderr.startswith("error: '' is not a valid bucket name"), run


def test_an_object_that_a_listing_leaves_out_is_not_called_missing(s3, proxy, copy_here):
    rows = pictures(s3, 3)
    copy_here(proxy, rows)
    nothing = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
    proxy.change = lambda request, reply: (
        reply._replace(body=nothing) if request.kind == LIST and request.query["prefix"] != [DUMP] else reply
    )
    assert said(copy_here(proxy, rows, "--verify")) == (VERIFIED.format(3), VERIFIED.format(3))


def test_it_works_while_a_run_holds_the_results(s3, proxy, copy_here):
    rows = pictures(s3, 2)
    copy_here(proxy, rows)
    with results_file(s3).open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(b"a line that is just being wri")
        file.flush()
        run = copy_here(proxy, rows, "--verify")
        assert run.returncode == 0, run
        assert said(run) == (VERIFIED.format(2), VERIFIED.format(2))
    assert results_file(s3).read_bytes().endswith(b"being wri"), "a torn line is the next run's to set aside"


def test_rejected_credentials_are_not_a_finding(s3, proxy, copy_here):
    rows = pictures(s3, 2)
    copy_here(proxy, rows)
    results_file(s3).unlink()
    proxy.rule = lambda request: error(403, "ExpiredToken") if request.key.startswith("patients/1") else None
    line = only_line(copy_here(proxy, rows, "--verify"))
    assert "have expired or are not valid (ExpiredToken)" in line


def test_a_copy_that_s3_refuses_to_show_is_named_and_the_others_are_verified(s3, proxy, copy_here):
    refused, *others = rows = pictures(s3, 30)
    copy_here(proxy, rows)
    results_file(s3).unlink()
    proxy.rule = lambda request: error(403, "AccessDenied") if request.key == refused.destination_key else None
    run = copy_here(proxy, rows, "--verify")
    assert run.returncode == 1, run
    assert said(run)[0] == "verified 29   missing 0   different 0   undecided 0   failed 1"
    assert f"  {refused.image_id}  failed AccessDenied: {s3.bucket}/{refused.source_key} -> " in run.stdout
    assert others


def test_what_is_held_back_is_audited_like_everything_else(s3, proxy, copy_here):
    """A held record's copy is still known to be verified, by the line that says that it is held back."""
    held, *others = rows = pictures(s3, 3)
    copy_here(proxy, rows)
    hold(s3, held)
    copy_here(proxy, rows)
    assert copy_here(proxy, rows, "--verify").returncode == 0
    removed(s3, held)
    run = copy_here(proxy, others, "--verify")
    assert run.returncode == 1
    assert said(run) == (VERIFIED.format(2), "verified 2   missing 1   different 0   undecided 0   failed 0")


def test_transient_errors_are_waited_out(s3, proxy, copy_here):
    rows = pictures(s3, 2)
    copy_here(proxy, rows)
    results_file(s3).unlink()
    failed: set[str] = set()

    def fail_once(request: Request) -> Reply | None:
        which = f"{request.method} {request.path}"
        if which in failed or request.kind == LIST:
            return None
        failed.add(which)
        return error(503, "")

    proxy.rule = fail_once
    run = copy_here(proxy, rows, "--verify")
    assert run.returncode == 0, run


# --- another tool ----------------------------------------------------------------------------------------------------


def md5s(s3: S3, prefix: str) -> dict[str, str]:
    """Key → MD5 of every object under the prefix, by rclone, which reads each."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": os.devnull,
        "RCLONE_CONFIG": "",
        "RCLONE_CONFIG_STORE_TYPE": "s3",
        "RCLONE_CONFIG_STORE_PROVIDER": "SeaweedFS",
        "RCLONE_CONFIG_STORE_ENDPOINT": s3.environment["AWS_ENDPOINT_URL_S3"],
        "RCLONE_CONFIG_STORE_ACCESS_KEY_ID": s3.environment["AWS_ACCESS_KEY_ID"],
        "RCLONE_CONFIG_STORE_SECRET_ACCESS_KEY": s3.environment["AWS_SECRET_ACCESS_KEY"],
        "RCLONE_CONFIG_STORE_REGION": s3.environment["AWS_REGION"],
    }
    rclone = Path(sys.executable).with_name("rclone")
    listed = subprocess.run(
        [rclone, "hashsum", "MD5", "--download", f"store:{s3.bucket}/{prefix}"],
        env=environment, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    return {f"{prefix}{name}": md5 for md5, name in (line.split("  ", 1) for line in listed.splitlines())}


def test_rclone_agrees_on_a_finished_run_and_disagrees_on_a_replaced_copy(s3, proxy, copy_here):
    etag = upload_in_parts(s3, f"{DUMP}99.tif", [b"a" * 5 * MIB, b"b"])
    rows = [*pictures(s3, 12), row_of(s3, f"{DUMP}99.tif", "patients/1/99.tif", etag, 5 * MIB + 1)]
    upload(s3, f"{DUMP}100.jpg", b"not in the manifest")
    assert copy_here(proxy, rows).returncode == 0

    def differing() -> set[str]:
        sources, copies = md5s(s3, DUMP), md5s(s3, "patients/1/")
        expected = {row.destination_key: sources[row.source_key] for row in rows}
        return {key for key in expected.keys() | copies.keys() if expected.get(key) != copies.get(key)}

    assert differing() == set()
    assert copy_here(proxy, rows, "--verify").returncode == 0
    replaced(s3, rows[3])
    upload(s3, "patients/1/of-nobody.jpg")
    assert differing() == {rows[3].destination_key, "patients/1/of-nobody.jpg"}
    assert copy_here(proxy, rows, "--verify").returncode == 1


def test_a_copy_in_another_bucket_is_audited_there(s3, proxy, copy_here):
    other = s3.new_bucket()
    row = picture(s3, 1)._replace(destination_bucket=other)
    copy_here(proxy, [row])
    assert said(copy_here(proxy, [row], "--verify")) == (VERIFIED.format(1), VERIFIED.format(1))
    s3.client.delete_object(Bucket=other, Key=row.destination_key)
    assert copy_here(proxy, [row], "--verify").returncode == 1
