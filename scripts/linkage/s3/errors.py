"""boto3's errors as sentences."""

from collections.abc import Iterator
from contextlib import contextmanager

import botocore.exceptions
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    InvalidConfigError,
    LoginError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
    ReadTimeoutError,
    RefreshWithMFAUnsupportedError,
    SSOError,
    TokenRetrievalError,
)
from botocore.parsers import ResponseParserError

from linkage.errors import UnusableInput

# The SDK has no usable credentials. `linkage.s3.answers.ask` gives the name of such an error in place of S3's code.
SDK_CREDENTIAL_ERRORS = (
    NoCredentialsError, PartialCredentialsError, CredentialRetrievalError, TokenRetrievalError, SSOError,
    RefreshWithMFAUnsupportedError, InvalidConfigError, LoginError, ProfileNotFound,
)  # fmt: skip
CALLER_CODES = {
    "ExpiredToken", "ExpiredTokenException", "InvalidToken", "TokenRefreshRequired", "RequestExpired",
    "InvalidAccessKeyId", "InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch",
    "RequestTimeTooSkewed", "NotSignedUp", "AuthFailure",
}  # fmt: skip
CREDENTIALS_REJECTED = {
    "AccessDenied", "403", "401", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken",
}  # fmt: skip
NO_SUCH_BUCKET = {"NoSuchBucket", "404"}


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
        raise UnusableInput(f"'{bucket}' is not a valid bucket name; check what you typed") from None
    except (EndpointConnectionError, ConnectTimeoutError, ReadTimeoutError):
        raise UnusableInput("the S3 endpoint cannot be reached; check AWS_ENDPOINT_URL_S3 and the network") from None
    except ClientError as error:
        raise UnusableInput(explain(error, bucket)) from None
    except (BotoCoreError, ResponseParserError, ValueError) as error:
        raise UnusableInput(f"S3 cannot be used ({type(error).__name__}); check the AWS settings") from None


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
    """A sentence for what S3 answered about `bucket`."""
    code = error.response.get("Error", {}).get("Code", "")
    if code in NO_SUCH_BUCKET:
        return f"the bucket '{bucket}' does not exist; check its name and the endpoint"
    if code in CREDENTIALS_REJECTED:
        return f"S3 rejected these credentials for the bucket '{bucket}' ({code}); check AWS_PROFILE or the keys"
    return f"S3 answered {code} for the bucket '{bucket}'; try again, or check the bucket's settings"
