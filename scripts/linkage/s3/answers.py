"""What an engine answers to one request, and the function by which a request is sent."""

from collections.abc import Callable
from typing import Any, NamedTuple

from botocore.exceptions import (
    ClientError,
    ConnectionError,
    CredentialRetrievalError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    PartialCredentialsError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)
from botocore.parsers import ResponseParserError

CREDENTIAL_ERRORS = (
    NoCredentialsError, PartialCredentialsError, CredentialRetrievalError, TokenRetrievalError,
    UnauthorizedSSOTokenError,
)  # fmt: skip
TRANSIENT_ERRORS = (ConnectionError, HTTPClientError, IncompleteReadError, FlexibleChecksumError, ResponseParserError)
CUSTOMER_KEYS = {"aws:kms", "aws:kms:dsse"}


class Answer(NamedTuple):
    """What came of one request.

    `status` is HTTP's, 0 where nothing (whole) was answered; `code` is S3's own
    word for what went wrong, or the engine's, and empty where nothing did;
    `etag` is the copy's, without quote marks.
    """

    status: int
    code: str = ""
    etag: str = ""
    encrypted: bool = False


Parameters = dict[str, Any]
Send = Callable[[Parameters, int, Callable[[Answer], None]], None]


def ask(question: Callable[[], Any]) -> Any:
    """What boto3 gives, or else an Answer that says what went wrong."""
    try:
        return question()
    except ClientError as error:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return Answer(status, error.response.get("Error", {}).get("Code", "") or str(status))
    except CREDENTIAL_ERRORS as error:
        return Answer(403, type(error).__name__)
    except TRANSIENT_ERRORS as error:
        return Answer(0, type(error).__name__)
    except Exception as error:  # whatever else a row brings about must not end the run
        return Answer(400, type(error).__name__)


def is_encrypted(found: dict[str, Any]) -> bool:
    """Whether S3 says that the object is encrypted in a way that takes its etag's meaning."""
    return found.get("ServerSideEncryption") in CUSTOMER_KEYS or "SSECustomerAlgorithm" in found
