"""What an engine reports about one request, and the function by which a request is sent."""

from collections.abc import Callable
from typing import Any, NamedTuple

from botocore.exceptions import (
    ClientError,
    ConnectionError,
    CredentialRetrievalError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
)
from botocore.parsers import ResponseParserError

from linkage.s3.errors import PERMISSIONS, SDK_CREDENTIAL_ERRORS

TRANSIENT_ERRORS = (ConnectionError, HTTPClientError, IncompleteReadError, FlexibleChecksumError, ResponseParserError)
CUSTOMER_KEYS = {"aws:kms", "aws:kms:dsse"}


class Answer(NamedTuple):
    """The result of one request.

    `status` is the HTTP status; 0 if no complete answer arrived, and 400 if the
    request could not be made. `code` is S3's error code, or else the name of
    the engine's error, and empty after a success. `etag` is the copy's, without
    quotation marks. `encrypted`: see `is_encrypted`.
    """

    status: int
    code: str = ""
    etag: str = ""
    encrypted: bool = False


Parameters = dict[str, Any]
Done = Callable[[Answer], None]
Send = Callable[[Parameters, int, Done], None]  # described at `linkage.s3.engines.open_engine`


def ask(question: Callable[[], Any]) -> Any:
    """Call a function that uses boto3; returns its result, or an Answer in place of any exception."""
    try:
        return question()
    except ClientError as error:
        if error.operation_name not in PERMISSIONS:  # the SDK asked for credentials
            return Answer(403, CredentialRetrievalError.__name__)
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return Answer(status, error.response.get("Error", {}).get("Code", "") or str(status))
    except SDK_CREDENTIAL_ERRORS as error:
        return Answer(403, type(error).__name__)
    except TRANSIENT_ERRORS as error:
        return Answer(0, type(error).__name__)
    except Exception as error:  # no error that one row causes may end the run
        return Answer(400, type(error).__name__)


def is_encrypted(found: dict[str, Any]) -> bool:
    """Whether S3's answer says that the object is encrypted with KMS or a customer's key: its ETag is not an MD5."""
    return found.get("ServerSideEncryption") in CUSTOMER_KEYS or "SSECustomerAlgorithm" in found
