"""Answers that boto3 would take for S3's own, or follow without end."""

import re
from typing import Any

from botocore.exceptions import ClientError

from linkage.s3.errors import UnreadableAnswer

HTML = re.compile(rb"\s*(<!doctype html|<html)", re.IGNORECASE)


def check_answer(operation_model: Any, response_dict: dict[str, Any], **_: Any) -> None:
    """Refuse what a proxy or another server sent in S3's place. A handler of botocore's event `before-parse`.

    Raises UnreadableAnswer for an HTML page with status 200, and for an object
    without ETag: boto3 would return an empty result. Raises ClientError if a
    HeadBucket is redirected and no region is named: boto3 would send it again
    until Python's stack is full.
    """
    status, headers, operation = response_dict["status_code"], response_dict["headers"], operation_model.name
    if operation == "HeadBucket" and status in (301, 302, 307) and "x-amz-bucket-region" not in headers:
        metadata = {"HTTPStatusCode": status, "HTTPHeaders": {name.lower(): text for name, text in headers.items()}}
        raise ClientError({"Error": {"Code": str(status)}, "ResponseMetadata": metadata}, operation)
    if status not in (200, 206):
        return
    body, without_etag = response_dict["body"], operation in ("HeadObject", "GetObject") and not headers.get("ETag")
    page = headers.get("Content-Type", "").startswith("text/html")
    if (isinstance(body, bytes) and HTML.match(body)) or (page and without_etag):
        raise UnreadableAnswer(
            f"is not reached: something between here and S3 answered in its place with an HTML page (status {status}); "
            "check AWS_ENDPOINT_URL_S3 and the network, or put S3's host into NO_PROXY if it is a proxy"
        )
    if without_etag:
        raise UnreadableAnswer(
            "answered without the ETag of an object, by which copies are verified; use another store, or check "
            "AWS_ENDPOINT_URL_S3"
        )
