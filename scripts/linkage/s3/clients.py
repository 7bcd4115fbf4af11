"""boto3 clients with the AWS SDK's own settings."""

import os
from functools import cache
from typing import Any

import boto3
import botocore.loaders
import botocore.session
from botocore.config import Config
from botocore.hooks import HierarchicalEmitter

from linkage.s3.answer_checks import check_answer
from linkage.s3.listing import take_objects


def s3_client(**config: Any) -> Any:
    """A boto3 S3 client for `list_objects` and everything else; `config` goes to botocore's Config.

    Profile, region, endpoint and credentials are the AWS SDK's own settings
    (`AWS_PROFILE`, `AWS_REGION`, `AWS_ENDPOINT_URL_S3` …).
    """
    return aws_session().client("s3", config=Config(**{"connect_timeout": 10, **config}))


def aws_session() -> boto3.session.Session:
    """boto3's session; the region is `AWS_REGION`, as in Amazon's other SDKs, or else boto3's own setting."""
    return boto3.session.Session(botocore_session=aws_core(), region_name=os.environ.get("AWS_REGION") or None)


def aws_core() -> botocore.session.Session:
    """botocore's session; the service descriptions, which take a third of a second to read, are read once.

    `check_answer` and then `take_objects` are called before botocore's own handlers, one of which parses every page in
    search of an error.
    """
    events = HierarchicalEmitter()
    events.register_first("before-parse.s3.*", check_answer)
    events.register_first("before-parse.s3.*", take_objects)
    core = botocore.session.Session(event_hooks=events)
    core.register_component("data_loader", service_descriptions())
    return core


@cache
def service_descriptions() -> botocore.loaders.Loader:
    """The loader of botocore's service descriptions, which keeps what it has read."""
    return botocore.loaders.create_loader()


def retrying_client() -> Any:
    """A client that retries by itself, for about a minute."""
    return s3_client(retries={"mode": "standard", "total_max_attempts": 8})


def single_try_client(connections: int) -> Any:
    """A client for this many requests at once that never retries by itself, so that every attempt is counted."""
    return s3_client(
        max_pool_connections=connections,
        retries={"total_max_attempts": 1},
        user_agent="image-linkage",  # the SDK assembles its own for each request, which takes 5 % of the time
    )
