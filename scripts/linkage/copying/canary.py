"""Checks, before the first copy, that the store enforces what keeps copies safe, and that we may read and write."""

import hashlib
import random
import re
import time
from contextlib import suppress
from itertools import takewhile
from queue import SimpleQueue
from typing import Any

from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError

from linkage.copying.manifest import ManifestRow
from linkage.copying.rules import copy_parameters, is_transient
from linkage.copying.tables import Tables
from linkage.errors import UnusableInput
from linkage.s3.answers import Answer, Parameters, Send
from linkage.s3.errors import about_the_caller, s3_errors
from linkage.s3.objects import etag, head, status

CANARY = b"image-linkage tries on this object, before it copies, that nothing is ever overwritten. Leave it here.\n"
CANARY_NAME = "image-linkage-canary"
NO_ETAG = "0" * 32
CONDITIONS = {"IfNoneMatch": "If-None-Match", "CopySourceIfMatch": "x-amz-copy-source-if-match"}
OPTIONAL = {"TaggingDirective": "x-amz-tagging-directive", "AnnotationDirective": "x-amz-object-annotation-directive"}
FORBIDDEN, CONFLICT, PRECONDITION_FAILED = 403, 409, 412
PAUSES = (0.2, 0.5, 1, 2, 4, 8)  # seconds before each further attempt, if there was no proper answer
OF_ONE_IMAGE = re.compile("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|^[0-9][0-9./_-]*$")


def canary_keys(tables: Tables) -> dict[str, str]:
    """The canary's key in each of the manifest's destination buckets."""
    first_keys = "select destination_bucket, arg_min(destination_key, row_number) from manifest group by all order by 1"
    return {bucket: canary_key(key) for bucket, key in tables.run(first_keys)}


def canary_key(destination_key: str) -> str:
    """The canary's key beside the patients' folders, where copies may be written.

    Its folder is that of the destination, up to the first folder that is named
    by a UUID, a number or a date.
    """
    *folders, _ = destination_key.split("/")
    return "/".join([*takewhile(lambda folder: not OF_ONE_IMAGE.search(folder), folders), CANARY_NAME])


def place_canaries(client: Any, tables: Tables, canaries: dict[str, str]) -> bool:
    """Put the canary into each destination bucket; return whether the ETags of what is written there are MD5s.

    Raises UnusableInput if its key is among the originals or holds another
    object, or if these credentials may not write.
    """
    for bucket, key in canaries.items():
        among = "select 1 from source_prefix where starts_with(?, prefix) and (prefix <> '' or bucket = ?) limit 1"
        if tables.run(among, key, bucket):
            raise UnusableInput(
                f"'{key}', on which the store is tested, would be among the originals; set destination_key_template to "
                "the folder that the copies go to"
            )
        with s3_errors(bucket):
            write_canary(client, bucket, key)
    return etags_tell(client, canaries)


def check_store(send: Send, canaries: dict[str, str]) -> None:
    """Test each destination bucket on its canary.

    The canary is copied only onto itself, with the headers of a row's copy, and
    under conditions that must be refused: each alone, and both together. It is
    never removed, and nothing else is left in a store that fails.

    Raises UnusableInput if a condition is not enforced, or a header is refused.
    """
    for bucket, key in canaries.items():
        both = onto_itself(bucket, key)
        for left_out in (*reversed(CONDITIONS), ""):
            parameters = {name: value for name, value in both.items() if name != left_out}
            answer = try_copy(send, parameters)
            if answer.status != PRECONDITION_FAILED:
                raise UnusableInput(explain(send, parameters, answer))


