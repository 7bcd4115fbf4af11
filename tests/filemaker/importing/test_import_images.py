"""Which picture of a record comes into the dump, under which name, and what is left alone there."""

import pytest

from tests.support.copying import count_versions, keep_versions, objects
from tests.support.importing import BEST_FIRST, DUMP, JPEG, dump, jpeg, marked, newest, pictures, record, results, use
from tests.support.proxy import PUT, Closed


def upload(s3, name: str, content: bytes) -> None:
    s3.client.put_object(Bucket=s3.bucket, Key=DUMP + name, Body=content)


# --- the best container ----------------------------------------------------------------------------------------------


def test_each_record_gets_its_largest_picture_and_the_containers_are_counted(server, s3, import_here):
    images = {name: jpeg(number) for number, name in enumerate(BEST_FIRST)}
    waterfall = [dict(list(images.items())[first:]) for first in range(5)]
    use(server, [record(number + 1, {**has, "Recovered": jpeg(99)}) for number, has in enumerate(waterfall)])
    run = import_here()
    assert run.returncode == 0, run
    assert dump(s3) == {f"{number + 1}.jpg": images[name] for number, name in enumerate(BEST_FIRST)}
    assert sorted((line["recid"], line["container"]) for line in results(s3)) == [
        (str(number), name) for number, name in enumerate(BEST_FIRST, 1)
    ]
    for name in BEST_FIRST:
        assert f"  {name:<16}       1   20.0%\n" in run.stdout
    assert marked(server) == {1, 2, 3, 4, 5}


def test_imported_is_ignored_and_marked_records_are_left_alone(server, s3, import_here):
    use(server, [record(1, imported="1"), record(2, NexusExportDate="01/02/2024"), record(3, imported="0")])
    run = import_here()
    assert run.returncode == 0
    assert "3 records: 1 marked, 2 to import\n" in run.stdout
    assert dump(s3).keys() == {"1.jpg", "3.jpg"}


@pytest.mark.parametrize(
    ("containers", "outcome"),
    [
        ({}, ("no_image", "no", "")),
        ({"Recovered": JPEG}, ("no_image", "no", "")),
        ({"image_Full": "?", "image_small": JPEG}, ("failed", "no", "ContainerUnreadable")),
        ({"image_Full": "imagemac:/Volumes/a.jpg", "image_small": JPEG}, ("failed", "no", "StoredByReference")),
        ({"image_Full": "image:a.jpg\rimagewin:/C:/a.jpg", "image_large": JPEG}, ("failed", "no", "StoredByReference")),
        ({"image_Full": b"", "image_small": JPEG}, ("failed", "no", "EmptyFile")),
        ({"image_Full": b"<!DOCTYPE html>\n<html>", "image_small": JPEG}, ("failed", "no", "WebPage")),
    ],
)
def test_nothing_smaller_is_taken_for_a_picture_that_cannot_be_had(server, s3, import_here, containers, outcome):
    use(server, [record(1, containers), record(2)])
    run = import_here()
    assert run.returncode == 1
    assert newest(s3) == {"1": outcome, "2": ("uploaded", "yes", "")}
    assert dump(s3).keys() == {"2.jpg"}
    assert marked(server) == {2}
    assert f"record 1: {outcome[0]} {outcome[2]}".rstrip() + "\n" in run.stdout


def test_a_picture_that_differs_from_filemakers_own_md5_is_not_uploaded(server, s3, import_here):
    use(server, [record(1, image_Full_MD5="0" * 32), record(2), record(3, image_Full_MD5="")], image_Full_MD5="text")
    assert import_here().returncode == 1
    assert newest(s3)["1"] == ("failed", "no", "MD5Differs")
    assert dump(s3).keys() == {"2.jpg", "3.jpg"}
    assert marked(server) == {2, 3}


# --- whose picture it is ---------------------------------------------------------------------------------------------


