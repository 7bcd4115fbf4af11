"""Thumbnails of the store's pictures: small, upright, without metadata, each made once and kept."""

import hashlib
import io
import os
import re
import shutil
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext, suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

import pillow_heif
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ProxyConnectionError,
    SSLError,
)
from PIL import ExifTags, Image, ImageCms, ImageOps

from linkage.errors import UnusableInput
from linkage.files import FULL, make_temporary
from linkage.progress import progress
from linkage.s3.clients import s3_client
from linkage.s3.errors import SDK_CREDENTIAL_ERRORS, about_the_caller, explain, explain_sdk, metadata, s3_errors

LONGEST_SIDE = 320  # pixels
QUALITY = 80  # of JPEG
EDITION = 1  # of how thumbnails are made: if it changes, all are made again
MOST_BYTES = 200_000_000
MOST_PIXELS = 89_000_000  # above it Pillow begins to warn of a picture that is made to fill the memory
# Of pictures with more than this, one is in memory at a time.
LARGE_BYTES, LARGE_PIXELS = 16_000_000, 24_000_000
READERS = 10  # threads, as many as a client of boto3 keeps connections
DECODERS = min(4, os.cpu_count() or 1)  # of them at once; Pillow does not hold Python's lock while it decodes
MOST_FAULTS = 20  # in a row
# About ten seconds in all: what cannot be read now is tried again by the next run.
RETRIES = {"mode": "standard", "total_max_attempts": 5}
READ_ATTEMPTS = 3  # of an object whose bytes break off, which the client does not retry

PDF, VIDEO, UNREADABLE, UNDECODABLE, TOO_LARGE, ARCHIVED = (
    "pdf", "video", "cannot be read", "cannot be decoded", "too large", "archived",
)  # fmt: skip
VIDEOS = {"mov", "qt", "mp4", "m4v", "mpg", "mpeg", "mpe", "3gp", "3g2", "avi", "wmv", "mkv", "webm", "mts"}
# What browsers and phones write. Pillow knows many more, one of which starts another program (EPS).
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "HEIF", "AVIF")
MD5 = re.compile("[0-9a-f]{32}")
KEPT = re.compile(
    rf"(?P<id>[0-9a-f]{{32}}|[0-9a-f]{{64}})\.{EDITION}\."
    r"(?:(?P<width>[0-9]+)x(?P<height>[0-9]+)\.jpg|(?P<reason>cannot-be-decoded|too-large))"
)
END_OF_JPEG = b"\xff\xd9"
# About credentials, settings or the network, not about one object.
OF_THE_CALLER = (
    *SDK_CREDENTIAL_ERRORS, EndpointConnectionError, ConnectTimeoutError, ProxyConnectionError, SSLError,
)  # fmt: skip

pillow_heif.register_heif_opener()
warnings.filterwarnings("ignore", module="PIL")  # about damaged files, and pictures that are too large


class Source(NamedTuple):
    """An object of the store, as it was listed: size in bytes, ETag without quotation marks, extension of its key."""

    bucket: str
    key: str
    etag: str
    size: int
    extension: str


class Thumbnail(NamedTuple):
    """A JPEG file; its name says nothing of the object's key. Width and height are in pixels."""

    name: str
    width: int
    height: int


REJECTED, REFUSED, UNANSWERED = "rejected", "refused", "unanswered"
Result = Thumbnail | str  # or the reason why there is none: PDF, VIDEO, UNREADABLE, UNDECODABLE, TOO_LARGE or ARCHIVED


class Fault(NamedTuple):
    """Why an object could not be read, if it may be about the caller: a sentence, and the kind of fault."""

    sentence: str
    kind: str  # REJECTED: the credentials or the clock; REFUSED: perhaps only this object; UNANSWERED: neither is known