def write_canary(client: Any, bucket: str, key: str) -> None:
    """Put the canary there unless the key is taken; raises UnusableInput if something else is there.

    Other runs, such as those of the other shards, may do the same at this moment.
    """
    for pause in (*PAUSES, None):
        try:
            client.put_object(Bucket=bucket, Key=key, Body=CANARY, ContentType="text/plain", IfNoneMatch="*")
            break
        except ClientError as error:
            if status(error) == PRECONDITION_FAILED:
                break
            if status(error) != CONFLICT or pause is None:
                raise
            time.sleep(random.uniform(0.5, 1) * pause)
    if client.get_object(Bucket=bucket, Key=key)["Body"].read() != CANARY:
        raise UnusableInput(
            f"'{key}' in the bucket '{bucket}' is not what image-linkage puts there; move that object elsewhere"
        )


def onto_itself(bucket: str, key: str) -> Parameters:
    """A row's copy, of the canary onto itself, both of whose conditions are unmet.

    S3 allows this only if the metadata is replaced, which changes nothing.
    """
    row = ManifestRow("", bucket, key, NO_ETAG, len(CANARY), bucket, key)
    return {**copy_parameters(row), "MetadataDirective": "REPLACE", "ContentType": "text/plain"}


def try_copy(send: Send, parameters: Parameters) -> Answer:
    """The answer to one copy, after retries if there was none."""
    answers: SimpleQueue[Answer] = SimpleQueue()
    for pause in (*PAUSES, None):
        send(parameters, len(CANARY), answers.put)
        answer = answers.get()
        if pause is None or answer.status == PRECONDITION_FAILED or not is_transient(answer):
            break
        time.sleep(random.uniform(0.5, 1) * pause)
    return answer


def explain(send: Send, parameters: Parameters, answer: Answer) -> str:
    """The message about a store that did not refuse the canary's copy because of its conditions."""
    bucket, key = parameters["Bucket"], parameters["Key"]
    conditions = " and ".join(header for name, header in CONDITIONS.items() if name in parameters)
    if answer.status == 200:
        return (
            f"the store of the bucket '{bucket}' ignores {conditions}, so copies could overwrite or mix up images; "
            "use a store that enforces it (AWS S3 and SeaweedFS do)"
        )
    if about_the_caller(answer.code, answer.status):
        return f"S3 rejected these credentials for a copy in the bucket '{bucket}' ({answer.code}); renew them"
    if answer.status == FORBIDDEN:
        return (
            f"S3 refuses a copy to '{key}' in the bucket '{bucket}' ({answer.code}); allow these credentials "
            "s3:PutObject and s3:PutObjectTagging there"
        )
    if is_transient(answer):
        return f"the store of the bucket '{bucket}' answered {answer.code} to a copy with {conditions}; try again later"
    return (
        f"the store of the bucket '{bucket}' answered {answer.code} to a copy with "
        f"{refused_header(send, parameters) or conditions}; use a store that supports it (AWS S3 and SeaweedFS do)"
    )


def refused_header(send: Send, parameters: Parameters) -> str:
    """The header without which the store answers the canary's copy as it should; empty if there is none."""
    for name, header in OPTIONAL.items():
        without = {other: value for other, value in parameters.items() if other != name}
        if len(without) < len(parameters) and try_copy(send, without).status == PRECONDITION_FAILED:
            return header
    return ""


def etags_tell(client: Any, canaries: dict[str, str]) -> bool:
    """Whether the ETags of the existing canaries are MD5s; if not, ETags do not show what the bytes are."""
    found = []
    for bucket, key in canaries.items():
        with s3_errors(bucket):
            found.append(head(client, bucket, key))
    md5 = hashlib.md5(CANARY, usedforsecurity=False).hexdigest()
    return all(canary is None or etag(canary) == md5 for canary in found)


def check_source(client: Any, row: ManifestRow) -> None:
    """Raise UnusableInput if S3 rejects these credentials for a source or its tags; any other error is that row's."""
    for read in (client.get_object, client.get_object_tagging):
        with s3_errors(row.source_bucket), suppress(ResponseParserError):
            try:
                found = read(Bucket=row.source_bucket, Key=row.source_key)
            except ClientError as error:
                if about_the_caller(error.response["Error"].get("Code", ""), status(error)):
                    raise
            else:
                if "Body" in found:
                    found["Body"].close()
