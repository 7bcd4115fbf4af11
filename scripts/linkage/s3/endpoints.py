"""Where each bucket is reached, as boto3 finds it."""

import re
from collections.abc import Iterable
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

from linkage.s3.clients import s3_client
from linkage.s3.errors import s3_errors


class Endpoint(NamedTuple):
    """Where a bucket is reached: `http` or `https`, host and port, the path before keys, and the region to sign for."""

    scheme: str
    host: str
    path: str
    region: str


def find_endpoints(buckets: Iterable[str]) -> dict[str, Endpoint]:
    """Send a HeadBucket to every bucket, and return the endpoint that boto3 has used for each.

    Raises UnusableInput, within seconds, if these credentials do not reach every bucket.
    """
    endpoints = {}
    requests: list[Any] = []
    for bucket in sorted(buckets):
        with s3_errors(bucket):
            client = s3_client(connect_timeout=3, read_timeout=10, retries={"total_max_attempts": 3})
            client.meta.events.register("before-send.s3.HeadBucket", lambda request, **_: requests.append(request))
            reach(client, bucket)
        url = urlsplit(requests[-1].url)
        region = signing_region(requests[-1], client)
        endpoints[bucket] = Endpoint(url.scheme, url.netloc, url.path.rstrip("/"), region)
    return endpoints


def reach(client: Any, bucket: str) -> None:
    """Send a HeadBucket. If it is refused, raise what a listing is answered: the answer to a HEAD does not say why."""
    try:
        client.head_bucket(Bucket=bucket)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] not in (404, *range(500, 600)):
            client.list_objects_v2(Bucket=bucket, MaxKeys=1)
        raise


def signing_region(request: Any, client: Any) -> str:
    """The region in a request's signature (…/<day>/<region>/s3/aws4_request)."""
    signature = request.headers.get("Authorization", "")
    found = re.search(r"/\d{8}/([^/]+)/s3/", signature if isinstance(signature, str) else signature.decode())
    return found[1] if found else client.meta.region_name
