"""What was copied before is known from listings and earlier results, and checked where these do not prove it."""

import csv
import hashlib
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from linkage.copying import resume
from linkage.copying.results import COLUMNS
from linkage.s3.listing import list_objects
from tests.support.copying import (
    DUMP,
    MIB,
    body,
    hold,
    objects,
    only_line,
    picture,
    pictures,
    results,
    row_of,
    upload,
    upload_in_parts,
)
from tests.support.proxy import COPY, GET, HEAD, LIST, AnsweringProxy, Reply
from tests.support.servers import S3


def outcomes(s3: S3) -> dict[str, str]:
    """Destination → outcome of its newest line."""
    return {result["destination_key"]: result["outcome"] for result in results(s3)}


def edit_results(s3: S3, change) -> None:
    """Replace the lines of the results file by what `change(lines)` returns."""
    path = Path(s3.environment["LINKAGE_DATA"]) / "copy_results.csv"
    with path.open(newline="") as file:
        lines = list(csv.DictReader(file))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(change(lines))


def without_contents(page: bytes, keep) -> bytes:
    """A page of a listing without the entries that `keep(number)` does not want, nor any sign of them."""
    numbers = iter(range(10_000))
    shorter = re.sub(
        rb"<Contents>.*?</Contents>", lambda found: found[0] if keep(next(numbers)) else b"", page, flags=re.DOTALL
    )
    return re.sub(rb"<KeyCount>\d+<", b"<KeyCount>%d<" % shorter.count(b"<Contents>"), shorter)


# --- requests that are not needed ------------------------------------------------------------------------------------


def test_a_run_over_a_finished_manifest_requests_no_object_and_copies_none(s3, proxy, copy_here):
    rows = pictures(s3, 30)
    assert copy_here(proxy, rows).returncode == 0
    assert proxy.counted() == {COPY: 30}
    before = objects(s3)
    proxy.seen.clear()
    run = copy_here(proxy, rows)
    assert run.returncode == 0
    assert run.stdout.startswith("copied 0   already present 30 ")
    assert not proxy.counted()
    assert len(proxy.seen) <= 10
    assert COPY not in {request.kind for request in proxy.seen}  # not even the canary
    assert objects(s3) == before
    first, second = results(s3)[:30], results(s3)[30:]
    assert {(line["outcome"], line["attempts"]) for line in first} == {("copied", "1")}
    assert {(line["outcome"], line["attempts"], line["error"]) for line in second} == {("already_present", "0", "")}
    assert Counter((line["image_id"], line["destination_etag"]) for line in first) == Counter(
        (line["image_id"], line["destination_etag"]) for line in second
    )


def test_only_the_rest_is_copied_and_a_dry_run_says_so_without_asking(s3, proxy, copy_here):
    rows = pictures(s3, 9)
    assert copy_here(proxy, rows, "--limit", 4).stdout.startswith("copied 4   already present 0 ")
    assert sorted(proxy.copies) == sorted(row.destination_key for row in rows[:4])
    proxy.seen.clear()
    dry = copy_here(proxy, rows, "--dry-run")
    assert (dry.returncode, dry.stdout.partition("   conflicts")[0]) == (0, "Would copy 5   already present 4")
    assert not proxy.counted()
    assert copy_here(proxy, rows).stdout.startswith("copied 5   already present 4 ")
    assert proxy.counted() == {COPY: 5}
    assert sorted(proxy.copies) == sorted(row.destination_key for row in rows[4:])


def test_without_results_every_listed_copy_is_checked_and_none_is_made(s3, proxy, copy_here):
    rows = pictures(s3, 5)
    copy_here(proxy, rows)
    (Path(s3.environment["LINKAGE_DATA"]) / "copy_results.csv").unlink()
    proxy.seen.clear()
    assert copy_here(proxy, rows).stdout.startswith("copied 0   already present 5 ")
    assert not proxy.copies
    assert proxy.counted()[HEAD] == 5
    proxy.seen.clear()
    assert copy_here(proxy, rows).returncode == 0
    assert not proxy.counted(), "an object that was checked once is known"