def test_a_record_number_that_is_not_unique_or_does_not_read_uploads_nothing(server, s3, import_here):
    texts = ["7", "7.0", "8", "8", "secret-name", "1.000", "", "9"]
    records = [record(number, recid=text) for number, text in enumerate(texts, 1)]
    records[3].fields["NexusExportDate"] = "01/02/2024"  # a marked record makes a number ambiguous, too
    use(server, records, recid="text")
    run = import_here()
    assert run.returncode == 1
    assert dump(s3).keys() == {"9.jpg"}
    found = {line["record_id"]: (line["recid"], line["outcome"], line["error"]) for line in results(s3)}
    duplicate, invalid = ("failed", "DuplicateRecid"), ("", "failed", "InvalidRecid")
    assert found == {
        "1001": ("7", *duplicate), "1002": ("7", *duplicate), "1003": ("8", *duplicate), "1005": invalid,
        "1006": invalid, "1007": invalid, "1008": ("9", "uploaded", ""),
    }  # fmt: skip
    assert "FileMaker's record id 1005: failed InvalidRecid\n" in run.stdout
    assert "secret-name" not in run.stdout + run.stderr


def test_without_the_field_recid_filemakers_record_id_is_the_number(server, s3, import_here):
    use(server, [record(55)], recid="")
    assert import_here().returncode == 0
    assert dump(s3) == {"1055.jpg": jpeg(55)}


def test_a_record_whose_number_changes_after_all_were_read_is_not_uploaded_under_the_old_one(server, s3, import_here):
    use(server, [record(1)])

    def renumber(method: str, path: str) -> None:
        if path.endswith("/records"):
            server.records[1001].fields["recid"] = "2"
            server.records[1001].mod_id += 1

    server.faults.on_call = renumber
    assert import_here().returncode == 1
    assert dump(s3) == {}
    assert newest(s3) == {"1": ("failed", "no", "RecidChanged")}


# --- its type --------------------------------------------------------------------------------------------------------

TYPES = {
    JPEG: ("jpg", "image/jpeg"),
    b"\x89PNG\r\n\x1a\n": ("png", "image/png"),
    b"II*\0": ("tif", "image/tiff"),
    b"MM\0*": ("tif", "image/tiff"),
    b"\0\0\0\x18ftypheic\0\0\0\0mif1heic": ("heic", "image/heic"),
    b"\0\0\0\x18ftypheix\0\0\0\0mif1heix": ("heic", "image/heic"),
    b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic": ("heic", "image/heic"),
    b"%PDF-1.7\n": ("pdf", "application/pdf"),
    b"notes of nobody": ("bin", "application/octet-stream"),
}


def test_the_leading_bytes_show_the_type_whatever_the_server_calls_the_file(server, s3, import_here):
    use(server, [record(number, {"image_large": head + bytes(300)}) for number, head in enumerate(TYPES, 1)])
    run = import_here()
    assert run.returncode == 0
    expected = {f"{number}.{extension}": media for number, (extension, media) in enumerate(TYPES.values(), 1)}
    found = objects(s3, DUMP)
    assert {key.removeprefix(DUMP) for key in found} == expected.keys()
    for name, media in expected.items():
        assert s3.client.head_object(Bucket=s3.bucket, Key=DUMP + name)["ContentType"] == media
    assert "1 files are of no known type and are named .bin: records 9\n" in run.stdout


def test_a_file_that_arrives_in_small_parts_gets_the_same_type(server, s3, import_here, monkeypatch):
    """A chunked answer can begin with a part of a few bytes."""
    monkeypatch.setattr("linkage.filemaker.data_api.containers.CHUNK", 3)
    use(server, [record(1, {"image_Full": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(300)})])
    assert import_here().returncode == 0
    assert dump(s3).keys() == {"1.heic"}


def test_a_large_file_goes_by_way_of_a_temporary_one(server, s3, import_here, monkeypatch):
    monkeypatch.setattr("linkage.filemaker.importing.record.IN_MEMORY", 100)
    use(server, pictures(3))
    assert import_here().returncode == 0
    assert len(dump(s3)) == 3


