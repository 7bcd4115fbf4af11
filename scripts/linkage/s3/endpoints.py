"""Where each bucket is reached, as boto3 finds it."""

import re
from collections.abc import Iterable
from typing import Any, NamedTuple
from urllib.parse import urlsplit

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
            client.head_bucket(Bucket=bucket)
        url = urlsplit(requests[-1].url)
        region = signing_region(requests[-1], client)
        endpoints[bucket] = Endpoint(url.scheme, url.netloc, url.path.rstrip("/"), region)
    return endpoints


def signing_region(request: Any, client: Any) -> str:
    """The region in a request's signature (…/<day>/<region>/s3/aws4_request)."""
    signature = request.headers.get("Authorization", "")
    found = re.search(r"/\d{8}/([^/]+)/s3/", signature if isinstance(signature, str) else signature.decode())
    return found[1] if found else client.meta.region_name
