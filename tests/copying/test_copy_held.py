"""What a person holds back after the build is not copied, and a list that cannot be read stops the run."""

from pathlib import Path

import pytest

from linkage.seeds import make_missing_seeds
from tests.support.copying import (
    DUMP,
    hold,
    objects,
    only_line,
    picture,
    pictures,
    results,
    row_of,
    upload,
    without_canary,
)
from tests.support.servers import S3


@pytest.fixture(name="data", autouse=True)
def data_fixture(s3: S3) -> Path:
    """The data folder, with seeds that are older than the manifest."""
    folder = Path(s3.environment["LINKAGE_DATA"])
    make_missing_seeds(folder)
    return folder


def recorded(s3: S3) -> dict[str, tuple[str, str]]:
    """Source's key → outcome and ETag of its newest line."""
    return {line["source_key"]: (line["outcome"], line["destination_etag"]) for line in results(s3)}


@pytest.mark.parametrize("engine", ["crt", "boto3"])
def test_a_held_record_is_not_copied_whatever_the_manifest_says(s3, proxy, copy_here, engine):
    rows = pictures(s3, 12)
    hold(s3, rows[0], rows[11])
    dry = copy_here(proxy, rows, "--dry-run")
    assert dry.returncode == 1
    assert dry.stdout.startswith("Would copy 10   ")
    assert "held back 2   " in dry.stdout
    assert not without_canary(s3, "patients/")
    proxy.seen.clear()
    run = copy_here(proxy, rows, f"--engine={engine}")
    assert run.returncode == 1
    assert "held back 2   " in run.stdout
    for row in (rows[0], rows[11]):
        assert recorded(s3)[row.source_key] == ("held_back", "")
        where = f"{s3.bucket}/{row.source_key} -> {s3.bucket}/{row.destination_key}"
        assert f"  {row.image_id}  held_back: {where}\n" in run.stdout
    assert set(without_canary(s3, "patients/")) == {row.destination_key for row in rows[1:11]}
    assert not proxy.counted(rows[0].destination_key)


def test_of_a_manifest_whose_rows_are_all_held_nothing_is_requested(s3, proxy, copy_here):
    rows = pictures(s3, 2)
    hold(s3, *rows)
    assert copy_here(proxy, rows).returncode == 1
    assert not without_canary(s3, "patients/")
    assert not [request for request in proxy.seen if request.query.get("prefix") == [DUMP]]


def test_the_copy_of_a_record_that_is_held_later_stays_and_is_not_listed_as_present(s3, proxy, copy_here):
    known, found, other = rows = pictures(s3, 3)
    copy_here(proxy, [known])
    upload(s3, found.destination_key, b"picture 2")
    before = without_canary(s3)
    hold(s3, known, found)
    for _ in range(2):
        assert "copied 0" not in copy_here(proxy, [known, found, other], "--dry-run", "--limit=2").stdout
        copy_here(proxy, rows)
        assert recorded(s3)[known.source_key] == ("held_back", known.source_etag), "it was verified before"
        assert recorded(s3)[found.source_key] == ("held_back", ""), "nobody has compared it"
    after = without_canary(s3)
    assert {key: after[key] for key in before} == before
    hold(s3)
    proxy.seen.clear()
    assert copy_here(proxy, rows).returncode == 0
    assert {request.key for request in proxy.seen if request.key.startswith("patients/1")} == {found.destination_key}


def test_a_hold_counts_although_a_verified_copy_is_gone(s3, proxy, copy_here):
    row = picture(s3, 1)
    copy_here(proxy, [row])
    s3.client.delete_object(Bucket=s3.bucket, Key=row.destination_key)
    hold(s3, row)
    assert copy_here(proxy, [row]).returncode == 1
    assert recorded(s3)[row.source_key] == ("held_back", "")
    assert row.destination_key not in objects(s3)


@pytest.mark.parametrize(
    ("line", "saying"),
    [
        (b"228b,nurse,2026-01-05", "held_images.csv cannot be read: line 3 has no record number"),
        (b"228,K\xfcster,", "held_images.csv cannot be read: line 3 is not UTF-8"),
        (b"228,\0,", "held_images.csv cannot be read: line 3 has a NUL"),
    ],
)
@pytest.mark.parametrize("mode", [(), ("--dry-run",)])
def test_a_list_that_cannot_be_read_whole_stops_the_run_before_anything_is_copied(
    s3, proxy, copy_here, data, line, saying, mode
):
    rows = pictures(s3, 2)
    (data / "held_images.csv").write_bytes(b"recid,held_by,held_on\n2,,\n" + line + b"\n")
    assert saying in only_line(copy_here(proxy, rows, *mode))
    assert not proxy.copies
    assert not objects(s3, "patients/")


def test_a_spreadsheets_list_holds(s3, proxy, copy_here, data):
    rows = pictures(s3, 3)
    (data / "held_images.csv").write_bytes(
        b"\xef\xbb\xbfrecid,held_by,held_on,,\r\n1,a nurse,5/1/2026,,\r\n3.0,,,,\r\n,,,,\r\n"
    )
    copy_here(proxy, rows)
    assert [recorded(s3)[row.source_key][0] for row in rows] == ["held_back", "copied", "held_back"]


@pytest.mark.parametrize("name", ["scan.jpg", "12345678901234567890.jpg"])
def test_a_row_whose_record_is_unknown_is_refused_while_any_record_is_held(s3, proxy, copy_here, name):
    row = row_of(s3, f"{DUMP}{name}", "patients/1.jpg", upload(s3, f"{DUMP}{name}"), 9)
    held = picture(s3, 2)
    hold(s3, held)
    line = only_line(copy_here(proxy, [held, row]))
    assert "manifest line 3: source_key does not end in a record number" in line
    assert not proxy.copies
    hold(s3)
    assert copy_here(proxy, [held, row]).returncode == 0


def test_one_number_does_not_hold_another(s3, proxy, copy_here):
    rows = [picture(s3, recid) for recid in (2, 22, 122, 222)]
    zero = row_of(s3, f"{DUMP}scan_0022.jpg", "patients/z.jpg", upload(s3, f"{DUMP}scan_0022.jpg"), 9)
    hold(s3, rows[1])
    copy_here(proxy, [*rows, zero])
    assert [recorded(s3)[row.source_key][0] for row in [*rows, zero]] == [
        "copied", "held_back", "copied", "copied", "held_back",
    ]  # fmt: skip


def test_an_audit_needs_no_list(s3, proxy, copy_here, data):
    rows = pictures(s3, 2)
    copy_here(proxy, rows)
    (data / "held_images.csv").write_text("nonsense\n")
    assert copy_here(proxy, rows, "--verify").returncode == 0