def test_objects_with_any_characters_in_their_keys_are_copied_and_recognised(s3, proxy, copy_here):
    names = ["a b.jpg", "a+b.jpg", "a%20b.jpg", "100%.jpg", "%2B.jpg", "ü é 日本.jpg", "a&amp;b<c>'\".jpg", "x\ty\nz"]
    rows = [
        row_of(s3, f"{DUMP}{name}", f"patients/{name}", upload(s3, f"{DUMP}{name}", name.encode()), len(name.encode()))
        for name in names
    ]
    assert copy_here(proxy, rows).returncode == 0
    assert proxy.counted() == {COPY: len(rows)}
    assert [body(s3, row.destination_key).decode() for row in rows] == names
    assert {line["destination_key"] for line in results(s3)} == {row.destination_key for row in rows}
    proxy.seen.clear()
    assert copy_here(proxy, rows).stdout.startswith(f"copied 0   already present {len(rows)} ")
    assert not proxy.counted()


# --- what earlier results do not prove -------------------------------------------------------------------------------


def test_a_copy_that_was_changed_since_is_noticed(s3, proxy, copy_here):
    other, same_size, removed, rewritten, kept = rows = pictures(s3, 5)
    copy_here(proxy, rows)
    upload(s3, other.destination_key, b"something of another size")
    upload(s3, same_size.destination_key, b"PICTURE 2")
    s3.client.delete_object(Bucket=s3.bucket, Key=removed.destination_key)
    upload(s3, rewritten.destination_key, b"picture 4")
    proxy.seen.clear()
    assert copy_here(proxy, rows).returncode == 1
    assert outcomes(s3) == {
        other.destination_key: "conflict",
        same_size.destination_key: "conflict",
        removed.destination_key: "copied",
        rewritten.destination_key: "already_present",
        kept.destination_key: "already_present",
    }
    assert proxy.copies == [removed.destination_key]
    read = {request.key for request in proxy.seen if request.kind == GET}
    assert same_size.destination_key in read
    assert other.destination_key not in read, "its size is enough"
    assert body(s3, other.destination_key) == b"something of another size"
    assert body(s3, same_size.destination_key) == b"PICTURE 2"


def test_results_about_another_source_prove_nothing(s3, proxy, copy_here):
    """The dump's object and the manifest have changed since; the copy is of the older object."""
    rows = pictures(s3, 2)
    copy_here(proxy, rows)
    changed = rows[0]._replace(source_etag=upload(s3, rows[0].source_key, b"PICTURE 1"))
    moved = rows[1]._replace(source_key=f"{DUMP}99.jpg", source_etag=upload(s3, f"{DUMP}99.jpg", b"PICTURE 2"))
    assert copy_here(proxy, [changed, moved]).returncode == 1
    assert set(outcomes(s3).values()) == {"conflict"}


FORGERIES: dict[str, Any] = {
    "of another size": {"size": "8"},
    "without a size": {"size": ""},
    "of another source": {"source_key": f"{DUMP}99.jpg"},
    "of another source ETag": {"source_etag": "0" * 32},
    "of another bucket": {"destination_bucket": "elsewhere"},
    "of another ETag": {"destination_etag": "0" * 32},
    "not done": {"outcome": "failed"},
    "in words": {"size": "nine", "recorded_at": "yesterday", "outcome": ""},
}


def test_a_result_that_is_not_about_this_copy_is_neither_a_proof_nor_an_error(s3, proxy, copy_here):
    rows = pictures(s3, len(FORGERIES) + 1)
    copy_here(proxy, rows)
    forged = dict(zip((row.destination_key for row in rows), FORGERIES.values(), strict=False))
    edit_results(s3, lambda lines: [line | forged.get(line["destination_key"], {}) for line in lines])
    proxy.seen.clear()
    assert copy_here(proxy, rows).returncode == 0
    assert {request.key for request in proxy.seen if request.kind == HEAD} >= set(forged), "one was believed"
    assert proxy.counted() == {HEAD: len(FORGERIES)}


def test_the_newest_line_about_a_destination_counts(s3, proxy, copy_here):
    row = picture(s3, 1)
    copy_here(proxy, [row])
    edit_results(s3, lambda lines: [lines[0], lines[0] | {"outcome": "conflict"}])
    proxy.seen.clear()
    copy_here(proxy, [row])
    assert proxy.counted()[HEAD] == 1
    edit_results(s3, lambda lines: [lines[0] | {"outcome": "conflict"}, *[lines[0]] * 2])
    proxy.seen.clear()
    copy_here(proxy, [row])
    assert not proxy.counted()


# --- listings that are incomplete, or that differ from the manifest --------------------------------------------------


