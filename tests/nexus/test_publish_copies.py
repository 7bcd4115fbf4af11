"""Which images are published: those whose copy is verified, that the store still shows, and that nobody holds back."""

import pytest

from linkage.copying import present
from linkage.s3.clients import s3_client
from linkage.s3.listing import list_objects
from tests.support.publishing import assert_unusable, counted
from tests.support.warehouses import content, image, md5, result

# The newest outcome of each destination


COPIES = {
    "copied": ([{}], True),
    "already present": ([{"outcome": "already_present"}], True),
    "no result": ([], False),
    "another key": ([{"destination_key": "patients/other.jpg"}], False),
    "another ETag": ([{"source_etag": "f" * 32}], False),
    "another bucket": ([{"destination_bucket": "elsewhere"}], False),
    "another size": ([{"size": 1}], False),
    "no size": ([{"size": ""}], False),
    "failed": ([{"outcome": "failed"}], False),
    "conflict": ([{"outcome": "conflict"}], False),
    "source changed": ([{"outcome": "source_changed"}], False),
    "an unknown outcome": ([{"outcome": "Copied"}], False),
    "failed, then copied": ([{"outcome": "failed"}, {}], True),
    "copied, then conflict": ([{}, {"outcome": "conflict"}], False),
    "failed, then copied while a clock went back": ([{"outcome": "failed"}, {"recorded_at": "2026-01-01"}], True),
    "copied, then failed while a clock went back": ([{}, {"outcome": "failed", "recorded_at": "2026-01-01"}], False),
    "copied at ten, then conflict at one minute to": (
        [{"recorded_at": "2026-01-02T10:00:00Z"}, {"recorded_at": "2026-01-02T09:59:00Z", "outcome": "conflict"}],
        False,
    ),
    "copied, then failed for another object": ([{}, {"outcome": "failed", "source_etag": "f" * 32}], False),
    "another object copied, then this one": ([{"source_etag": "f" * 32}, {}], True),
    "failed elsewhere later": ([{}, {"outcome": "failed", "destination_key": "patients/other.jpg"}], True),
}


def test_only_images_whose_copy_is_verified_are_published_and_only_their_batches(clinic):
    here = clinic("plan")
    rows = [image(n, 1, f"2016-10-{n:02}") for n in range(1, len(COPIES) + 1)]
    # one more image in a batch that is published, and one in a batch that is not
    rows += [image(90, 1, "2016-10-01"), image(91, 1, "2016-10-03")]
    results = [
        result(row, **values) for row, (outcomes, _) in zip(rows, COPIES.values(), strict=False) for values in outcomes
    ]
    verified = [n for n, (_, is_verified) in enumerate(COPIES.values(), 1) if is_verified]
    here.build(rows, results=results)
    output = here.published()
    assert here.record_numbers() == verified
    assert counted(output) == {"image batches": (len(verified), 0), "images": (len(verified), 0)}
    assert here.table("batches").keys() == {row["batch_id"] for row in rows if row["recid"] in verified}
    waiting = len(rows) - len(verified)
    assert f"\n{waiting} linked images have no verified copy yet: publish again after the next copy run\n" in output

    here.build(rows)
    output = here.published()
    assert here.record_numbers() == sorted(row["recid"] for row in rows)
    assert counted(output)["images"] == (waiting, len(verified))
    assert "verified copy" not in output


def results_file(here):
    return here.folder / "copy_results.csv"


def test_a_results_file_with_a_bom_and_other_line_ends_is_read_in_the_same_order(clinic):
    here = clinic("plan")
    rows = [image(1), image(2)]
    here.build(rows, results=[result(rows[0]), result(rows[1]), result(rows[1], outcome="conflict")])
    lines = results_file(here).read_bytes().replace(b"\n", b"\r\n")
    results_file(here).write_bytes(b"\xef\xbb\xbf" + lines)
    here.published()
    assert here.record_numbers() == [1]


@pytest.mark.parametrize("cut", [1, 60])
def test_a_last_result_that_is_cut_off_is_left_out_with_a_word(clinic, cut):
    here = clinic("plan")
    rows = [image(1), image(2, 2)]
    here.build(rows)
    results_file(here).write_bytes(results_file(here).read_bytes()[:-cut])
    done = here.publish()
    assert (done.returncode, done.stderr.count("\n")) == (0, 1)
    assert "copy_results.csv: the last line is cut off" in done.stderr
    assert here.record_numbers() == [1]


# What the store shows now


GONE = (
    "error: {} images are not inserted: their copies are no longer in the store as they were verified; "
    "run the copier again\n"
)


def test_nothing_is_inserted_after_the_copies_were_removed(clinic):
    here = clinic("plan")
    rows = [image(recid) for recid in range(1, 4)]
    here.build(rows)
    here.copies.delete(rows)
    before = here.everything()
    for options in ([], ["--dry-run"]):
        done = here.publish(*options)
        assert (done.returncode, done.stderr) == (1, GONE.format(3))
        assert counted(done.stdout)["images"] == (0, 0)
    assert here.everything() == before
    assert not (here.folder / "publish_results.csv").exists()
    here.copies.put(rows)
    here.published()
    assert here.record_numbers() == [1, 2, 3]