def make_thumbnails(
    sources: Iterable[Source], cache: Path, folder: Path, *, read: Callable[[Source], bool]
) -> dict[Source, Result]:
    """Put a thumbnail of every source into `folder`; returns it, or the reason why there is none, for each source.

    A source for which `read` is false is not read; it is in the result only if it is known already.

    A thumbnail is upright, in sRGB, at most 320 pixels wide and high, and has no metadata; of an animation or a file of
    several pages it shows the first. It is kept in `cache` (0700, like `folder`, and both are made if they are
    missing), also what cannot be decoded, so that nothing is read twice, whenever a run ends. Bytes whose ETag is their
    MD5 are kept once wherever they are; others once for each object. Progress is shown on stderr.

    Objects are read with several threads and boto3's own settings, `If-Match` their ETag. What cannot be read, because
    it is missing, refused or has changed since it was listed, is that object's result, and is tried again next time.

    Raises UnusableInput if the store cannot be reached or rejects the credentials; if S3 refuses 20 objects of a bucket
    in a row, and none was read before; if 20 in a row get no answer or, although some were read, are refused because of
    the credentials; and if the cache cannot be written.
    """
    prepare(cache)
    found: dict[Source, Result] = {}
    to_read: dict[str, dict[Source, None]] = {}  # by the first id, each once and in order
    kept = kept_names(cache)
    for source in sources:
        if source in found:
            continue
        result = result_without_reading(source, cache, kept)
        if result:
            found[source] = result
        elif read(source):
            to_read.setdefault(ids(source)[0], {})[source] = None
    if to_read:
        found.update(read_all([list(group) for group in to_read.values()], cache))
    put_into(folder, cache, {result.name for result in found.values() if isinstance(result, Thumbnail)})
    return found


