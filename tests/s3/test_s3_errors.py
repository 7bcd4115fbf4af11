"""What S3 and the AWS SDK say about credentials, clock, region, endpoint and permissions, as one sentence each."""

import pytest

from linkage.s3.errors import about_the_caller

ABOUT_THE_CALLER = [
    ("ExpiredToken", 400), ("ExpiredToken", 403), ("ExpiredTokenException", 400), ("InvalidToken", 400),
    ("TokenRefreshRequired", 400), ("InvalidAccessKeyId", 403), ("SignatureDoesNotMatch", 403),
    ("RequestTimeTooSkewed", 403), ("InvalidClientTokenId", 403), ("401", 401), ("Unauthorized", 401),
    ("NoCredentialsError", 403), ("UnauthorizedSSOTokenError", 403), ("SSOTokenLoadError", 403),
    ("CredentialRetrievalError", 403), ("AWS_AUTH_SIGNING_INVALID_CONFIGURATION", 403),
]  # fmt: skip
ABOUT_SOMETHING_ELSE = [
    ("AccessDenied", 403), ("403", 403), ("InvalidObjectState", 403), ("NoSuchKey", 404), ("SlowDown", 503),
    ("RequestTimeout", 400), ("PreconditionFailed", 412), ("PermanentRedirect", 301), ("407", 407),
    ("ReadTimeoutError", 0), ("BotoCoreError", 0), ("ClientError", 400), ("xml", 0), ("", 0),
]  # fmt: skip


@pytest.mark.parametrize(("code", "status"), ABOUT_THE_CALLER)
def test_credentials_and_clock_are_about_the_caller(code, status):
    assert about_the_caller(code, status)


@pytest.mark.parametrize(("code", "status"), ABOUT_SOMETHING_ELSE)
def test_a_refusal_of_one_object_is_not_about_the_caller(code, status):
    assert not about_the_caller(code, status)