def other_bytes(copies, row):
    copies.write(row["s3_key"], content(row)[::-1])


def shorter(copies, row):
    copies.write(row["s3_key"], content(row)[:-1])


def longer_name(copies, row):
    copies.delete([row])
    copies.write(f"{row['s3_key']}.bak", content(row))


CHANGES = (other_bytes, shorter, longer_name)


@pytest.mark.parametrize("looked_up", [present.LOOKED_UP, 1])
def test_only_images_whose_copy_is_as_it_was_verified_are_inserted_and_only_their_batches(
    clinic, monkeypatch, looked_up
):
    monkeypatch.setattr(present, "LOOKED_UP", looked_up)
    here = clinic("plan")
    rows = [image(recid, 1, f"2016-11-{recid:02}") for recid in range(1, 21)]
    here.build(rows)
    for change, row in zip(CHANGES, rows, strict=False):
        change(here.copies, row)
    done = here.publish()
    assert (done.returncode, done.stderr) == (1, GONE.format(len(CHANGES)))
    assert counted(done.stdout) == {"image batches": (17, 0), "images": (17, 0)}
    assert here.record_numbers() == list(range(4, 21))
    assert "no verified copy yet" not in done.stdout


def test_copies_in_an_order_that_is_not_the_stores_are_found(clinic, monkeypatch):
    def pages_of_one(client, bucket, prefix, after, until):
        for page in list_objects(client, bucket, prefix, after):
            for found in page:
                yield [found]
                if until and found.key > until:
                    return

    monkeypatch.setattr(present, "LOOKED_UP", 1)
    monkeypatch.setattr(present, "list_objects", pages_of_one)
    here = clinic("plan")
    # SeaweedFS lists what is in the folder `a/` before `a!` and `a b`
    keys = [f"order/{name}" for name in ("a!", "a b", "a/1", "a/2", "a/b/c", "a.jpg", "b", "ä", "€", "z+1", "z%201")]
    rows = [image(recid, s3_key=key) for recid, key in enumerate(keys, 1)]
    here.build(rows)
    here.published()
    assert here.record_numbers() == list(range(1, len(keys) + 1))


def test_an_etag_counts_as_it_was_verified_even_if_it_is_not_the_originals(clinic):
    here = clinic("plan")
    rows = [image(1, source_etag="0" * 32 + "-2"), image(2)]
    here.build(rows, results=[result(rows[0]), result(rows[1], destination_etag="0" * 32)])
    assert here.publish().returncode == 1
    assert here.record_numbers() == [1]
    assert md5(content(rows[0])) != rows[0]["source_etag"]


UNLISTABLE = {
    "no such bucket": ({}, {"destination_bucket": "not-there"}, "the bucket 'not-there' does not exist"),
    "wrong keys": ({"AWS_SECRET_ACCESS_KEY": "x"}, {}, "S3 rejected these credentials"),
    "no keys": ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, {}, "no S3 credentials found"),
    "no answer": ({"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1"}, {}, "cannot be reached"),
}


def test_nothing_is_inserted_if_the_store_does_not_list_the_copies(clinic, monkeypatch):
    monkeypatch.setattr(present, "retrying_client", lambda: s3_client(retries={"total_max_attempts": 1}))
    here = clinic("plan")
    for environment, values, said in UNLISTABLE.values():
        here.build([image(1), image(2, **values)])
        for options in ([], ["--dry-run"]):
            assert_unusable(here.publish(*options, **environment), said)
    assert not here.table("images")


def test_without_recorded_copies_no_store_is_asked(clinic):
    here = clinic("plan")
    here.build([image(1)], results=[])
    assert here.publish(AWS_ENDPOINT_URL_S3="http://127.0.0.1:1").returncode == 0


# What a person holds back


def test_what_is_held_back_since_the_build_is_not_published(clinic):
    here = clinic("plan")
    rows = [image(recid, 1, f"2016-10-{recid:02}") for recid in range(1, 5)]
    here.build(rows, held=["2", "3.0", "999"])
    output = here.published()
    assert here.record_numbers() == [1, 4]
    assert here.table("batches").keys() == {rows[0]["batch_id"], rows[3]["batch_id"]}
    assert "\n2 linked images are held back in held_images.csv, and are not inserted\n" in output
    assert "verified copy" not in output
    here.build(rows, held=["2"])
    here.published()
    assert here.record_numbers() == [1, 3, 4]


HELD = {
    "a word": ("recid,held_by,held_on\n2,A,\nrecord 3,A,\n", "line 3 has no record number"),
    "another separator": ("recid;held_by;held_on\n2;A;\n", "has no column recid"),
    "another character set": ("recid,held_by,held_on\n2,Zo\xeb,\n", "line 2 is not UTF-8"),
}


def test_nothing_is_published_if_the_list_of_what_is_held_back_cannot_be_read(clinic):
    here = clinic("plan")
    for text, said in HELD.values():
        here.build([image(1)])
        (here.folder / "held_images.csv").write_text(text, encoding="latin-1")
        assert_unusable(here.publish(), said)
    assert not here.table("images")