def test_sources_that_are_listed_differently_from_the_manifest_are_not_copied(s3, proxy, copy_here):
    size, changed, gone, good = rows = pictures(s3, 4)
    upload(s3, changed.source_key, b"another picture")
    s3.client.delete_object(Bucket=s3.bucket, Key=gone.source_key)
    copy_here(proxy, [size._replace(source_size=1), *rows[1:]])
    assert [(line["outcome"], line["error"]) for line in sorted(results(s3), key=lambda line: line["source_key"])] == [
        ("failed", "SourceSizeDiffers"),
        ("source_changed", ""),
        ("source_missing", ""),
        ("copied", ""),
    ]
    assert proxy.copies == [good.destination_key]


def test_a_large_prefix_is_listed_in_parts_that_together_are_complete(s3, proxy, copy_here, monkeypatch):
    monkeypatch.setattr(resume, "ROWS_OF_A_PART", 10)
    rows = pictures(s3, 60)
    assert copy_here(proxy, rows).returncode == 0
    assert proxy.counted() == {COPY: 60}, "a source that was not listed would have been checked"
    assert not [request for request in proxy.seen if request.kind == HEAD and request.key.startswith(DUMP)]
    parts = [request.query.get("start-after") for request in proxy.seen if request.query.get("prefix") == [DUMP]]
    assert len(parts) == len({str(part) for part in parts}) == 6


@pytest.mark.parametrize("lie", ["lacks every second", "ends too early", "is empty"])
def test_an_incomplete_listing_does_no_harm(s3, proxy, copy_here, lie):
    keep = {"lacks every second": lambda n: n % 2, "ends too early": lambda n: n < 3, "is empty": lambda n: False}[lie]

    def cut(request, reply):
        if request.kind != LIST:
            return reply
        return Reply(reply.status, reply.headers, without_contents(reply.body, keep))

    proxy.change = cut
    rows = pictures(s3, 10)
    conflict = rows[4]
    upload(s3, conflict.destination_key, b"somebody else's")
    there = rows[5]
    upload(s3, there.destination_key, body(s3, there.source_key))
    expected = {row.destination_key: "copied" for row in rows}
    expected |= {conflict.destination_key: "conflict", there.destination_key: "already_present"}
    copy_here(proxy, rows)
    assert outcomes(s3) == expected
    before = objects(s3)
    copy_here(proxy, rows)
    assert outcomes(s3) == {
        key: "conflict" if key == conflict.destination_key else "already_present" for key in expected
    }
    assert objects(s3) == before


def test_a_listing_with_too_many_pages_is_given_up_and_each_row_is_checked(s3, proxy, copy_here, monkeypatch):
    monkeypatch.setattr(resume, "LEAST_PAGES", 1)

    def pages(client, bucket, prefix, *part):
        yield from [] if prefix == DUMP else [[]]  # the first of two
        yield from list_objects(client, bucket, prefix, *part)

    monkeypatch.setattr(resume, "list_objects", pages)
    rows = pictures(s3, 6)
    upload(s3, rows[0].destination_key, b"somebody else's")
    proxy.seen.clear()
    dry = copy_here(proxy, rows, "--dry-run")
    assert dry.stdout.startswith("Would copy 5   already present 0   conflicts 1 ")
    assert proxy.counted()[HEAD] == 6
    assert copy_here(proxy, rows).stdout.startswith("copied 5   already present 0   conflicts 1 ")
    assert body(s3, rows[0].destination_key) == b"somebody else's"
    assert copy_here(proxy, rows).stdout.startswith("copied 0   already present 5   conflicts 1 ")


# --- ETags that show nothing -----------------------------------------------------------------------------------------


def opaque(text: str) -> str:
    """Swap MD5s for ETags that look like MD5s but are not, and back."""
    return re.sub(r"\b[0-9a-f]{32}\b", lambda found: found[0][::-1], text)


def hide_md5s(proxy: AnsweringProxy) -> None:
    """Make the store use ETags that are not MD5s, in answers and conditions."""

    def translate(headers: dict[str, str]) -> None:
        for name in ("if-match", "if-none-match", "x-amz-copy-source-if-match"):
            if name in headers:
                headers[name] = opaque(headers[name])

    def change(_: Any, reply: Reply) -> Reply:
        headers = [(name, opaque(value) if name.lower() == "etag" else value) for name, value in reply.headers]
        content = re.sub(rb"<ETag>.*?</ETag>", lambda found: opaque(found[0].decode()).encode(), reply.body)
        return Reply(reply.status, [pair for pair in headers if "checksum" not in pair[0].lower()], content)

    proxy.translate, proxy.change = translate, change


