"""Thumbnails of real files on a real S3 server; what cannot be shown is said, and stops nothing else."""

import io
import os
import re
import signal
import stat
import struct
import subprocess
import sys
import threading
import time
import zlib
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import ExifTags, Image, ImageCms

from linkage.errors import UnusableInput
from linkage.paths import PROJECT_ROOT
from linkage.review import pictures
from linkage.review.pictures import KEPT, Source, Thumbnail
from linkage.s3.clients import s3_client
from sandbox.s3_server import client, free_ports
from tests.support.proxy import GET, Closed, Reply, error
from tests.support.servers import S3

pillow_heif.register_heif_opener()
DUMP = "filemaker-import/images-bulk-dump/"
RED, GREEN, BLUE, WHITE, BLACK = (250, 0, 0), (0, 250, 0), (0, 0, 250), (255, 255, 255), (0, 0, 0)
# How an upright picture is stored under each EXIF orientation: the opposite of what a viewer does.
STORED = dict(zip(range(2, 9), map(Image.Transpose, (0, 3, 1, 5, 2, 6, 4)), strict=True))
SECRETS = (b"Mary Smith", b"-37.8136")


def make_thumbnails(sources, cache, folder, read=lambda _: True):
    return pictures.make_thumbnails(sources, cache, folder, read=read)


