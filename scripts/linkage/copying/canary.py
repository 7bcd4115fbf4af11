"""Before the first copy: does this store enforce what keeps copies safe, and may we read and write?"""

import hashlib
import random
import time
from collections.abc import Iterable
from queue import SimpleQueue
from typing import Any

from botocore.exceptions import ClientError

from linkage.copying.manifest import ManifestRow, Summary
from linkage.copying.rules import ARCHIVED, etag, head, is_refusal, is_transient, status
from linkage.errors import UnusableInput
from linkage.s3.answers import Answer, Parameters, Send
from linkage.s3.errors import s3_errors
from linkage.settings import project_var

CANARY = b"image-linkage tries on this object, before it copies, that nothing is ever overwritten. Leave it here.\n"
CANARY_NAME = "image-linkage-canary"
NO_ETAG = '"00000000000000000000000000000000"'
PRECONDITION_FAILED = 412
PAUSES = (0.2, 0.5, 1, 2, 4, 8)  # seconds before the further tries of one that got no proper answer


def canary_key() -> str:
    """The canary's key in every destination bucket: beside the patients' folders, where copies may be written."""
    folder, _, _ = project_var("destination_key_template").partition("{")
    return folder[: folder.rfind("/") + 1] + CANARY_NAME


def place_canaries(client: Any, summary: Summary) -> bool:
    """Put the canary into each destination bucket; whether the etags of what is written there are MD5s.

    Raises UnusableInput where the key lies in the dump or holds something else,
    and where S3 does not let us write.
    """
    key, buckets = canary_key(), set(summary.destination_prefixes)
    for bucket in sorted(buckets):
        if any(dump == bucket and key.startswith(prefix) for dump, prefix in summary.source_prefixes):
            raise UnusableInput(
                f"'{key}', on which the store is tried, would lie among the originals; set destination_key_template to "
                "the folder that the copies go to"
            )
        with s3_errors(bucket):
            write_canary(client, bucket, key)
    return etags_tell(client, buckets)


def check_store(send: Send, buckets: Iterable[str]) -> None:
    """Try each destination bucket on the canary that is there.

    The canary is copied onto itself only, under conditions that must each be
    refused; it is never removed, and a store that fails is left with it alone.

    Raises UnusableInput where a condition is not enforced.
    """
    for bucket in sorted(buckets):
        for name, condition in (("If-None-Match", "IfNoneMatch"), ("x-amz-copy-source-if-match", "CopySourceIfMatch")):
            value = "*" if condition == "IfNoneMatch" else NO_ETAG
            answer = try_copy(send, {**onto_itself(bucket, canary_key()), condition: value})
            if answer.status != PRECONDITION_FAILED:
                raise UnusableInput(unenforced(bucket, name, answer))


def write_canary(client: Any, bucket: str, key: str) -> None:
    """Put the canary there unless something is; raises UnusableInput where that is not the canary."""
    try:
        client.put_object(Bucket=bucket, Key=key, Body=CANARY, ContentType="text/plain", IfNoneMatch="*")
    except ClientError as error:
        if status(error) != PRECONDITION_FAILED:
            raise
    if client.get_object(Bucket=bucket, Key=key)["Body"].read() != CANARY:
        raise UnusableInput(
            f"'{key}' in the bucket '{bucket}' is not what image-linkage has put there; move that object elsewhere"
        )


def onto_itself(bucket: str, key: str) -> Parameters:
    """A copy of the canary onto itself, which S3 allows where metadata are replaced; it changes nothing."""
    return {
        "Bucket": bucket,
        "Key": key,
        "CopySource": {"Bucket": bucket, "Key": key},
        "MetadataDirective": "REPLACE",
        "ContentType": "text/plain",
    }


def try_copy(send: Send, parameters: Parameters) -> Answer:
    """The answer to one copy, after further tries where there was none."""
    answers: SimpleQueue[Answer] = SimpleQueue()
    for pause in (*PAUSES, None):
        send(parameters, len(CANARY), answers.put)
        answer = answers.get()
        if pause is None or answer.status == PRECONDITION_FAILED or not is_transient(answer):
            break
        time.sleep(random.uniform(0.5, 1) * pause)
    return answer


def unenforced(bucket: str, name: str, answer: Answer) -> str:
    """What to say about a store that did not refuse."""
    if answer.status == 200:
        return (
            f"the store of the bucket '{bucket}' ignores {name}, so that copies could overwrite or mix up images; "
            "use a store that enforces it (AWS S3 and SeaweedFS do)"
        )
    if is_refusal(answer):
        return f"S3 refused these credentials for a copy in the bucket '{bucket}' ({answer.code}); see what they may do"
    return f"the store of the bucket '{bucket}' answered {answer.code} to a copy with {name}; see whether it knows it"


def etags_tell(client: Any, buckets: set[str]) -> bool:
    """Whether the canaries' etags are their MD5, as far as there are canaries: else etags tell nothing of the bytes."""
    found = []
    for bucket in sorted(buckets):
        with s3_errors(bucket):
            found.append(head(client, bucket, canary_key()))
    return all(canary is None or etag(canary) == hashlib.md5(CANARY).hexdigest() for canary in found)


def check_source(client: Any, row: ManifestRow) -> None:
    """Raise UnusableInput where these credentials may not read a source with its tags; other trouble is its row's."""
    for read in (client.get_object, client.get_object_tagging):
        with s3_errors(row.source_bucket):
            try:
                found = read(Bucket=row.source_bucket, Key=row.source_key)
            except ClientError as error:
                if status(error) in (401, 403) and error.response["Error"].get("Code") != ARCHIVED:
                    raise
            else:
                if "Body" in found:
                    found["Body"].close()
