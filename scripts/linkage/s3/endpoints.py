"""Where each bucket is reached, as boto3 finds it."""

import re
from collections.abc import Iterable
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from linkage.s3.clients import s3_client
from linkage.s3.errors import s3_errors


class Place(NamedTuple):
    """Where a bucket is, as boto3 has found it: `http` or `https`, host and port, the path before keys, the region."""

    scheme: str
    host: str
    path: str
    region: str


def find_places(buckets: Iterable[str]) -> dict[str, Place]:
    """Ask for every bucket (HeadBucket), and see where boto3 has asked.

    Raises UnusableInput unless these credentials reach every bucket, within seconds.
    """
    places = {}
    asked: list[Any] = []
    for bucket in sorted(buckets):
        with s3_errors(bucket):
            client = s3_client(connect_timeout=3, read_timeout=10, retries={"total_max_attempts": 3})
            client.meta.events.register("before-send.s3.HeadBucket", lambda request, **_: asked.append(request))
            client.head_bucket(Bucket=bucket)
        url = urlsplit(asked[-1].url)
        places[bucket] = Place(url.scheme, url.netloc, url.path.rstrip("/"), signing_region(asked[-1], client))
    return places


def signing_region(request: Any, client: Any) -> str:
    """The region in a request's signature (…/<day>/<region>/s3/aws4_request)."""
    signature = request.headers.get("Authorization", "")
    found = re.search(r"/\d{8}/([^/]+)/s3/", signature if isinstance(signature, str) else signature.decode())
    return found[1] if found else client.meta.region_name
