"""The dump in S3, to which objects are only ever added."""

import re
import threading
from base64 import b64encode
from tempfile import SpooledTemporaryFile
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from linkage.errors import UnusableInput
from linkage.filemaker.data_api.containers import Picture
from linkage.filemaker.data_api.problems import NotNow, NotThisRecord
from linkage.filemaker.importing.outcomes import CONFLICT, PRESENT, UPLOADED
from linkage.s3.answers import is_encrypted
from linkage.s3.errors import s3_errors
from linkage.s3.listing import ListedObject, list_objects
from linkage.s3.objects import digest, etag, full_checksums, head, status

LARGEST = 5 * 1024**3  # bytes that S3 takes in one PutObject
PRECONDITION_FAILED, RACE, UNKNOWN = 412, 409, 404
REFUSED = (401, 403)


class Dump:
    """The objects of records in a bucket, named `{prefix}{recid}.{extension}`; for use by several threads.

    `client` retries by itself.
    """

    def __init__(self, client: Any, bucket: str, prefix: str) -> None:
        self.client, self.bucket, self.prefix = client, bucket, prefix
        self.tried = False
        self.unproved: set[int] = set()  # records written before the store's condition was tried
        self.trying = threading.Lock()

    def check(self) -> None:
        """Raise UnusableInput, within a minute, if these credentials do not list the dump."""
        next(list_objects(self.client, self.bucket, self.prefix), None)

    def objects(self, recid: int) -> list[ListedObject]:
        """The objects that belong to a record now; raises UnusableInput if S3 does not list them."""
        start = f"{self.prefix}{recid}."
        pages = list_objects(self.client, self.bucket, start)
        return [found for page in pages for found in page if re.fullmatch(r"[^/.]+", found.key.removeprefix(start))]

    def add(
        self, recid: int, picture: Picture, kind: tuple[str, str], file: "SpooledTemporaryFile[bytes]"
    ) -> tuple[str, str]:
        """Make sure that a record's picture, of this extension and media type, is in the dump; return outcome and key.

        Nothing is written if an object of the record is there, whatever its extension. What was written is verified.

        Raises NotNow or NotThisRecord if that cannot be done, and UnusableInput if S3 refuses it, or could overwrite.
        """
        extension, media_type = kind
        key = f"{self.prefix}{recid}.{extension}"
        try:
            if found := self.objects(recid):
                outcome = self.compare(found, picture)
                if outcome == PRESENT and recid in self.unproved:  # written in an earlier attempt, which then failed
                    self.try_condition(found[0].key, picture, media_type, file)
                return outcome, found[0].key
            if picture.size > LARGEST:
                raise NotThisRecord("EntityTooLarge")
            if not self.tried:
                self.unproved.add(recid)
            if not self.put(key, picture, media_type, file):
                return self.compare(self.objects(recid), picture), key
            if not self.holds(key, picture):
                raise NotThisRecord("UploadDiffers")
            self.try_condition(key, picture, media_type, file)
        except ClientError as error:
            if status(error) in REFUSED or status(error) == UNKNOWN:
                with s3_errors(self.bucket):
                    raise
            raise NotNow(error.response.get("Error", {}).get("Code") or "S3") from None
        except (BotoCoreError, ResponseParserError, OSError) as error:
            raise NotNow(type(error).__name__) from None
        return UPLOADED, key

    def compare(self, found: list[ListedObject], picture: Picture) -> str:
        """The outcome where objects of the record are there already."""
        if not found:
            raise NotNow("ObjectVanished")
        return PRESENT if len(found) == 1 and self.holds(found[0].key, picture) else CONFLICT

    def put(self, key: str, picture: Picture, media_type: str, file: "SpooledTemporaryFile[bytes]") -> bool:
        """Write an object unless the key is taken; return whether it was written. S3 verifies both checksums."""
        file.seek(0)
        try:
            self.client.put_object(
                Bucket=self.bucket,
                Key=key,
                Body=file,
                ContentLength=picture.size,
                ContentType=media_type,
                ContentMD5=b64encode(bytes.fromhex(picture.md5)).decode(),
                ChecksumSHA256=b64encode(bytes.fromhex(picture.sha256)).decode(),
                IfNoneMatch="*",
            )
        except ClientError as error:
            if status(error) == PRECONDITION_FAILED:
                return False
            raise
        return True

    def holds(self, key: str, picture: Picture) -> bool:
        """Whether an object has the picture's bytes, by its size, and by ETag, checksum, or else all of them."""
        found = head(self.client, self.bucket, key)
        if found is None:
            raise NotNow("ObjectVanished")
        if found["ContentLength"] != picture.size:
            return False
        sha256 = b64encode(bytes.fromhex(picture.sha256)).decode()
        if "ChecksumSHA256" in full_checksums(found):
            return bool(found["ChecksumSHA256"] == sha256)
        if etag(found) == picture.md5 and not is_encrypted(found):
            return True
        return digest(self.client, self.bucket, key, etag(found)).hex() == picture.sha256

    def try_condition(self, key: str, picture: Picture, media_type: str, file: "SpooledTemporaryFile[bytes]") -> None:
        """After the first upload of a run, try to write the same bytes again, which the store must refuse.

        Raises UnusableInput if it does not: then it could overwrite an original.
        """
        with self.trying:
            if not self.tried and self.put(key, picture, media_type, file):
                raise UnusableInput(
                    f"the store of the bucket '{self.bucket}' ignores If-None-Match, so that an original could be "
                    "overwritten; use a store that enforces it (AWS S3 and SeaweedFS do)"
                )
            self.tried = True
