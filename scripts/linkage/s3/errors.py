"""What S3, the AWS SDK, or whoever answers in S3's place says, as one sentence."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from json import JSONDecodeError
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import botocore.exceptions
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConfigParseError,
    ConnectionClosedError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    EndpointResolutionError,
    InvalidConfigError,
    InvalidRegionError,
    LoginError,
    MetadataRetrievalError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
    ProxyConnectionError,
    ReadTimeoutError,
    RefreshWithMFAUnsupportedError,
    SSLError,
    SSOError,
    TokenRetrievalError,
)
from botocore.parsers import ResponseParserError

from linkage.errors import UnusableInput

# The SDK has no usable credentials. `linkage.s3.answers.ask` gives the name of such an error in place of S3's code.
SDK_CREDENTIAL_ERRORS = (
    NoCredentialsError, PartialCredentialsError, CredentialRetrievalError, TokenRetrievalError, SSOError,
    RefreshWithMFAUnsupportedError, InvalidConfigError, LoginError, ProfileNotFound, MetadataRetrievalError,
)  # fmt: skip
EXPIRED_CODES = {"ExpiredToken", "ExpiredTokenException", "InvalidToken", "TokenRefreshRequired", "RequestExpired"}
CALLER_CODES = {
    *EXPIRED_CODES, "InvalidAccessKeyId", "InvalidClientTokenId", "UnrecognizedClientException",
    "SignatureDoesNotMatch", "RequestTimeTooSkewed", "NotSignedUp", "AuthFailure",
}  # fmt: skip
NO_SUCH_BUCKET = {"NoSuchBucket", "404"}
ELSEWHERE = {"PermanentRedirect", "TemporaryRedirect", "IllegalLocationConstraintException"}
FORBIDDEN = 403
PERMISSIONS = {  # that AWS asks for, by what is requested
    "HeadBucket": "s3:ListBucket",
    "ListObjectsV2": "s3:ListBucket",
    "GetObject": "s3:GetObject",
    "HeadObject": "s3:GetObject",
    "GetObjectTagging": "s3:GetObjectTagging",
    "PutObject": "s3:PutObject",
    "CopyObject": "s3:PutObject",
}
REGION = re.compile("[a-z0-9-]{1,40}")
REGION_OF_ENDPOINT = re.compile(r"\bs3[.-]([a-z]+(?:-[a-z]+)+-\d)\.amazonaws")


class UnreadableAnswer(ResponseParserError):
    """An answer that is not S3's own, or that contradicts itself; the message continues "the store of the bucket …"."""


SENTENCES: tuple[tuple[Any, str], ...] = (  # the first that fits, for errors of the SDK's own
    (UnreadableAnswer, "the store of the bucket '{bucket}' {error}"),
    (ParamValidationError, "'{bucket}' is not a valid bucket name; check what you typed"),
    (ProfileNotFound, "AWS_PROFILE names a profile that does not exist; see `aws configure list-profiles`"),
    (
        (NoCredentialsError, PartialCredentialsError),
        "no S3 credentials found; set AWS_PROFILE, or AWS_ACCESS_KEY_ID and its secret",
    ),
    (
        (SSOError, TokenRetrievalError),
        "the single sign-on session of {profile} has expired or has not begun; {sso_login}, and run again",
    ),
    (LoginError, "the login session of {profile} has expired or has not begun; {login}, and run again"),
    (
        (RefreshWithMFAUnsupportedError, EOFError),
        "{profile} needs an MFA code, which cannot be entered here; set temporary credentials instead",
    ),
    (
        (CredentialRetrievalError, MetadataRetrievalError, JSONDecodeError),
        "the credentials of {profile} cannot be retrieved; run its credential_process by itself to see why, or check "
        "whatever else provides them",
    ),
    (
        InvalidConfigError,
        "{profile} cannot be used ({name}); check its source_profile, credential_source and sso_session",
    ),
    (ConfigParseError, "the AWS configuration file '{file}' cannot be read; check its lines"),
    (
        (FileNotFoundError, PermissionError),
        "'{file}', from which {profile} takes credentials, cannot be used; check credential_process and "
        "AWS_WEB_IDENTITY_TOKEN_FILE",
    ),
    (NoRegionError, "no S3 region found; set AWS_REGION"),
    (InvalidRegionError, "AWS_REGION is not the name of a region; write it like eu-west-1"),
    (
        ProxyConnectionError,
        "the proxy {server} cannot be used; check HTTP_PROXY and HTTPS_PROXY, or put S3's host into NO_PROXY",
    ),
    (
        (EndpointConnectionError, ConnectTimeoutError, ReadTimeoutError, ConnectionClosedError),
        "{server} cannot be reached; check AWS_ENDPOINT_URL_S3 and the network",
    ),
    (
        RuntimeError,
        "requests cannot be signed with the credentials of {profile}; renew them, and check this machine's clock",
    ),
    (Exception, "S3 cannot be used ({name}); check the AWS settings"),
)