# --- what is in the dump already -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "there",
    [
        {"228.jpg": b"other bytes"},
        {"228.png": b"other bytes"},
        {"228.JPG": b"other bytes"},
        {"228.jpg": jpeg(228), "228.png": b"other bytes"},
        {"228.jpg": jpeg(228), "228.jpeg": jpeg(228)},
    ],
)
def test_another_object_of_the_record_is_a_conflict(server, s3, import_here, there):
    for name, content in there.items():
        upload(s3, name, content)
    use(server, [record(228)])
    run = import_here()
    assert run.returncode == 1
    assert dump(s3) == there
    assert newest(s3) == {"228": ("conflict", "no", "")}
    assert not marked(server)
    assert "record 228: conflict, " in run.stdout


def test_an_object_that_comes_while_the_picture_is_uploaded_is_a_conflict(server, s3, proxy, import_here):
    def overtake(request):
        if request.kind == PUT:
            upload(s3, "228.jpg", b"other bytes")

    use(server, [record(228)])
    proxy.rule = overtake
    assert import_here(AWS_ENDPOINT_URL_S3=proxy.endpoint).returncode == 1
    assert dump(s3) == {"228.jpg": b"other bytes"}
    assert newest(s3) == {"228": ("conflict", "no", "")}
    assert not marked(server)


def test_other_names_are_not_the_records(server, s3, import_here):
    others = dict.fromkeys(("228_thumb.jpg", "0228.jpg", "sub/228.jpg", "228.1.jpg", "228.x/1.jpg", "2280.jpg"), b"-")
    for name, content in others.items():
        upload(s3, name, content)
    use(server, [record(228)])
    assert import_here().returncode == 0
    assert dump(s3) == {**others, "228.jpg": jpeg(228)}


def test_a_dump_that_the_clinics_own_script_has_filled_is_never_uploaded_again(server, s3, proxy, import_here):
    """In parts, or under names of its own: the bytes count."""
    keep_versions(s3)
    records = pictures(6)
    use(server, records)
    names = ["1.jpg", "2.JPG", "3.jpeg", "4.JPEG", "5.jpg", "6.jpg"]
    contents = [next(iter(one.containers.values())) for one in records]
    for name, content in zip(names[:5], contents, strict=False):
        upload(s3, name, content)
    multipart = s3.client.create_multipart_upload(Bucket=s3.bucket, Key=f"{DUMP}6.jpg")
    target = {"Bucket": s3.bucket, "Key": f"{DUMP}6.jpg", "UploadId": multipart["UploadId"]}
    part = s3.client.upload_part(**target, PartNumber=1, Body=contents[5])
    s3.client.complete_multipart_upload(**target, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
    run = import_here(AWS_ENDPOINT_URL_S3=proxy.endpoint)
    assert run.returncode == 0
    assert set(newest(s3).values()) == {("already_present", "yes", "")}
    assert {line["recid"]: line["key"] for line in results(s3)} == {name[0]: DUMP + name for name in names}
    assert marked(server) == {1, 2, 3, 4, 5, 6}
    assert not [request for request in proxy.seen if request.method not in ("GET", "HEAD")]
    assert set(count_versions(s3, DUMP).values()) == {1}


def test_after_a_lost_answer_the_picture_is_there_once(server, s3, proxy, import_here):
    keep_versions(s3)
    use(server, pictures(3))
    lost: list[str] = []

    def lose(request):
        if request.kind == PUT and request.key not in lost:
            lost.append(request.key)
            return Closed(done=True)
        return None

    proxy.rule = lose
    assert import_here(AWS_ENDPOINT_URL_S3=proxy.endpoint).returncode == 0
    assert len(lost) == 3
    assert set(count_versions(s3, DUMP).values()) == {1}
    assert marked(server) == {1, 2, 3}