def test_where_etags_are_not_md5s_copies_are_verified_by_reading_both(s3, proxy, copy_here):
    hide_md5s(proxy)
    rows = [row._replace(source_etag=opaque(row.source_etag)) for row in pictures(s3, 3)]
    there, conflict, fresh = rows
    upload(s3, there.destination_key, b"picture 1")
    upload(s3, conflict.destination_key, b"PICTURE 2")
    assert copy_here(proxy, rows).returncode == 1
    assert outcomes(s3) == {
        there.destination_key: "already_present",
        conflict.destination_key: "conflict",
        fresh.destination_key: "copied",
    }
    assert proxy.counted()[GET] == 3
    assert {line["destination_etag"] for line in results(s3) if line["outcome"] == "copied"} == {fresh.source_etag}


def test_an_md5_alone_is_not_believed_if_the_canarys_etag_is_not_one(s3, proxy, copy_here):
    """The store reports the source's ETag for every object."""
    row = picture(s3, 1)
    upload(s3, row.destination_key, b"PICTURE 1")
    lie = row.source_etag

    def change(request: Any, reply: Reply) -> Reply:
        headers = [(name, f'"{lie}"' if name.lower() == "etag" else value) for name, value in reply.headers]
        return Reply(reply.status, headers, re.sub(rb"[0-9a-f]{32}", lie.encode(), reply.body))

    def translate(headers: dict[str, str]) -> None:
        headers.pop("if-match", None)
        if lie in headers.get("x-amz-copy-source-if-match", ""):
            del headers["x-amz-copy-source-if-match"]

    proxy.change, proxy.translate = change, translate
    copy_here(proxy, [row, picture(s3, 2)._replace(source_etag=lie)])
    assert outcomes(s3)[row.destination_key] == "conflict"
    assert proxy.counted()[GET] >= 1


def test_where_etags_are_not_md5s_results_are_believed_only_if_nothing_was_written_since(s3, proxy, copy_here):
    hide_md5s(proxy)
    kept, rewritten = rows = [row._replace(source_etag=opaque(row.source_etag)) for row in pictures(s3, 2)]
    copy_here(proxy, rows)
    # as if the copy were of an hour ago, and the results of half an hour
    edit_results(
        s3,
        lambda lines: [
            line | {"recorded_at": "2020-01-01T00:00:00Z"}
            if line["destination_key"] == rewritten.destination_key
            else line
            for line in lines
        ],
    )
    proxy.seen.clear()
    copy_here(proxy, rows)
    assert {request.key for request in proxy.seen if request.kind in (HEAD, GET) and request.key in
            {row.destination_key for row in rows}} == {rewritten.destination_key}  # fmt: skip
    assert set(outcomes(s3).values()) == {"already_present"}
    assert kept.destination_key in outcomes(s3)


def carried_on(lines: list[dict[str, str]], time: str) -> list[dict[str, str]]:
    """The lines of a run that began when its clock was behind the file's last time."""
    return [line | {"recorded_at": time} for line in lines]


FUTURE, PAST = "2999-01-02T03:04:05.000006Z", "2020-01-02T03:04:05.000006Z"
WRONG_CLOCKS: dict[str, Any] = {
    "a time in the future": lambda lines: carried_on(lines, FUTURE),
    "the last of its lines in the future": lambda lines: [*lines[:-1], *carried_on(lines[-1:], FUTURE)],
    "a time that a later run carries on": lambda lines: [
        *lines, *(line | {"run_id": "later", "destination_key": "x"} for line in lines[-1:])
    ],
    "a time carried on from an earlier run": lambda lines: [
        lines[0] | {"run_id": "earlier", "destination_key": "x"}, *carried_on(lines, lines[0]["recorded_at"])
    ],
    "a time after which the next run goes back": lambda lines: [
        *lines, lines[-1] | {"run_id": "later", "destination_key": "x", "recorded_at": PAST}
    ],
    "no time": lambda lines: carried_on(lines, ""),
    "no run": lambda lines: [line | {"run_id": ""} for line in carried_on(lines, FUTURE)],
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG_CLOCKS)
def test_where_etags_are_not_md5s_the_time_of_a_wrong_clock_proves_nothing(s3, proxy, copy_here, name):
    """It may be later than the moment at which the copy was verified, and somebody may have written in between."""
    hide_md5s(proxy)
    rows = [row._replace(source_etag=opaque(row.source_etag)) for row in pictures(s3, 2)]
    copy_here(proxy, rows)
    edit_results(s3, WRONG_CLOCKS[name])
    proxy.seen.clear()
    copy_here(proxy, rows)
    assert {row.destination_key for row in rows} <= {request.key for request in proxy.seen if request.kind == GET}


