"""S3's own listing of a prefix, page by page."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import unquote_plus
from xml.etree import ElementTree

from botocore.parsers import ResponseParserError

from linkage.s3.errors import s3_errors

CONTENTS = re.compile(rb"<Contents>.*</Contents>", re.DOTALL)


class ListedObject(NamedTuple):
    """One object of a listing: size in bytes, ETag without quotation marks, time as S3 writes it (ISO 8601, UTC)."""

    key: str
    size: int
    etag: str
    modified: str
    storage_class: str


def list_objects(
    client: Any, bucket: str, prefix: str, after: str = "", until: str = ""
) -> Iterator[list[ListedObject]]:
    """S3's own listing, at most 1,000 objects at a time; one empty page if there is nothing.

    It begins after the key `after`, and its last page is the first that goes
    beyond the key `until`. `client` comes from `s3_client`.

    Raises UnusableInput if S3 does not provide it.
    """
    start = {"StartAfter": after} if after else {}
    with s3_errors(bucket):
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, **start):
            yield page["Objects"]
            if until and page["Objects"] and page["Objects"][-1].key > until:
                return


def take_objects(
    operation_model: Any, response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any
) -> None:
    """Parse the objects of a page in place of boto3, and leave the rest, and errors, to boto3.

    To list a million objects takes a sixth of the processor time that it takes with
    boto3's own parser (30 s in place of 190 s), which runs every value through its
    description of S3's types. A handler of botocore's event `before-parse`.

    Raises ResponseParserError, as boto3 does, if the answer is not a page of a listing.
    """
    if operation_model.name != "ListObjectsV2" or response_dict["status_code"] != 200:
        return
    try:
        page = ElementTree.fromstring(response_dict["body"] or b"<Nothing/>")
    except ElementTree.ParseError:  # a page that is cut off: botocore's next handler has it sent again
        return
    if page.tag == "Error":
        return
    try:
        encoded = page.findtext("{*}EncodingType") == "url"
        objects = [listed_object(found, encoded) for found in page.iterfind("{*}Contents")]
    except (KeyError, ValueError):
        raise ResponseParserError("not a page of a listing") from None
    if page.tag.rpartition("}")[2] != "ListBucketResult":
        raise ResponseParserError("not a page of a listing")
    customized_response_dict["Objects"] = objects
    response_dict["body"] = CONTENTS.sub(b"", response_dict["body"])


def listed_object(found: ElementTree.Element, encoded: bool) -> ListedObject:
    """One `Contents` of a listing; its key is decoded if S3 says that it is `encoded`."""
    values = {element.tag.rpartition("}")[2]: element.text or "" for element in found}
    return ListedObject(
        unquote_plus(values["Key"]) if encoded else values["Key"],
        int(values["Size"]),
        values["ETag"].strip('"'),
        values["LastModified"],
        values.get("StorageClass", "STANDARD"),
    )