def prepare(cache: Path) -> None:
    """Make the cache, with a folder in it for what is not whole yet. Raises UnusableInput if that is not possible."""
    try:
        for folder in (cache, cache / "new"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise UnusableInput(f"cannot create {cache}: {error.strerror}; check who may write there") from None


def ids(source: Source) -> tuple[str, ...]:
    """The ids under which the cache may have a source: its ETag if it looks like an MD5, and a digest of its place.

    The first is used only for bytes that have this MD5: what else a store may give as an ETag need not be unique, and
    then another patient's picture would be shown.
    """
    etag = source.etag.lower()
    place = hashlib.sha256("\0".join((source.bucket, source.key, source.etag)).encode(errors="surrogatepass"))
    return (etag, place.hexdigest()) if MD5.fullmatch(etag) else (place.hexdigest(),)


def kept_names(cache: Path) -> dict[str, re.Match[str]]:
    """The names of what the cache has, by id."""
    found = map(KEPT.fullmatch, os.listdir(cache))  # noqa: PTH208 (the names)
    return {match["id"]: match for match in found if match}


def is_whole(path: Path) -> bool:
    """Whether a JPEG file has its end, which a power cut may have taken."""
    with path.open("rb", buffering=0) as file, suppress(OSError):  # it may be shorter than two bytes
        file.seek(-len(END_OF_JPEG), os.SEEK_END)
        return file.read() == END_OF_JPEG
    return False


def result_without_reading(source: Source, cache: Path, kept: dict[str, re.Match[str]]) -> Result | None:
    """What is known of a source by its extension, its size or the cache."""
    extension = source.extension.lower()
    if extension == PDF or extension in VIDEOS:
        return PDF if extension == PDF else VIDEO
    if source.size > MOST_BYTES:
        return TOO_LARGE
    for name in filter(None, map(kept.get, ids(source))):
        if name["reason"]:
            return name["reason"].replace("-", " ")
        if is_whole(cache / name[0]):
            return Thumbnail(name[0], int(name["width"]), int(name["height"]))
    return None


# --- reading ---------------------------------------------------------------------------------------------------------


def read_all(groups: list[list[Source]], cache: Path) -> Iterator[tuple[Source, Result]]:
    """Read every source, of those with one ETag only as many as needed, and keep their thumbnails.

    The threads do not keep Python from ending, so that Ctrl-C does not wait for an answer.
    """
    with s3_errors(groups[0][0].bucket):
        # the SDK assembles its own user agent for each request, which takes a quarter of the time
        client = s3_client(connect_timeout=5, read_timeout=30, retries=RETRIES, user_agent="image-linkage")
    begun: SimpleQueue[list[Source]] = SimpleQueue()
    for group in groups:
        begun.put(group)
    done: SimpleQueue[list[tuple[Source, Result | Fault]] | BaseException] = SimpleQueue()
    stop, large, decoding = threading.Event(), threading.RLock(), threading.Semaphore(DECODERS)

    def work() -> None:
        with suppress(Empty):
            while not stop.is_set():
                group = begun.get_nowait()
                try:
                    done.put(list(read_group(client, group, cache, large, decoding)))
                except BaseException as error:
                    done.put(error)

    faults: Counter[str] = Counter()
    readable: set[str] = set()
    try:
        for _ in range(min(READERS, len(groups))):
            threading.Thread(target=work, daemon=True).start()
        with progress(len(groups)) as advance:
            for _ in groups:
                results = done.get()
                if isinstance(results, OSError):
                    remedy = "make room and run again" if results.errno in FULL else "check who may write there"
                    raise UnusableInput(f"cannot write to {cache}: {results.strerror}; {remedy}")
                if isinstance(results, BaseException):
                    raise results
                for source, result in results:
                    if isinstance(result, Fault):
                        faults[source.bucket] += 1
                        most = 1 if result.kind == REJECTED and source.bucket not in readable else MOST_FAULTS
                        theirs = result.kind == REFUSED and source.bucket in readable
                        if faults[source.bucket] >= most and not theirs:
                            raise UnusableInput(result.sentence)
                        yield source, UNREADABLE
                    else:
                        faults[source.bucket] = 0
                        readable.add(source.bucket)
                        yield source, result
                advance(1)
    finally:
        stop.set()


def read_group(
    client: Any, group: list[Source], cache: Path, large: threading.RLock, decoding: threading.Semaphore
) -> Iterator[tuple[Source, Result | Fault]]:
    """Read sources with the same ETag until one has bytes with that MD5, which are the bytes of the others, too."""
    of_all: Result | None = None
    for source in group:
        result: Result | Fault | bytes
        with large if source.size > LARGE_BYTES else nullcontext():
            if of_all is None:
                result = read_object(client, source)
                if isinstance(result, bytes):
                    is_md5 = hashlib.md5(result, usedforsecurity=False).hexdigest() == source.etag.lower()
                    result = keep(cache, ids(source)[0 if is_md5 else -1], thumbnail_of(result, large, decoding))
                    of_all = result if is_md5 else None
            else:
                result = of_all
        yield source, result


def read_object(client: Any, source: Source) -> bytes | Fault | str:
    """An object's bytes, if it is still the one that was listed; else the reason, or the fault, for which it is not.

    Raises UnusableInput if the store cannot be reached, or there are no credentials.
    """
    fault = Fault("", UNANSWERED)
    for _ in range(READ_ATTEMPTS):
        try:
            found = client.get_object(Bucket=source.bucket, Key=source.key, IfMatch=f'"{source.etag}"')
            if found["ETag"].strip('"') == source.etag and found["ContentLength"] <= MOST_BYTES:
                return bytes(found["Body"].read())
            found["Body"].close()
            return UNREADABLE  # it has changed, in a store that does not know If-Match
        except ClientError as error:
            return answered(error, source.bucket)
        except OF_THE_CALLER as error:
            raise UnusableInput(explain_sdk(error, source.bucket)) from None
        except Exception as error:  # whatever the SDK says of one object's answer
            fault = Fault(explain_sdk(error, source.bucket), UNANSWERED)
    return fault


def answered(error: ClientError, bucket: str) -> str | Fault:
    """What S3's answer in place of an object means."""
    status, _ = metadata(error.response)
    code = error.response.get("Error", {}).get("Code", "")
    if code == "InvalidObjectState":
        return ARCHIVED
    if status == 412 or (status == 404 and code != "NoSuchBucket"):
        return UNREADABLE
    kind = REJECTED if about_the_caller(code, status) else REFUSED if status < 500 else UNANSWERED
    return Fault(explain(error, bucket), kind)


def keep(cache: Path, name: str, made: tuple[Image.Image, bytes] | str) -> Result:
    """Keep a thumbnail, or the reason why there is none, in the cache under this id. Raises OSError."""
    if made == UNREADABLE:
        return UNREADABLE
    if isinstance(made, str):
        write(cache, f"{name}.{EDITION}.{made.replace(' ', '-')}", b"")
        return made
    picture, content = made
    thumbnail = Thumbnail(f"{name}.{EDITION}.{picture.width}x{picture.height}.jpg", *picture.size)
    write(cache, thumbnail.name, content)
    return thumbnail


def write(cache: Path, name: str, content: bytes) -> None:
    """Write a file of the cache (0600), which appears whole or not at all."""
    descriptor, temporary = make_temporary(cache / "new" / "thumbnail")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            temporary.replace(cache / name)  # while it is open, for only then is it locked
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def put_into(folder: Path, cache: Path, names: Iterable[str]) -> None:
    """Put these files of the cache into a folder, as hard links where the file system has them."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in names:
        target = folder / name
        try:
            target.hardlink_to(cache / name)
        except FileExistsError:
            continue
        except OSError:
            target.touch(mode=0o600)
            shutil.copyfile(cache / name, target)


# --- decoding --------------------------------------------------------------------------------------------------------


def thumbnail_of(
    content: bytes, large: threading.RLock, decoding: threading.Semaphore
) -> tuple[Image.Image, bytes] | str:
    """The thumbnail of a file's bytes, and it as a JPEG; or the reason why there is none."""
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            pixels = image.width * image.height
            if pixels > MOST_PIXELS:
                return TOO_LARGE
            with large if pixels > LARGE_PIXELS else nullcontext(), decoding:
                picture = small_picture(image)
                file = io.BytesIO()
                picture.save(file, "JPEG", quality=QUALITY)
                return picture, file.getvalue()
    except Image.DecompressionBombError:
        return TOO_LARGE
    except MemoryError:
        return UNREADABLE  # on this machine, today
    except Exception:  # whatever a decoder says of a damaged file
        return UNDECODABLE


def small_picture(image: Image.Image) -> Image.Image:
    """A picture's first frame as a new RGB picture, which has none of its metadata."""
    profile = image.info.get("icc_profile")
    reduced = in_eight_bits(image)
    # Has libjpeg decode no more than it needs. Pillow's own filter, bicubic, takes half as long again.
    reduced.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.HAMMING)
    small = Image.new("RGB", reduced.size, "white")
    small.paste(in_srgb(reduced, profile), mask=reduced.getchannel("A") if reduced.mode == "RGBA" else None)
    with suppress(Exception):  # a picture with damaged EXIF stays as it is
        # After decoding: Pillow turns TIFF and HEIC by itself, and then no longer has the orientation.
        orientation = image.getexif().get(ExifTags.Base.Orientation)
        if orientation:
            small.getexif()[ExifTags.Base.Orientation] = orientation
            ImageOps.exif_transpose(small, in_place=True)
    return small


def in_eight_bits(image: Image.Image) -> Image.Image:
    """The picture in a mode that can be made smaller: L, RGB, RGBA or CMYK."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        # 32 bits may be of any range, such as that of a heat camera
        low, high = image.getextrema() if image.mode in ("I", "F") else (0, 65535)
        scale = 255 / max(high - low, 1e-9)  # type: ignore[operator]
        numbers = image if image.mode == "F" else image.convert("I").convert("F")
        return numbers.point(lambda value: value * scale - low * scale).convert("L")  # type: ignore[operator]
    if image.has_transparency_data:
        return image.convert("RGBA")
    return image if image.mode in ("L", "RGB", "CMYK") else image.convert("RGB")


def in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """The picture with its colours in sRGB, if it has a profile that can be used."""
    plain = image.convert("RGB") if image.mode == "RGBA" else image
    if profile:
        with suppress(ImageCms.PyCMSError, OSError, ValueError, TypeError):
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(plain, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
            if converted:
                return converted
    return plain.convert("RGB")
