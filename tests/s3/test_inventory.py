"""A delivery of S3 Inventory gives what a listing of the bucket gives."""

import csv
import json
import re
import stat
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from botocore.validate import ParamValidator

from linkage.files import csv_lines
from linkage.paths import PROJECT_ROOT
from linkage.s3.inventory_delivery import find_part
from linkage.s3.inventory_manifest import FORMATS, NEEDED, Part
from list_s3_objects import main
from sandbox.s3_server import client
from tests.support.inventories import objects, part, replace_part, rows_of, upload, write_delivery
from tests.support.proxy import GET, Reply, error
from tests.support.servers import S3

KINDS = ("CSV", "Parquet")
ODD_KEYS = [
    "x/228.jpg", "x/a b.jpg", "x/a+b.jpg", "x/a%20b.jpg", "x/a%2Fb", "x/a%zz", "x/q\"uo'te,.jpg", "x/line\nfeed",
    "x/tab\t", "x/<&>.png", "x/?versionId=3", "x/ blank ", "x/#1", "x/''", "x/=1+1", "x/*", "ü/é 日本.jpg", "\uffee",
    "😀", "x b", "x+b",
]  # fmt: skip


@pytest.fixture(scope="module")
def buckets(s3_environment) -> Iterator[dict[str, str]]:
    """A bucket with odd keys; and one with versioning, where one object has an older version and two were deleted."""
    server = S3(client(s3_environment), "", s3_environment)
    odd, versioned = server.new_bucket(), server.new_bucket()
    for key in ODD_KEYS:
        server.client.put_object(Bucket=odd, Key=key, Body=key.encode())
    server.client.put_bucket_versioning(Bucket=versioned, VersioningConfiguration={"Status": "Enabled"})
    for key in ("1.jpg", "2.jpg", "1.jpg", "gone.jpg", "again.jpg"):
        server.client.put_object(Bucket=versioned, Key=key, Body=b"x")
    for key in ("gone.jpg", "again.jpg"):
        server.client.delete_object(Bucket=versioned, Key=key)
    server.client.put_object(Bucket=versioned, Key="again.jpg", Body=b"here again")
    yield {"odd keys": odd, "versions": versioned}
    for bucket in (odd, versioned):
        server.client.delete_bucket(Bucket=bucket)


def in_the_order_and_time_of_s3(listing: Path) -> bytes:
    """A listing by SeaweedFS, which sorts folder by folder and leaves milliseconds out, as S3 itself would list it."""
    with listing.open(encoding="utf-8", newline="") as file:
        header, *records = csv.reader(file)
    records.sort(key=lambda record: record[1].encode())
    for record in records:
        record[4] = record[4].removesuffix("Z") + ".000Z"
    return csv_lines([header, *records]).encode()


