"""An S3 client with the AWS SDK's own settings, its listings, and its errors as sentences."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple
from urllib.parse import unquote_plus
from xml.etree import ElementTree

import boto3
import botocore.loaders
import botocore.session
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
    ReadTimeoutError,
)
from botocore.parsers import ResponseParserError

from linkage.errors import UnusableInput

CREDENTIALS_REFUSED = {
    "AccessDenied", "403", "401", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken",
}  # fmt: skip
NO_SUCH_BUCKET = {"NoSuchBucket", "404"}
CONTENTS = re.compile(rb"<Contents>.*</Contents>", re.DOTALL)


class ListedObject(NamedTuple):
    """One object of a listing: size in bytes, etag without quote marks, time as S3 writes it (ISO 8601, UTC)."""

    key: str
    size: int
    etag: str
    modified: str
    storage_class: str


def s3_client(**config: Any) -> Any:
    """A boto3 S3 client; `config` goes to botocore's Config.

    Profile, region, endpoint and credentials are the AWS SDK's own settings
    (`AWS_PROFILE`, `AWS_REGION`, `AWS_ENDPOINT_URL_S3` …).
    """
    return aws_session().client("s3", config=Config(**{"connect_timeout": 10, **config}))


def aws_session() -> boto3.session.Session:
    """boto3's session; the region is `AWS_REGION`, as in Amazon's other SDKs, or else boto3's own setting."""
    return boto3.session.Session(botocore_session=aws_core(), region_name=os.environ.get("AWS_REGION") or None)


def aws_core() -> botocore.session.Session:
    """botocore's session; the descriptions of the services, which take a third of a second, are read once."""
    core = botocore.session.get_session()
    core.register_component("data_loader", service_descriptions())
    return core


@cache
def service_descriptions() -> botocore.loaders.Loader:
    """What reads botocore's descriptions of the services, and keeps them."""
    return botocore.loaders.create_loader()


def patient_client() -> Any:
    """A client that tries again by itself, for about a minute."""
    return s3_client(retries={"mode": "standard", "total_max_attempts": 8})


def single_try_client(connections: int) -> Any:
    """A client for so many requests at once that never tries again by itself, so that every try is counted."""
    return s3_client(
        max_pool_connections=connections,
        retries={"total_max_attempts": 1},
        user_agent="image-linkage",  # the SDK's own is put together anew for each request: 5 % of the time
    )


def list_objects(client: Any, bucket: str, prefix: str) -> Iterator[list[ListedObject]]:
    """S3's own listing, at most 1,000 objects at a time; one empty page where there is nothing.

    Raises UnusableInput where S3 does not give it.
    """
    with s3_errors(bucket):
        client.meta.events.register_first("before-parse.s3.ListObjectsV2", take_objects, unique_id="take-objects")
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            yield page["Objects"]


def take_objects(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: Any) -> None:
    """Parse a page's objects in place of boto3, which needs twelve times as long, and leave it the rest, and errors.

    A handler of botocore's event `before-parse`. Raises ResponseParserError, as boto3, for what is no page.
    """
    if response_dict["status_code"] != 200:
        return
    try:
        page = ElementTree.fromstring(response_dict["body"])
        encoded = page.findtext("{*}EncodingType") == "url"
        objects = [listed_object(found, encoded) for found in page.iterfind("{*}Contents")]
    except (ElementTree.ParseError, KeyError, ValueError):
        raise ResponseParserError("this is no page of a listing") from None
    if page.tag == "Error":
        return
    if page.tag.rpartition("}")[2] != "ListBucketResult":
        raise ResponseParserError("this is no page of a listing")
    customized_response_dict["Objects"] = objects
    response_dict["body"] = CONTENTS.sub(b"", response_dict["body"])


def listed_object(found: ElementTree.Element, encoded: bool) -> ListedObject:
    """One `Contents` of a listing; its key is decoded where S3 says that it is `encoded`."""
    values = {element.tag.rpartition("}")[2]: element.text or "" for element in found}
    return ListedObject(
        unquote_plus(values["Key"]) if encoded else values["Key"],
        int(values["Size"]),
        values["ETag"].strip('"'),
        values["LastModified"],
        values.get("StorageClass", "STANDARD"),
    )


@contextmanager
def s3_errors(bucket: str) -> Iterator[None]:
    """Turn boto3's errors about credentials, endpoint and `bucket` into UnusableInput."""
    try:
        yield
    except ProfileNotFound:
        raise UnusableInput(
            "AWS_PROFILE names a profile that does not exist; see `aws configure list-profiles`"
        ) from None
    except (NoCredentialsError, PartialCredentialsError):
        raise UnusableInput("no S3 credentials found; set AWS_PROFILE, or AWS_ACCESS_KEY_ID and its secret") from None
    except NoRegionError:
        raise UnusableInput("no S3 region found; set AWS_REGION") from None
    except ParamValidationError:
        raise UnusableInput(f"'{bucket}' cannot be a bucket's name; look at what you named") from None
    except (EndpointConnectionError, ConnectTimeoutError, ReadTimeoutError):
        raise UnusableInput("the S3 endpoint cannot be reached; look at AWS_ENDPOINT_URL_S3 and the network") from None
    except ClientError as error:
        raise UnusableInput(explain(error, bucket)) from None
    except (BotoCoreError, ResponseParserError, ValueError) as error:
        raise UnusableInput(f"S3 cannot be used ({type(error).__name__}); look at the AWS settings") from None


def explain(error: ClientError, bucket: str) -> str:
    """A sentence for what S3 answered about `bucket`."""
    code = error.response.get("Error", {}).get("Code", "")
    if code in NO_SUCH_BUCKET:
        return f"the bucket '{bucket}' does not exist; look at its name and at the endpoint"
    if code in CREDENTIALS_REFUSED:
        return f"S3 refused these credentials for the bucket '{bucket}' ({code}); look at AWS_PROFILE or the keys"
    return f"S3 answered {code} for the bucket '{bucket}'; try again, or look at the bucket's settings"
