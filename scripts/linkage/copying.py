"""Copying one object of the manifest: all that this project ever writes to S3 (§9 of the contract)."""

import hashlib
import random
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any, NamedTuple

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
)
from botocore.parsers import ResponseParserError

from linkage.manifest import ManifestRow

ATTEMPTS = 5
FIRST_PAUSE = 0.2  # seconds; doubled before each further attempt
CHUNK = 1024 * 1024
TRANSIENT_ERRORS = (ConnectionError, HTTPClientError, IncompleteReadError, FlexibleChecksumError, ResponseParserError)
TRANSIENT_CODES = {"SlowDown", "RequestTimeout", "Throttling", "ThrottlingException"}
NOT_IMPLEMENTED = 501
CUSTOMER_KEYS = {"aws:kms", "aws:kms:dsse"}


class Outcome(NamedTuple):
    """What became of one row: an outcome of §9, after so many attempts; no etag has quote marks."""

    outcome: str
    destination_etag: str = ""
    error: str = ""
    attempts: int = 0


class SourceDiffers(Exception):
    """The source is not the manifest's any more; the message is the outcome that says how."""


def copy_object_row(client: Any, row: ManifestRow) -> Outcome:
    """Copy one object, unless something stands at its destination, and verify the copy.

    `client` must not retry by itself: `attempts` counts every try.
    """
    written = False

    def attempt() -> Outcome | None:
        nonlocal written
        written = written or write_copy(client, row)
        return verify(client, row) if written else find_obstacle(client, row)

    return until_decided(attempt)


def preview_object_row(client: Any, row: ManifestRow) -> Outcome:
    """What `copy_object_row` would do now, found by reading alone; `copied` stands for "would copy"."""
    return until_decided(lambda: find_obstacle(client, row) or Outcome("copied"))


def copy_conditions(row: ManifestRow) -> dict[str, str]:
    """What makes a copy safe: only where nothing is, and only the version that the manifest names."""
    return {"IfNoneMatch": "*", "CopySourceIfMatch": f'"{row.source_etag}"'}


def write_copy(client: Any, row: ManifestRow) -> bool:
    """The only write there is. False where S3 refused it: a condition does not hold, or there is no source."""
    try:
        client.copy_object(
            Bucket=row.destination_bucket,
            Key=row.destination_key,
            CopySource={"Bucket": row.source_bucket, "Key": row.source_key},
            MetadataDirective="COPY",
            TaggingDirective="COPY",
            AnnotationDirective="EXCLUDE",
            **copy_conditions(row),
        )
    except ClientError as error:
        if status(error) in (404, 412):
            return False
        raise
    return True


def verify(client: Any, row: ManifestRow) -> Outcome:
    """The outcome of a row whose copy S3 has answered to be there."""
    destination = head(client, row.destination_bucket, row.destination_key)
    if destination is None:
        return Outcome("failed", error="CopyNotFound")
    try:
        same = has_manifest_etag(destination, row) or same_bytes(client, row, destination)
    except SourceDiffers:
        return Outcome("failed", etag(destination), "SourceChangedBeforeVerification")
    return Outcome("copied", etag(destination)) if same else Outcome("failed", etag(destination), "CopyDiffers")


def find_obstacle(client: Any, row: ManifestRow) -> Outcome | None:
    """Why this row cannot be copied now, the destination looked at first; None where nothing stands in the way."""
    destination = head(client, row.destination_bucket, row.destination_key)
    try:
        if destination is None:
            source = manifest_source(client, row)
            return None if source["ContentLength"] == row.source_size else Outcome("failed", error="SourceSizeDiffers")
        outcome = "already_present" if same_bytes(client, row, destination) else "conflict"
    except SourceDiffers as difference:
        outcome = str(difference)
    return Outcome(outcome, etag(destination) if destination else "")


def same_bytes(client: Any, row: ManifestRow, destination: dict[str, Any]) -> bool:
    """Whether the destination holds the manifest's bytes, by the rule of §9.

    Raises SourceDiffers where only the source could tell, and it has gone or changed.
    """
    if destination["ContentLength"] != row.source_size:
        return False
    try:
        source = manifest_source(client, row)
    except SourceDiffers:
        if has_manifest_etag(destination, row):
            return True
        raise
    here, there = full_checksums(source), full_checksums(destination)
    if common := here.keys() & there.keys():
        return all(here[algorithm] == there[algorithm] for algorithm in common)
    if not is_encrypted(source) and has_manifest_etag(destination, row):
        return True
    return digest(client, row.destination_bucket, row.destination_key, etag(destination)) == source_digest(client, row)