@contextmanager
def s3_errors(bucket: str) -> Iterator[None]:
    """Turn boto3's errors about settings, credentials, endpoint and `bucket` into UnusableInput."""
    try:
        yield
    except ClientError as error:
        raise UnusableInput(explain(error, bucket)) from None
    except (BotoCoreError, ResponseParserError, EOFError, OSError, RuntimeError, ValueError) as error:
        raise UnusableInput(explain_sdk(error, bucket)) from None


def about_the_caller(code: str, status: int) -> bool:
    """Whether S3's error code, or else the name of an engine's error, is about the caller, not about one object.

    These are credentials that are unknown, expired or missing, and a wrong
    clock. `AccessDenied` and a bare 403 are not: they are about one object or
    one action. `status` is the HTTP status; 0 if there was no answer.
    """
    known = getattr(botocore.exceptions, code, None)
    return (
        status == 401
        or code in CALLER_CODES
        or code.startswith("AWS_AUTH_")  # the CRT could not sign
        or (isinstance(known, type) and issubclass(known, SDK_CREDENTIAL_ERRORS))
    )


def explain(error: ClientError, bucket: str) -> str:
    """A sentence for what was answered to a request about `bucket`, or to one for credentials."""
    answer, operation = error.response, error.operation_name
    status, headers = metadata(answer)
    code = answer.get("Error", {}).get("Code", "") or str(status)
    if operation not in PERMISSIONS:
        return f"{operation} for {profile()} was answered with {code}; check its role and single sign-on settings"
    if sentence := fault_of_caller(code, status, headers, bucket) or fault_of_place(answer, code, bucket):
        return sentence
    if code in NO_SUCH_BUCKET:
        return f"the bucket '{bucket}' does not exist; check its name and the endpoint"
    if status == FORBIDDEN:
        return (
            f"S3 refuses {operation} for the bucket '{bucket}' ({code}); allow these credentials "
            f"{PERMISSIONS[operation]} there, or check AWS_PROFILE"
        )
    return f"S3 answered {code} for the bucket '{bucket}'; try again, or check the bucket's settings"


def fault_of_caller(code: str, status: int, headers: dict[str, str], bucket: str) -> str:
    """A sentence for an answer about credentials or clock; empty for any other."""
    if code == "RequestTimeTooSkewed":
        return f"this machine's clock is {clock_error(headers)}; set it, and run again"
    if code in EXPIRED_CODES:
        return f"the temporary credentials have expired or are not valid ({code}); {log_in('sso login')}, or renew them"
    if about_the_caller(code, status):
        return f"S3 rejected these credentials for the bucket '{bucket}' ({code}); check AWS_PROFILE or the keys"
    return ""


def fault_of_place(answer: Any, code: str, bucket: str) -> str:
    """A sentence for an answer from another region, a redirect, or a server that is not S3; empty for any other."""
    status, headers = metadata(answer)
    if region := bucket_region(answer):
        other = ", and AWS_ENDPOINT_URL_S3 to an endpoint of that region" if endpoint() else ""
        return f"the bucket '{bucket}' is in the region {region}; set AWS_REGION to {region}{other}"
    if location := headers.get("location"):
        return redirected(location, status)
    if code in ELSEWHERE:
        return f"the bucket '{bucket}' is in another region ({code}); set AWS_REGION to that region"
    if code.isdecimal() and headers.get("content-type", "").startswith(("text/html", "text/plain")):
        return (
            f"something between here and S3 answered in its place (status {status}); check AWS_ENDPOINT_URL_S3 and "
            "the network, or put S3's host into NO_PROXY if it is a proxy"
        )
    return ""


def metadata(answer: Any) -> tuple[int, dict[str, str]]:
    """Status and headers, with names in lower case, of an answer."""
    found = answer.get("ResponseMetadata", {})
    return found.get("HTTPStatusCode", 0), found.get("HTTPHeaders", {})