def board(width=640, height=480):
    """A picture whose four corners are red, green, blue and black, in reading order."""
    picture = Image.new("RGB", (width, height), RED)
    for colour, corner in ((GREEN, (1, 0)), (BLUE, (0, 1)), (BLACK, (1, 1))):
        picture.paste(colour, (corner[0] * width // 2, corner[1] * height // 2, width, height // (2 - corner[1])))
    return picture


def encoded(picture, file_format, **options):
    file = io.BytesIO()
    picture.save(file, file_format, **options)
    return file.getvalue()


def oriented(file_format, orientation):
    """The board as a file that a viewer has to turn."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    stored = board().transpose(STORED[orientation]) if orientation in STORED else board()
    return encoded(stored, file_format, exif=exif.tobytes())  # bytes: pillow-heif then stores a rotation, as phones do


def corners(picture):
    """The colours of the four corners, in reading order."""
    width, height = picture.size
    return [picture.getpixel((width * x // 4, height * y // 4)) for y in (1, 3) for x in (1, 3)]


def is_like(picture, *expected):
    return all(
        abs(one - other) < 40
        for colours in zip(corners(picture), expected, strict=True)
        for one, other in zip(*colours, strict=True)
    )


def with_metadata():
    """A JPEG with a place, names, a comment, a colour profile, XMP and a thumbnail of its own."""
    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = "Mary Smith"
    exif[ExifTags.Base.Orientation] = 3
    exif.get_ifd(ExifTags.IFD.GPSInfo).update({1: "S", 2: (37.0, 48.0, 49.0), 29: "-37.8136"})
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    metadata = {"exif": exif, "comment": b"Mary Smith", "icc_profile": profile, "xmp": b"<x>Mary Smith</x>"}
    return encoded(board().transpose(STORED[3]), "JPEG", dpi=(300, 300), **metadata)


def swapped_profile():
    """A colour profile in which red means green: its first two colourants have changed names."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile.replace(b"rXYZ", b"?XYZ").replace(b"gXYZ", b"rXYZ").replace(b"?XYZ", b"gXYZ")


def png_bomb(side):
    """A PNG of side x side pixels in few bytes."""

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    pack = zlib.compressobj(1)
    line = bytes(side // 8 + 2)
    lines = b"".join(pack.compress(line) for _ in range(side)) + pack.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", lines) + chunk(b"IEND", b"")


def ramp(dtype):
    """A picture in grey, of numbers that need more than eight bits: black at the left, white at the right."""
    return Image.fromarray(np.tile(np.linspace(0, 65535, 640), (480, 1)).astype(dtype))


def with_alpha(mode):
    """The board, its red and black quarters transparent."""
    alpha = Image.new("L", (640, 480), 0)
    alpha.paste(255, (320, 0, 640, 240))
    alpha.paste(255, (0, 240, 320, 480))
    picture = board()
    picture.putalpha(alpha)
    return picture if mode == "RGBA" else picture.convert(mode)


def animation():
    return {"save_all": True, "append_images": [Image.new("RGB", (640, 480), WHITE)] * 2}


BOARD = (RED, GREEN, BLUE, BLACK)
GREY = [(64,) * 3, (191,) * 3] * 2
JPEG = encoded(board(), "JPEG")
DECODED = {
    "plain.jpg": (JPEG, BOARD),
    "progressive.JPEG": (encoded(board(), "JPEG", progressive=True), BOARD),
    "cmyk.jpg": (encoded(board().convert("CMYK"), "JPEG"), BOARD),
    "metadata.jpg": (with_metadata(), BOARD),
    "profile.jpg": (encoded(board(), "JPEG", icc_profile=swapped_profile()), (GREEN, RED, BLUE, BLACK)),
    "profile of nothing.jpg": (encoded(board(), "JPEG", icc_profile=b"no profile"), BOARD),
    "damaged exif.jpg": (encoded(board(), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff"), BOARD),
    "phone.HEIC": (encoded(board(), "HEIF"), BOARD),
    "rgba.png": (encoded(with_alpha("RGBA"), "PNG"), (WHITE, GREEN, BLUE, WHITE)),
    "grey and alpha.png": (encoded(with_alpha("LA"), "PNG"), (WHITE, (147,) * 3, (29,) * 3, WHITE)),
    "palette.png": (encoded(with_alpha("RGBA").quantize(8), "PNG"), (WHITE, GREEN, BLUE, WHITE)),
    "sixteen bits.png": (encoded(ramp("uint16"), "PNG"), GREY),
    "bits.png": (encoded(board().convert("1", dither=Image.Dither.NONE), "PNG"), (BLACK, WHITE, BLACK, BLACK)),
    "floats.tif": (encoded(ramp("float32"), "TIFF"), GREY),
    "pages.tiff": (encoded(board(), "TIFF", compression="tiff_lzw", **animation()), BOARD),
    "animated.gif": (encoded(board(), "GIF", **animation()), BOARD),
    "animated.webp": (encoded(board(), "WEBP", **animation()), BOARD),
    "bitmap.bmp": (encoded(board(), "BMP"), BOARD),
    "name says jpg.jpg": (encoded(board(), "PNG"), BOARD),
    **{
        f"{orientation}.{file_format.lower()}": (oriented(file_format, orientation), BOARD)
        for file_format in ("JPEG", "PNG", "TIFF", "WEBP", "HEIF")
        for orientation in range(1, 9)
    },
}
NOT_DECODED = {
    "truncated.jpg": (JPEG[: len(JPEG) // 2], "cannot be decoded"),
    "text.jpg": (b"Mary Smith, left foot", "cannot be decoded"),
    "empty.jpg": (b"", "cannot be decoded"),
    "of a kind that no browser shows.jpg": (encoded(board(), "PPM"), "cannot be decoded"),
    "bomb.png": (png_bomb(30_000), "too large"),
    "smaller bomb.png": (png_bomb(10_000), "too large"),
    "paper.pdf": (b"%PDF-1.4", "pdf"),
    "gait.MOV": (b"\0\0\0\x14ftypqt  ", "video"),
}


def put(s3, name, body):
    """Put an object into the dump; the source that a listing would give."""
    etag = s3.client.put_object(Bucket=s3.bucket, Key=DUMP + name, Body=body)["ETag"].strip('"')
    return Source(s3.bucket, DUMP + name, etag, len(body), name.rpartition(".")[2])


def photograph(number):
    """A small JPEG, different for each number."""
    return encoded(Image.new("RGB", (20, 10), (number, 0, 0)), "JPEG", comment=b"%d" % number)


@pytest.fixture(scope="module")
def made(s3_environment, tmp_path_factory):
    """Every file above: its source and result by name, and the folder with the thumbnails."""
    server = S3(client(s3_environment), "", s3_environment)
    store = S3(server.client, server.new_bucket(), s3_environment)
    folder = tmp_path_factory.mktemp("pictures")
    sources = {name: put(store, name, body) for name, (body, _) in (DECODED | NOT_DECODED).items()}
    with pytest.MonkeyPatch.context() as patch:
        set_environment(patch, s3_environment)
        found = make_thumbnails(sources.values(), folder / "cache", folder / "site")
    return {name: found[source] for name, source in sources.items()}, folder


def set_environment(patch, environment):
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        patch.delenv(name)
    for name, value in environment.items():
        patch.setenv(name, value)


@pytest.fixture
def here(s3, monkeypatch):
    set_environment(monkeypatch, s3.environment)


@pytest.fixture
def through(proxy, monkeypatch):
    """The proxy, which this process uses without retries."""
    set_environment(monkeypatch, proxy.environment | {"AWS_ENDPOINT_URL_S3": proxy.endpoint})
    without_retries(monkeypatch)
    return proxy


def without_retries(monkeypatch):
    monkeypatch.setattr(pictures, "s3_client", lambda **_: s3_client(retries={"total_max_attempts": 1}))


def opened(result, folder):
    assert isinstance(result, Thumbnail)
    with Image.open(folder / result.name) as picture:
        picture.load()
        assert (picture.format, picture.mode, picture.size) == ("JPEG", "RGB", result[1:])
        return picture


@pytest.mark.parametrize("name", DECODED)
def test_a_thumbnail_is_upright_in_rgb_on_white_and_320_pixels_wide(made, name):
    results, folder = made
    picture = opened(results[name], folder / "site")
    assert picture.size == (320, 240)
    assert is_like(picture, *DECODED[name][1]), corners(picture)


@pytest.mark.parametrize("name", NOT_DECODED)
def test_what_cannot_be_shown_has_a_reason(made, name):
    assert made[0][name] == NOT_DECODED[name][1]


def test_no_metadata_of_the_picture_remains(made):
    assert all(secret in DECODED["metadata.jpg"][0] for secret in SECRETS)
    results, folder = made
    for result in results.values():
        if isinstance(result, Thumbnail):
            content = (folder / "site" / result.name).read_bytes()
            assert set(segments(content)) <= {0xE0, 0xDB, 0xC0, 0xC4, 0xDA}  # no EXIF, ICC, XMP or comment
            assert not any(secret in content for secret in SECRETS)


def segments(content):
    """The markers of a JPEG up to its pixels; its only APP0 is JFIF's, without a thumbnail."""
    place = 2
    while content[place + 1] != 0xDA:
        if content[place + 1] == 0xE0:
            assert content[place + 4 : place + 9] == b"JFIF\0"
            assert content[place + 16 : place + 18] == b"\0\0"
        yield content[place + 1]
        place += 2 + int.from_bytes(content[place + 2 : place + 4])


def test_files_are_private_and_their_names_say_nothing(made):
    results, folder = made
    for place in (folder / "cache", folder / "cache" / "new", folder / "site"):
        assert stat.S_IMODE(place.stat().st_mode) == 0o700
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert all(KEPT.fullmatch(path.name) and stat.S_IMODE(path.stat().st_mode) == 0o600 for path in files)
    shown = {result.name for result in results.values() if isinstance(result, Thumbnail)}
    assert {path.name for path in (folder / "site").iterdir()} == shown


def test_a_small_picture_is_not_enlarged_and_a_long_one_stays_in_proportion(s3, here, tmp_path):
    sources = [put(s3, "1.jpg", encoded(board(100, 50), "JPEG")), put(s3, "2.png", encoded(board(64, 3200), "PNG"))]
    found = make_thumbnails(sources, tmp_path / "cache", tmp_path / "site")
    assert [found[source][1:] for source in sources] == [(100, 50), (6, 320)]


def test_what_is_kept_is_not_read_again_but_what_could_not_be_read_is(s3, through, tmp_path):
    cache = tmp_path / "cache"
    good, copy, bad, gone = (
        put(s3, name, body)
        for name, body in (("1.jpg", JPEG), ("2.jpg", JPEG), ("3.jpg", b"text"), ("4.jpg", photograph(4)))
    )
    movie, paper = put(s3, "5.mov", b"movie"), put(s3, "6.PDF", b"paper")
    huge = Source(s3.bucket, f"{DUMP}7.tif", "0" * 32, 200_000_001, "tif")
    s3.client.delete_object(Bucket=s3.bucket, Key=gone.key)
    sources = [good, copy, good, bad, gone, movie, paper, huge]
    first = make_thumbnails(sources, cache, tmp_path / "first")
    assert through.counted(DUMP) == {GET: 3}  # equal bytes once, and no film
    opened(first[good], tmp_path / "first")
    assert first == {
        good: first[good],
        copy: first[good],
        bad: "cannot be decoded",
        gone: "cannot be read",
        movie: "video",
        paper: "pdf",
        huge: "too large",
    }
    through.begin()
    put(s3, "4.jpg", photograph(4))
    second = make_thumbnails(sources, cache, tmp_path / "second")
    assert [request.key for request in through.seen] == [gone.key]
    assert isinstance(second.pop(gone), Thumbnail)
    assert second == {source: result for source, result in first.items() if source != gone}
    through.begin(lambda request: Closed())
    assert make_thumbnails(sources, cache, tmp_path / "third").keys() == first.keys()  # needs no store any more
    opened(first[good], tmp_path / "third")


def test_what_is_not_to_be_read_is_shown_only_if_it_is_known(s3, through, tmp_path):
    kept, wanted, other = (put(s3, f"{number}.jpg", photograph(number)) for number in range(3))
    make_thumbnails([kept], tmp_path / "cache", tmp_path / "first")
    through.begin()
    found = make_thumbnails([kept, wanted, other], tmp_path / "cache", tmp_path / "site", {wanted}.__contains__)
    assert found.keys() == {kept, wanted}
    assert [request.key for request in through.seen] == [wanted.key]


def test_a_thumbnail_that_a_power_cut_has_shortened_is_made_again(s3, here, tmp_path):
    source = put(s3, "1.jpg", JPEG)
    name = make_thumbnails([source], tmp_path / "cache", tmp_path / "first")[source].name
    for length in (0, 1, 500):
        with (tmp_path / "cache" / name).open("r+b") as file:
            file.truncate(length)
        make_thumbnails([source], tmp_path / "cache", tmp_path / str(length))
        opened(Thumbnail(name, 320, 240), tmp_path / str(length))


def test_without_hard_links_thumbnails_are_copied(s3, here, tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    source = put(s3, "1.jpg", JPEG)
    result = make_thumbnails([source], tmp_path / "cache", tmp_path / "site")[source]
    opened(result, tmp_path / "site")
    assert stat.S_IMODE((tmp_path / "site" / result.name).stat().st_mode) == 0o600


@pytest.mark.parametrize("knows_if_match", [True, False])
def test_an_object_that_has_changed_since_it_was_listed_is_not_shown(s3, through, tmp_path, knows_if_match):
    if not knows_if_match:
        through.translate = lambda headers: headers.pop("if-match")
    source = put(s3, "1.jpg", JPEG)
    put(s3, "1.jpg", photograph(1))
    assert make_thumbnails([source], tmp_path / "cache", tmp_path / "site") == {source: "cannot be read"}
    assert not list((tmp_path / "cache").glob("*.*"))


def test_an_etag_that_is_not_the_bytes_md5_never_shows_another_objects_picture(s3, through, tmp_path):
    through.translate = lambda headers: headers.pop("if-match")
    for etag in ("0" * 32, "weak-1"):  # of a store that gives all objects the same

        def changed(request, reply, etag=etag):
            headers = [(name, value) for name, value in reply.headers if name.lower() != "etag"]
            return Reply(reply.status, [*headers, ("ETag", f'"{etag}"')], reply.body)

        bodies = [photograph(50), photograph(200)]
        sources = [put(s3, f"{number}.jpg", body)._replace(etag=etag) for number, body in enumerate(bodies)]
        for _ in range(2):
            through.begin(change=changed)
            found = make_thumbnails(sources, tmp_path / "cache", tmp_path / "site")
            reds = [opened(found[source], tmp_path / "site").getpixel((5, 5))[0] for source in sources]
            assert [abs(red - number) < 9 for red, number in zip(reds, (50, 200), strict=True)] == [True, True]
        assert not through.seen  # kept, too


def answers(*replies):
    """A rule: the keys with these names get these answers."""
    by_name = dict(replies)
    return lambda request: by_name.get(request.key.removeprefix(DUMP))


def test_one_object_that_cannot_be_read_does_not_stop_the_others(s3, through, tmp_path):
    cut = []

    def half_twice(reply):
        cut.append(reply)
        return reply._replace(body=reply.body[:50], cut=True) if len(cut) < 3 else reply

    sources = {
        name: put(s3, name, JPEG + name.encode()) for name in ("1.jpg", "2.jpg", "3.jpg", "4.jpg", "5.jpg", "6.jpg")
    }
    through.begin(
        answers(
            ("1.jpg", error(403, "AccessDenied")),
            ("2.jpg", error(403, "InvalidObjectState")),
            ("3.jpg", error(500, "InternalError")),
            ("4.jpg", Closed(reset=True)),
            ("5.jpg", half_twice),
        )
    )
    found = make_thumbnails(sources.values(), tmp_path / "cache", tmp_path / "site")
    results = [found[sources[f"{number}.jpg"]] for number in range(1, 7)]
    assert results[:4] == ["cannot be read", "archived", "cannot be read", "cannot be read"]
    opened(results[4], tmp_path / "site")
    opened(results[5], tmp_path / "site")


@pytest.mark.parametrize(
    ("good", "reply", "saying"),
    [
        (0, error(403, "AccessDenied"), "S3 refuses GetObject for the bucket '{}' (AccessDenied)"),
        (0, error(404, "NoSuchBucket"), "the bucket '{}' does not exist"),
        (1, error(403, "AccessDenied"), ""),
        (0, error(403, "ExpiredToken"), "the temporary credentials have expired"),
        (1, error(403, "ExpiredToken"), "the temporary credentials have expired"),
        (1, error(503, "SlowDown"), "S3 answered SlowDown for the bucket '{}'"),
        (0, error(404, "NoSuchKey"), ""),
    ],
)
def test_faults_that_are_the_callers_end_the_run_and_twenty_in_a_row_that_may_be(
    s3, through, tmp_path, monkeypatch, good, reply, saying
):
    monkeypatch.setattr(pictures, "READERS", 1)  # one after the other
    sources = [put(s3, f"{number}.jpg", photograph(number)) for number in range(1, 22)]
    through.begin(lambda request: None if request.key == sources[0].key and good else reply)
    if saying:
        with pytest.raises(UnusableInput, match=re.escape(saying.format(s3.bucket))):
            make_thumbnails(sources, tmp_path / "cache", tmp_path / "site")
        rejected = saying.startswith("the temporary") and not good
        assert len(through.seen) - good - (1 if rejected else 20) in (0, 1)  # one may have begun meanwhile
        assert not (tmp_path / "site").exists()
    else:
        found = make_thumbnails(sources, tmp_path / "cache", tmp_path / "site")
        assert list(found.values())[good:] == ["cannot be read"] * (21 - good)


def test_without_a_store_or_credentials_one_sentence_says_so(s3, here, tmp_path, monkeypatch):
    source = put(s3, "Mary Smith.jpg", JPEG)
    without_retries(monkeypatch)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{free_ports(1)[0]}")
    with pytest.raises(UnusableInput, match=r"http://127\.0\.0\.1:\d+ cannot be reached; check AWS_ENDPOINT_URL_S3"):
        make_thumbnails([source], tmp_path / "cache", tmp_path / "site")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(UnusableInput, match="no S3 credentials found"):
        make_thumbnails([source], tmp_path / "cache", tmp_path / "site")


def test_a_full_disk_and_a_cache_that_cannot_be_made_are_one_sentence(s3, here, tmp_path, monkeypatch):
    source = put(s3, "1.jpg", JPEG)
    (tmp_path / "file").touch()
    with pytest.raises(UnusableInput, match=r"cannot create .*file/cache: Not a directory"):
        make_thumbnails([source], tmp_path / "file" / "cache", tmp_path / "site")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(UnusableInput, match=r"cannot write to .*cache: No space left on device; make room"):
        make_thumbnails([source], tmp_path / "cache", tmp_path / "site")
    assert not list((tmp_path / "cache" / "new").iterdir())


@pytest.mark.parametrize("limit", ["LARGE_BYTES", "LARGE_PIXELS"])
def test_of_large_pictures_one_is_in_memory_at_a_time(s3, through, tmp_path, monkeypatch, limit):
    monkeypatch.setattr(pictures, limit, 1)
    present, most = [], []
    small_picture, lock = pictures.small_picture, threading.Lock()

    def counting(image):
        with lock:
            present.append(image)
            most.append(len(present))
        time.sleep(0.02)
        with lock:
            present.remove(image)
        return small_picture(image)

    monkeypatch.setattr(pictures, "small_picture", counting)
    sources = [put(s3, f"{number}.jpg", photograph(number)) for number in range(8)]
    found = make_thumbnails(sources, tmp_path / "cache", tmp_path / "site")
    assert all(isinstance(result, Thumbnail) for result in found.values())
    assert set(most) == {1}
    assert limit == "LARGE_PIXELS" or through.most == 1


PROGRAM = """
import sys
from pathlib import Path
from linkage.review import pictures
from linkage.review.pictures import Source
from linkage.steps import run_script
def main():
    bucket, cache, folder, *objects = sys.argv[1:]
    sources = [Source(bucket, *one.split(" "), 1, "jpg") for one in objects]
    pictures.make_thumbnails(sources, Path(cache), Path(folder), read=lambda _: True)
run_script(main)
"""


def start(proxy, sources, tmp_path):
    """A process that makes the thumbnails of these sources."""
    return subprocess.Popen(
        [
            sys.executable, "-c", PROGRAM, sources[0].bucket, tmp_path / "cache", tmp_path / "site",
            *(f"{source.key} {source.etag}" for source in sources),
        ],
        env=proxy.environment | {"AWS_ENDPOINT_URL_S3": proxy.endpoint, "PYTHONPATH": str(PROJECT_ROOT / "scripts")},
        stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_is_interrupted_ends_at_once_and_the_next_one_goes_on(s3, through, tmp_path, how):
    sources = [put(s3, f"{number}.jpg", photograph(number)) for number in range(1, 13)]
    answered, waiting = threading.Semaphore(0), threading.Event()

    def some(request):
        answered.release()
        if int(Path(request.key).stem) > 6:
            waiting.wait(60)  # an answer that does not come
        return None

    through.begin(some)
    run = start(through, sources, tmp_path)
    for _ in sources:
        assert answered.acquire(timeout=30)
    while len(list((tmp_path / "cache").glob("*.jpg"))) < 6:
        time.sleep(0.01)
    run.send_signal(how)
    _, said = run.communicate(timeout=20)  # long before the answer
    waiting.set()
    assert (run.returncode, said) in ((-signal.SIGKILL, ""), (130, "stopped by Ctrl-C\n"))
    through.begin()
    make_thumbnails(sources, tmp_path / "cache", tmp_path / "site")
    assert sorted(int(Path(request.key).stem) for request in through.seen) == list(range(7, 13))
    assert not list((tmp_path / "cache" / "new").iterdir())


def test_nothing_is_printed_and_no_name_is_kept(s3, through, tmp_path):
    bodies = [png_bomb(10_000), JPEG[:500], *(DECODED[name][0] for name in ("damaged exif.jpg", "pages.tiff"))]
    bodies += [DECODED[name][0][:-9] for name in ("pages.tiff", "phone.HEIC", "animated.webp", "animated.gif")]
    # without blanks, which the program takes for the ETag's beginning
    sources = [put(s3, f"Mary_Smith_{number}.jpg", body) for number, body in enumerate(bodies)]
    run = start(through, sources, tmp_path)
    assert (run.communicate()[1], run.returncode) == ("", 0)
    names = {path.name for path in (tmp_path / "cache").iterdir()}
    assert {f"{sources[0].etag}.1.too-large", f"{sources[1].etag}.1.cannot-be-decoded"} < names
    assert not any("Mary" in name for name in names)