def has_manifest_etag(destination: dict[str, Any], row: ManifestRow) -> bool:
    """Whether size and etag are the manifest's, and the etag is one that tells the bytes."""
    tells = "-" not in row.source_etag and not is_encrypted(destination)
    return tells and destination["ContentLength"] == row.source_size and etag(destination) == row.source_etag


def manifest_source(client: Any, row: ManifestRow) -> dict[str, Any]:
    """The source's HEAD; raises SourceDiffers where it is not the version that the manifest names."""
    source = head(client, row.source_bucket, row.source_key)
    if source is None:
        raise SourceDiffers("source_missing")
    if etag(source) != row.source_etag:
        raise SourceDiffers("source_changed")
    return source


def source_digest(client: Any, row: ManifestRow) -> bytes:
    """The SHA-256 of the manifest's version of the source; raises SourceDiffers where it is not that one."""
    try:
        return digest(client, row.source_bucket, row.source_key, row.source_etag)
    except ClientError as error:
        if status(error) in (404, 412):
            raise SourceDiffers("source_missing" if status(error) == 404 else "source_changed") from None
        raise


def digest(client: Any, bucket: str, key: str, expected_etag: str) -> bytes:
    """The SHA-256 of the object with this etag, read as a stream."""
    sha256 = hashlib.sha256()
    with closing(client.get_object(Bucket=bucket, Key=key, IfMatch=f'"{expected_etag}"')["Body"]) as body:
        for chunk in body.iter_chunks(CHUNK):
            sha256.update(chunk)
    return sha256.digest()


def head(client: Any, bucket: str, key: str) -> dict[str, Any] | None:
    """What S3 says about an object, checksums included; None where there is none."""
    try:
        return client.head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")
    except ClientError as error:
        if status(error) == 404:
            return None
        raise


def etag(found: dict[str, Any]) -> str:
    """The etag in S3's answer, without quote marks."""
    return found.get("ETag", "").strip('"')


def full_checksums(found: dict[str, Any]) -> dict[str, str]:
    """The checksums of the whole object by algorithm; those composed of its parts' depend on the parts."""
    if found.get("ChecksumType") != "FULL_OBJECT":
        return {}
    return {name: value for name, value in found.items() if name.startswith("Checksum") and name != "ChecksumType"}


def is_encrypted(found: dict[str, Any]) -> bool:
    """Whether the object is encrypted in a way that takes its etag's meaning."""
    return found.get("ServerSideEncryption") in CUSTOMER_KEYS or "SSECustomerAlgorithm" in found


def until_decided(attempt: Callable[[], Outcome | None]) -> Outcome:
    """Call `attempt` until it gives an outcome, ATTEMPTS times at most, with growing pauses.

    None and errors that may pass are tried again; any other error is `failed` at once.
    """
    error_name = ""
    for number in range(1, ATTEMPTS + 1):
        if number > 1:
            time.sleep(random.uniform(0.5, 1) * FIRST_PAUSE * 2 ** (number - 2))
        try:
            outcome = attempt()
        except ClientError as error:
            error_name = error_code(error)
            if not is_transient(error):
                return Outcome("failed", error=error_name, attempts=number)
        except TRANSIENT_ERRORS as error:
            error_name = type(error).__name__
        except BotoCoreError as error:
            return Outcome("failed", error=type(error).__name__, attempts=number)
        else:
            if outcome is not None:
                return outcome._replace(attempts=number)
            error_name = "CopyRefused"
    return Outcome("failed", error=error_name, attempts=ATTEMPTS)


def is_transient(error: ClientError) -> bool:
    """Whether S3's refusal may pass: its own trouble, too many requests, a race, or a change while reading."""
    if status(error) >= 500:
        return status(error) != NOT_IMPLEMENTED
    return status(error) in (409, 412, 429) or error_code(error) in TRANSIENT_CODES


def status(error: ClientError) -> int:
    """The HTTP status of S3's answer."""
    return error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)


def error_code(error: ClientError) -> str:
    """S3's own code for what went wrong, such as AccessDenied; a HEAD's answer has its status alone."""
    return error.response.get("Error", {}).get("Code", "") or str(status(error))
