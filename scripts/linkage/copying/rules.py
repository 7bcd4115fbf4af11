"""What a copy is, and what became of it: the rules for one object."""

from typing import Any, NamedTuple

from botocore.exceptions import ClientError

from linkage.copying.manifest import ManifestRow
from linkage.s3.answers import Answer, is_encrypted
from linkage.s3.objects import MD5, digest, etag, full_checksums, head, status

DONE = ("copied", "already_present")
HELD_BACK = "held_back"
LARGEST_COPY = 5 * 1024**3  # bytes that S3 copies with one CopyObject
NOT_IMPLEMENTED = 501
TRANSIENT_CODES = {"SlowDown", "RequestTimeout", "Throttling", "ThrottlingException"}
ARCHIVED = "InvalidObjectState"
SIZE_DIFFERS = "SourceSizeDiffers"
TOO_LARGE = "EntityTooLarge"


class Outcome(NamedTuple):
    """What became of one row: an outcome (see docs/copying.md), and S3's error code; ETag without quotation marks."""

    outcome: str
    destination_etag: str = ""
    error: str = ""


class Store(NamedTuple):
    """A store to read from: a boto3 client that never retries by itself, and whether ETags there are MD5s."""

    client: Any
    etags_tell: bool = True


class SourceDiffers(Exception):
    """The source is no longer the one in the manifest; the message is the outcome."""


def copy_parameters(row: ManifestRow) -> dict[str, Any]:
    """The only write to a destination, as parameters of boto3's `copy_object`."""
    return {
        "Bucket": row.destination_bucket,
        "Key": row.destination_key,
        "CopySource": {"Bucket": row.source_bucket, "Key": row.source_key},
        "MetadataDirective": "COPY",
        "TaggingDirective": "COPY",
        "AnnotationDirective": "EXCLUDE",
        **copy_conditions(row),
    }


def copy_conditions(row: ManifestRow) -> dict[str, str]:
    """What makes a copy safe: nothing may be at the destination, and the source must be the manifest's version."""
    return {"IfNoneMatch": "*", "CopySourceIfMatch": f'"{row.source_etag}"'}


def is_proof(answer: Answer, row: ManifestRow, store: Store) -> bool:
    """Whether S3's answer to a copy proves that the manifest's bytes are there: its ETag is their MD5.

    It also proves the size, provided that the source is known to have the manifest's.
    """
    return (
        store.etags_tell
        and answer.etag == row.source_etag
        and MD5.fullmatch(answer.etag) is not None
        and not answer.encrypted
    )


def is_transient(answer: Answer) -> bool:
    """Whether a retry may succeed: no answer, S3's own error, too many requests, a race, a change while reading.

    A refusal without a code of S3's is the error document of a proxy, and so no answer of S3's.
    """
    if answer.status >= 500:
        return answer.status != NOT_IMPLEMENTED
    if answer.status in (403, 407) and answer.code == str(answer.status):
        return True
    return answer.status in (0, 409, 412, 429) or answer.code in TRANSIENT_CODES


def is_refusal(answer: Answer) -> bool:
    """Whether S3 refuses this object to this caller; an archived object would be refused to everybody."""
    return answer.status == 403 and answer.code != ARCHIVED


def verify(store: Store, row: ManifestRow) -> Outcome:
    """The outcome of a row that S3 says it has copied."""
    destination = head(store.client, row.destination_bucket, row.destination_key)
    if destination is None:
        return Outcome("failed", error="CopyNotFound")
    try:
        same = has_manifest_etag(store, row, destination) or same_bytes(store, row, destination)
    except SourceDiffers:
        return Outcome("failed", etag(destination), "SourceChangedBeforeVerification")
    return Outcome("copied", etag(destination)) if same else Outcome("failed", etag(destination), "CopyDiffers")


def outcome_without_copy(store: Store, row: ManifestRow) -> Outcome | None:
    """The outcome of a row that need not or must not be copied now, the destination checked first; else None."""
    destination = head(store.client, row.destination_bucket, row.destination_key)
    try:
        if destination is None:
            source = manifest_source(store, row)
            return None if source["ContentLength"] == row.source_size else Outcome("failed", error=SIZE_DIFFERS)
        outcome = "already_present" if same_bytes(store, row, destination) else "conflict"
    except SourceDiffers as difference:
        outcome = str(difference)
    return Outcome(outcome, etag(destination) if destination else "")


def same_bytes(store: Store, row: ManifestRow, destination: dict[str, Any]) -> bool:
    """Whether the destination holds the manifest's bytes: equal in size, and by full checksums, ETags or SHA-256.

    Raises SourceDiffers if only the source could prove it, and it is gone or has changed.
    """
    if destination["ContentLength"] != row.source_size:
        return False
    try:
        source = manifest_source(store, row)
    except SourceDiffers:
        if has_manifest_etag(store, row, destination):
            return True
        raise
    here, there = full_checksums(source), full_checksums(destination)
    if common := here.keys() & there.keys():
        return all(here[algorithm] == there[algorithm] for algorithm in common)
    if not is_encrypted(source) and has_manifest_etag(store, row, destination):
        return True
    return digest(store.client, row.destination_bucket, row.destination_key, etag(destination)) == source_digest(
        store, row
    )


def has_manifest_etag(store: Store, row: ManifestRow, destination: dict[str, Any]) -> bool:
    """Whether size and ETag are the manifest's, and the ETag is one that shows what the bytes are."""
    tells = store.etags_tell and MD5.fullmatch(row.source_etag) and not is_encrypted(destination)
    return bool(tells) and destination["ContentLength"] == row.source_size and etag(destination) == row.source_etag


def manifest_source(store: Store, row: ManifestRow) -> dict[str, Any]:
    """The source's HEAD; raises SourceDiffers if it is not the version in the manifest."""
    source = head(store.client, row.source_bucket, row.source_key)
    if source is None:
        raise SourceDiffers("source_missing")
    if etag(source) != row.source_etag:
        raise SourceDiffers("source_changed")
    return source


def source_digest(store: Store, row: ManifestRow) -> bytes:
    """The SHA-256 of the manifest's version of the source; raises SourceDiffers if it is another one."""
    try:
        return digest(store.client, row.source_bucket, row.source_key, row.source_etag)
    except ClientError as error:
        if status(error) in (404, 412):
            raise SourceDiffers("source_missing" if status(error) == 404 else "source_changed") from None
        raise