@pytest.mark.parametrize("place", ["disk", "S3"])
@pytest.mark.parametrize(
    ("of", "versions", "left_out"),
    [
        ("odd keys", False, "0 older versions, 0 delete markers"),
        ("odd keys", True, "0 older versions, 0 delete markers"),
        ("versions", False, "0 older versions, 0 delete markers"),
        ("versions", True, "3 older versions, 2 delete markers"),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_it_gives_the_same_file_as_a_listing_of_the_bucket(
    s3, buckets, tmp_path, run_here, kind, of, versions, left_out, place
):
    bucket, listing, out = buckets[of], tmp_path / "listing.csv", tmp_path / "out.csv"
    listed = run_here(main, f"s3://{bucket}", "-o", listing, environment=s3.environment)
    assert listed.returncode == 0
    manifest = write_delivery(tmp_path / "delivered", rows_of(s3.client, bucket), kind, versions=versions)
    address = manifest
    if place == "S3":
        upload(s3.client, s3.bucket, tmp_path / "delivered")
        address = f"s3://{s3.bucket}/{manifest.relative_to(tmp_path / 'delivered')}"
    run = run_here(main, "--inventory", address, "-o", out, environment=s3.environment)
    assert (run.returncode, run.stderr) == (0, "")
    assert out.read_bytes() == in_the_order_and_time_of_s3(listing)
    first, second = run.stdout.splitlines()
    assert first == listed.stdout.strip().replace("listing.csv", "out.csv")
    assert re.fullmatch(
        rf"inventory of the bucket '{bucket}' as of 20[-\d]+ \d\d:\d\d UTC; left out: {left_out}", second
    )
    assert stat.S_IMODE(out.stat().st_mode) == 0o600


def taken(run_here, manifest, out: Path, **environment: str) -> list[dict[str, str]]:
    """The rows of the seed from a delivery on disk."""
    run = run_here(main, "--inventory", manifest, "-o", out, environment=environment)
    assert run.returncode == 0, run.stderr
    with out.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("kind", KINDS)
def test_an_inventory_without_storage_class_leaves_it_empty_and_a_row_without_one_is_standard(tmp_path, run_here, kind):
    without = write_delivery(tmp_path / "1", objects("1.jpg"), kind, without=("StorageClass",))
    assert [row["storage_class"] for row in taken(run_here, without, tmp_path / "out.csv")] == [""]
    empty = write_delivery(tmp_path / "2", [objects("1.jpg")[0] | {"StorageClass": ""}, *objects("2.jpg")], kind)
    found = [row["storage_class"] for row in taken(run_here, empty, tmp_path / "out.csv")]
    assert found == ["STANDARD", "GLACIER"]


@pytest.mark.parametrize(("hours", "warned"), [(40, False), (49, True)])
def test_an_inventory_that_is_older_than_two_days_is_taken_with_a_warning(tmp_path, run_here, hours, warned):
    manifest = write_delivery(tmp_path / "1", objects("1.jpg"), age=timedelta(hours=hours))
    run = run_here(main, "--inventory", manifest, "-o", tmp_path / "out.csv", environment={})
    assert run.returncode == 0
    assert bool(re.fullmatch(r"warning: this inventory is 2 days old, [^\n]+\n", run.stderr)) == warned


@pytest.mark.parametrize("kind", KINDS)
def test_names_are_never_patterns_and_nothing_stays_in_the_temporary_folder(tmp_path, run_here, monkeypatch, kind):
    odd, temporary = tmp_path / "day=1 [ab]*?'", tmp_path / "bucket=x" / "[cd]*'"
    temporary.mkdir(parents=True)
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    manifest = write_delivery(tmp_path / "1", objects("1.jpg", "2.jpg"), kind)
    manifest.parents[2].rename(odd)
    found = taken(run_here, odd / "daily" / manifest.parent.name / "manifest.json", tmp_path / "out.csv")
    assert [(row["bucket"], row["key"]) for row in found] == [("dump", "1.jpg"), ("dump", "2.jpg")]
    assert not list(temporary.iterdir())


def test_a_delivery_can_be_copied_elsewhere_as_long_as_its_folders_stay_together(s3, tmp_path, run_here):
    out = tmp_path / "out.csv"
    manifest = write_delivery(tmp_path / "1", objects("1.jpg", "2.jpg"))
    upload(s3.client, s3.bucket, manifest.parents[1])
    address = f"s3://{s3.bucket}/{manifest.parent.name}/manifest.json"
    assert len(taken(run_here, address, out, **s3.environment)) == 2
    manifest.parents[1].rename(tmp_path / "synced")
    assert len(taken(run_here, tmp_path / "synced" / manifest.parent.name / "manifest.json", out)) == 2


def test_a_manifest_beside_its_files_is_enough(tmp_path, run_here):
    manifest = write_delivery(tmp_path / "1", objects("1.jpg", "2.jpg"))
    for path in (*manifest.parent.iterdir(), part(manifest, 0), part(manifest, 1)):
        path.rename(tmp_path / path.name)
    assert len(taken(run_here, tmp_path / "manifest.json", tmp_path / "out.csv")) == 2


@pytest.mark.parametrize(
    ("manifest", "key", "expected"),
    [
        ("s3://b/p/src/daily/2026/manifest.json", "p/src/daily/data/1.gz", "s3://b/p/src/daily/data/1.gz"),
        ("s3://b/2026/manifest.json", "p/src/daily/data/1.gz", "s3://b/data/1.gz"),
        ("s3://b/copied/2026/manifest.json", "p/src/daily/data/1.gz", "s3://b/copied/data/1.gz"),
        ("s3://b/p/src/daily/2026/manifest.json", "p/src/data/1.gz", "s3://b/p/src/data/1.gz"),
        ("s3://b/p//src/daily/2026/manifest.json", "p/src/daily/data/1.gz", "s3://b/p//src/daily/data/1.gz"),
    ],
)
def test_a_file_on_s3_is_near_its_manifest(manifest, key, expected):
    """As S3 delivers it; copied to a bucket or a prefix; as in S3's own examples; and with a prefix that ends in /."""
    assert find_part(manifest, Part(key, 1, "0" * 32)) == expected


# --- downloads -------------------------------------------------------------------------------------------------------


@pytest.fixture
def delivered(s3: S3, tmp_path: Path) -> str:
    """The address of the manifest of a delivery in the bucket of this test."""
    manifest = write_delivery(tmp_path / "delivered", objects("1.jpg", "2.jpg"))
    upload(s3.client, s3.bucket, tmp_path / "delivered")
    return f"s3://{s3.bucket}/{manifest.relative_to(tmp_path / 'delivered')}"


@pytest.mark.parametrize(("cuts", "code"), [(2, 0), (100, 2)])
def test_a_download_that_breaks_off_begins_again_and_the_run_ends_if_it_always_does(
    s3, proxy, tmp_path, run_here, delivered, cuts, code
):
    def change(request, reply: Reply) -> Reply:
        of_a_file = request.kind == GET and "/data/" in request.key
        return reply._replace(cut=of_a_file and sum("/data/" in seen.key for seen in proxy.seen) <= cuts)

    proxy.change = change
    through = s3.environment | {"AWS_ENDPOINT_URL_S3": proxy.endpoint}
    run = run_here(main, "--inventory", delivered, "-o", tmp_path / "out.csv", environment=through)
    assert run.returncode == code
    assert (tmp_path / "out.csv").exists() == (code == 0)
    if code:
        assert re.fullmatch(r"error: the download of s3://\S+/data/0.csv.gz broke off [^\n]+\n", run.stderr)


@pytest.mark.parametrize(
    ("rule", "saying"),
    [
        (lambda request: error(403, "AccessDenied"), "allow these credentials s3:GetObject there"),
        (lambda request: error(404, "NoSuchKey") if "/data/" in request.key else None, "/data/0.csv.gz is missing"),
        (lambda request: error(404, "NoSuchBucket"), "does not exist"),
    ],
)
def test_what_s3_refuses_is_one_sentence(s3, proxy, tmp_path, run_here, delivered, rule, saying):
    proxy.rule = rule
    through = s3.environment | {"AWS_ENDPOINT_URL_S3": proxy.endpoint}
    run = run_here(main, "--inventory", delivered, "-o", tmp_path / "out.csv", environment=through)
    assert (run.returncode, run.stdout) == (2, "")
    assert re.fullmatch(r"error: [^\n]+\n", run.stderr) and saying in run.stderr
    assert not (tmp_path / "out.csv").exists()
    assert not (tmp_path / "data").exists()


# --- the examples in docs/inventory.md -------------------------------------------------------------------------------


def examples() -> list[dict]:
    """The configuration, the policy of S3, and the policy of whoever runs the command."""
    text = (PROJECT_ROOT / "docs" / "inventory.md").read_text(encoding="utf-8")
    return [json.loads(example) for example in re.findall(r"```json\n(.*?)```", text, re.DOTALL)]


def test_the_configuration_in_the_docs_is_one_that_s3_takes_and_has_every_field_that_is_needed(s3_environment):
    configuration, *_ = examples()
    model = client(s3_environment).meta.service_model.operation_model("PutBucketInventoryConfiguration")
    shape = model.input_shape.members["InventoryConfiguration"]
    assert not ParamValidator().validate(configuration, shape).has_errors()
    assert set(configuration["OptionalFields"]) <= set(shape.members["OptionalFields"].member.enum)
    assert {"Bucket", "Key", *configuration["OptionalFields"]} == {*NEEDED, "StorageClass"}
    assert configuration["Destination"]["S3BucketDestination"]["Format"] in FORMATS


def test_a_run_asks_for_nothing_that_the_policy_does_not_allow(s3, proxy, tmp_path, run_here, delivered):
    through = s3.environment | {"AWS_ENDPOINT_URL_S3": proxy.endpoint}
    assert taken(run_here, delivered, tmp_path / "out.csv", **through)
    (statement,) = examples()[2]["Statement"]
    assert (statement["Effect"], statement["Action"]) == ("Allow", "s3:GetObject")
    allowed = statement["Resource"].replace("INVENTORY-BUCKET", s3.bucket).replace("CLINIC-BUCKET", "dump")
    assert {request.kind for request in proxy.seen} == {GET}
    for request in proxy.seen:
        assert fnmatchcase(f"arn:aws:s3:::{request.bucket}/{request.key}", allowed)


# --- arguments -------------------------------------------------------------------------------------------------------


def test_either_the_dump_or_an_inventory_is_named(tmp_path, run_here):
    manifest = write_delivery(tmp_path / "1", objects("1.jpg"))
    both = run_here(main, "s3://dump/", "--inventory", manifest, "-o", tmp_path / "out.csv", environment={})
    assert both.returncode == 2 and "not both" in both.stderr
    neither = run_here(main, "-o", tmp_path / "out.csv", environment={})
    assert neither.returncode == 2 and "--inventory" in neither.stderr and "DUMP" in neither.stderr
    assert not (tmp_path / "out.csv").exists()


def test_an_inventory_of_another_bucket_than_the_dump_is_refused(tmp_path, run_here):
    manifest, out = write_delivery(tmp_path / "1", objects("1.jpg")), tmp_path / "out.csv"
    run = run_here(main, "--inventory", manifest, "-o", out, environment={"DUMP": "s3://other/dump/"})
    assert run.returncode == 2 and "the bucket 'dump', and DUMP names the bucket 'other'" in run.stderr
    assert not out.exists()
    assert len(taken(run_here, manifest, out, DUMP="s3://dump/images/")) == 1


@pytest.mark.parametrize("named", ["", "symlink.txt", "nowhere/manifest.json", "s3://manifest.json"])
def test_what_is_not_the_manifest_of_a_delivery_is_refused(tmp_path, run_here, named):
    argument = named if named.startswith("s3:") else tmp_path / named
    run = run_here(main, "--inventory", argument, "-o", tmp_path / "out.csv", environment={})
    assert run.returncode == 2
    assert re.fullmatch(r"error: [^\n]+manifest.json[^\n]*\n", run.stderr), run.stderr


def test_the_parts_of_one_day_are_taken_and_no_others(tmp_path, run_here):
    """Although all days share a folder, and another day's file there would be readable."""
    manifest = write_delivery(tmp_path / "1", objects("1.jpg", "2.jpg"))
    other = write_delivery(tmp_path / "2", objects("3.jpg"))
    (part(manifest).parent / "later.csv.gz").write_bytes(part(other).read_bytes())
    assert [row["key"] for row in taken(run_here, manifest, tmp_path / "out.csv")] == ["1.jpg", "2.jpg"]
    replace_part(manifest, part(other).read_bytes())
    assert [row["key"] for row in taken(run_here, manifest, tmp_path / "out.csv")] == ["2.jpg", "3.jpg"]