def explain_sdk(error: Exception, bucket: str) -> str:
    """A sentence for an error of the SDK itself: there was no answer, or none that it can read."""
    if isinstance(error, SSLError):
        return tls_error(error)
    if isinstance(error, (EndpointResolutionError, ValueError)) and endpoint() and not is_address(endpoint()):
        return (
            "AWS_ENDPOINT_URL_S3 is not an address; write it with http:// or https:// and a host, such as "
            "https://s3.example.org"
        )
    known = getattr(error, "kwargs", {})
    return next(sentence for types, sentence in SENTENCES if isinstance(error, types)).format(
        bucket=bucket,
        error=error,
        name=type(error).__name__,
        profile=profile(),
        sso_login=log_in("sso login"),
        login=log_in("login"),
        server=host(known.get("endpoint_url") or known.get("proxy_url") or ""),
        file=known.get("path") or getattr(error, "filename", ""),
    )


def profile() -> str:
    """How to call the source of the credentials in a sentence."""
    return f"the AWS profile '{name}'" if (name := profile_name()) else "the default AWS profile"


def profile_name() -> str:
    """The profile that the environment names, or an empty text."""
    return os.environ.get("AWS_PROFILE") or os.environ.get("AWS_DEFAULT_PROFILE", "")


def log_in(command: str) -> str:
    """How to log in again; `command` is `sso login` or `login`."""
    name = profile_name()
    return f"log in with `aws {command} --profile {name}`" if name else f"log in with `aws {command}`"


def endpoint() -> str:
    """The endpoint that the environment sets, or an empty text."""
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL", "")


def is_address(url: str) -> bool:
    """Whether this is an http or https URL with a host and, if any, a possible port."""
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def host(url: str) -> str:
    """A URL without path and credentials, either of which may be confidential."""
    try:
        parts = urlsplit(url)
        return f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")
    except ValueError:
        return "the endpoint"


def clock_error(headers: dict[str, str]) -> str:
    """By how much this machine's clock is wrong, as far as the `Date` of S3's answer shows it."""
    try:
        late = parsedate_to_datetime(headers["date"]) - datetime.now(UTC)
    except (KeyError, TypeError, ValueError):
        return "wrong"
    minutes = round(late.total_seconds() / 60)
    return f"{abs(minutes):,} minutes {'slow' if minutes > 0 else 'fast'}" if minutes else "wrong"


def bucket_region(answer: Any) -> str:
    """The bucket's region, if S3 names it in an answer to a request for another one; else an empty text."""
    status, headers = metadata(answer)
    if status not in (301, 302, 307, 400):
        return ""
    found = answer.get("Error", {})
    of_endpoint = REGION_OF_ENDPOINT.search(found.get("Endpoint", ""))
    named = headers.get("x-amz-bucket-region") or found.get("Region") or (of_endpoint and of_endpoint[1]) or ""
    return named if REGION.fullmatch(named) else ""


def redirected(location: str, status: int) -> str:
    """A sentence for a redirect, which the SDK does not follow."""
    target, here = urlsplit(location), urlsplit(endpoint())
    if target.scheme == "https" and here.scheme == "http" and target.hostname == here.hostname:
        return (
            f"the S3 endpoint answers over https only (status {status}); write https:// in place of http:// in "
            "AWS_ENDPOINT_URL_S3"
        )
    return (
        f"the S3 endpoint redirects to {host(location)} (status {status}); if the store is there, write that address "
        "in AWS_ENDPOINT_URL_S3, or else check the network"
    )


def tls_error(error: SSLError) -> str:
    """A sentence for a TLS connection that was not made."""
    bundle = os.environ.get("AWS_CA_BUNDLE", "")
    server = host(error.kwargs["endpoint_url"])
    if bundle and not Path(bundle).is_file():
        return f"'{bundle}', which AWS_CA_BUNDLE names, does not exist; name a file of certificates (PEM)"
    if "WRONG_VERSION_NUMBER" in str(error) or "record layer failure" in str(error):
        return f"{server} does not use TLS; write http:// in AWS_ENDPOINT_URL_S3 if the network is to be trusted"
    return (
        f"the TLS certificate of {server} cannot be verified; set AWS_CA_BUNDLE to the certificate of its authority "
        "(PEM)"
    )
