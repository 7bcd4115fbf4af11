"""What S3 says about one object: its ETag and checksums, and the digest of its bytes."""

import hashlib
import re
from contextlib import closing
from typing import Any

from botocore.exceptions import ClientError

CHUNK = 1024 * 1024  # bytes
MD5 = re.compile("[0-9a-f]{32}")


def digest(client: Any, bucket: str, key: str, expected_etag: str) -> bytes:
    """The SHA-256 of the object with this ETag, read as a stream."""
    sha256 = hashlib.sha256()
    with closing(client.get_object(Bucket=bucket, Key=key, IfMatch=f'"{expected_etag}"')["Body"]) as body:
        for chunk in body.iter_chunks(CHUNK):
            sha256.update(chunk)
    return sha256.digest()


def head(client: Any, bucket: str, key: str) -> dict[str, Any] | None:
    """What S3 says about an object, checksums included; None if it does not exist."""
    try:
        return client.head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")
    except ClientError as error:
        if status(error) == 404:
            return None
        if status(error) in (400, 403):  # the answer to a HEAD has no body that says why; that to a GET has one
            client.get_object(Bucket=bucket, Key=key, Range="bytes=0-0")["Body"].close()
        raise


def etag(found: dict[str, Any]) -> str:
    """The ETag in S3's answer, without quotation marks."""
    return found.get("ETag", "").strip('"')


def full_checksums(found: dict[str, Any]) -> dict[str, str]:
    """The checksums of the whole object by algorithm; composite ones depend on how it was divided into parts."""
    if found.get("ChecksumType") != "FULL_OBJECT":
        return {}
    return {name: value for name, value in found.items() if name.startswith("Checksum") and name != "ChecksumType"}


def status(error: ClientError) -> int:
    """The HTTP status of S3's answer."""
    return error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