def test_a_line_about_a_held_record_proves_a_copy_as_the_line_before_did(s3, proxy, copy_here):
    hide_md5s(proxy)
    rows = [row._replace(source_etag=opaque(row.source_etag)) for row in pictures(s3, 2)]
    copy_here(proxy, rows)
    hold(s3, rows[0])
    copy_here(proxy, rows)
    hold(s3)
    proxy.seen.clear()
    assert copy_here(proxy, rows).stdout.startswith("copied 0   already present 2 ")
    assert not proxy.counted("patients/1")


# --- copies whose answer is no proof ---------------------------------------------------------------------------------


OTHER_KEYS = [
    ("x-amz-server-side-encryption", "aws:kms"),
    ("x-amz-server-side-encryption", "aws:kms:dsse"),
    ("x-amz-server-side-encryption-customer-algorithm", "AES256"),
]


def test_a_copy_that_is_encrypted_with_other_keys_is_checked(s3, proxy, copy_here):
    rows = pictures(s3, len(OTHER_KEYS))
    headers = dict(zip((row.destination_key for row in rows), OTHER_KEYS, strict=True))
    proxy.change = lambda request, reply: (
        reply._replace(headers=[*reply.headers, headers[request.key]]) if request.key in headers else reply
    )
    assert copy_here(proxy, rows).returncode == 0
    assert set(outcomes(s3).values()) == {"copied"}
    assert proxy.counted() == {COPY: 3, HEAD: 3, GET: 3}


def test_a_copy_with_s3s_own_key_is_proved_by_its_etag(s3, proxy, copy_here):
    row = picture(s3, 1)
    proxy.change = lambda request, reply: Reply(
        reply.status, [*reply.headers, ("x-amz-server-side-encryption", "AES256")], reply.body
    )
    assert copy_here(proxy, [row]).returncode == 0
    assert proxy.counted() == {COPY: 1}


def test_a_copy_of_other_bytes_is_not_verified(s3, proxy, copy_here):
    """The store reports the copy, but the destination then holds other bytes of the same size."""
    row, multipart = picture(s3, 1), None
    etag = upload_in_parts(s3, f"{DUMP}2.tif", [b"a" * 5 * MIB, b"b"])
    multipart = row_of(s3, f"{DUMP}2.tif", "patients/2.tif", etag, 5 * MIB + 1)

    def spoil(request: Any, reply: Reply) -> Reply:
        if request.kind == COPY and request.key in (row.destination_key, multipart.destination_key):
            upload(s3, request.key, body(s3, request.key).swapcase())
            content = re.sub(rb"[0-9a-f]{32}(-\d+)?", hashlib.md5(b"PICTURE 1").hexdigest().encode(), reply.body)
            return Reply(reply.status, reply.headers, content)
        return reply

    proxy.change = spoil
    assert copy_here(proxy, [row, multipart]).returncode == 1
    assert {(line["outcome"], line["error"]) for line in results(s3)} == {("failed", "CopyDiffers")}


def test_an_object_in_parts_is_read_and_compared_once_and_known_afterwards(s3, proxy, copy_here):
    etag = upload_in_parts(s3, f"{DUMP}1.tif", [b"a" * 5 * MIB, b"b"])
    row = row_of(s3, f"{DUMP}1.tif", "patients/1.tif", etag, 5 * MIB + 1)
    assert copy_here(proxy, [row]).returncode == 0
    assert proxy.counted() == {COPY: 1, HEAD: 1, GET: 1}
    read = [request.key for request in proxy.seen if request.kind == GET]
    assert read.count(row.source_key) == 2, "once to test the permission, once to compare"
    assert body(s3, row.destination_key) == body(s3, row.source_key)
    proxy.seen.clear()
    assert copy_here(proxy, [row]).returncode == 0
    assert not proxy.counted()


def test_a_listing_that_is_never_complete_ends_the_run_before_any_copy(s3, proxy, copy_here):
    proxy.change = lambda request, reply: reply if request.kind != LIST else Reply(200, reply.headers, b"<List")
    assert "S3 answered 500" in only_line(copy_here(proxy, pictures(s3, 1)))
    assert not proxy.copies
