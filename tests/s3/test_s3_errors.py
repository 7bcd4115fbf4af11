"""What S3, the AWS SDK, or whoever answers in S3's place says, as one sentence that leads to the cause."""

import hashlib
import stat
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import botocore.auth
import botocore.crt.auth
import pytest
from botocore.exceptions import ClientError

import copy_objects
import list_s3_objects
from linkage.s3.answers import Answer, ask
from linkage.s3.clients import s3_client
from linkage.s3.errors import about_the_caller
from linkage.seeds import make_missing_seeds
from sandbox.s3_server import free_ports
from tests.support.copying import assert_refused, picture, write_manifest
from tests.support.proxy import Reply, error

PREFIX = "filemaker-import/images-bulk-dump/"
XML, HTML = ("Content-Type", "application/xml"), ("Content-Type", "text/html; charset=utf-8")
PAGE = b"<!DOCTYPE html><html><head><title>Blocked</title></head><body>Please sign in<br></body></html>"

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


def test_a_role_that_may_not_be_assumed_is_not_a_refusal_of_an_object():
    def refused() -> None:
        raise ClientError(
            {"Error": {"Code": "AccessDenied"}, "ResponseMetadata": {"HTTPStatusCode": 403}}, "AssumeRole"
        )

    answer = ask(refused)
    assert answer == Answer(403, "CredentialRetrievalError")
    assert about_the_caller(answer.code, answer.status)


# --- what S3, or somebody in its place, answers ----------------------------------------------------------------------


def s3_error(status: int, code: str, more: str = "", *headers: tuple[str, str]) -> Reply:
    """An error of S3's with further elements and headers."""
    return Reply(status, [XML, *headers], f"<Error><Code>{code}</Code><Message>x</Message>{more}</Error>".encode())


ANSWERS: dict[str, tuple[Reply, str]] = {
    "expired": (error(400, "ExpiredToken"), "or are not valid (ExpiredToken); log in with `aws sso login`"),
    "another token": (error(400, "InvalidToken"), "have expired or are not valid (InvalidToken)"),
    "unknown key": (error(403, "InvalidAccessKeyId"), "rejected these credentials"),
    "401": (Reply(401, [], b""), "rejected these credentials"),
    "wrong clock": (s3_error(403, "RequestTimeTooSkewed"), "clock is wrong; set it"),
    "region in the header": (
        s3_error(301, "PermanentRedirect", "", ("x-amz-bucket-region", "eu-west-3")),
        "is in the region eu-west-3; set AWS_REGION to eu-west-3, and AWS_ENDPOINT_URL_S3 to an endpoint",
    ),
    "region in the error": (
        s3_error(400, "AuthorizationHeaderMalformed", "<Region>eu-west-3</Region>"), "set AWS_REGION to eu-west-3"
    ),
    "region in the endpoint": (
        s3_error(301, "PermanentRedirect", "<Endpoint>b.s3.eu-west-3.amazonaws.com</Endpoint>"),
        "set AWS_REGION to eu-west-3",
    ),
    "no region": (s3_error(301, "PermanentRedirect"), "is in another region (PermanentRedirect); set AWS_REGION"),
    "a region that S3 does not allow": (
        s3_error(400, "IllegalLocationConstraintException"), "is in another region"
    ),
    **{
        f"to https, {status}": (
            Reply(status, [HTML, ("Location", "https://127.0.0.1/")], PAGE), f"over https only (status {status})"
        )
        for status in (301, 302, 307, 308)
    },
    "to another host": (
        Reply(302, [HTML, ("Location", "https://user:secret@login.example.org/x?token=1")], PAGE),
        "redirects to https://login.example.org (status 302)",
    ),
    **{
        f"HTML, {status}": (Reply(status, [HTML], PAGE), f"answered in its place (status {status})")
        for status in (400, 403, 407, 502, 503)
    },
    "XHTML, 403": (Reply(403, [HTML], b"<html><body>no</body></html>"), "answered in its place (status 403)"),
    "HTML, 200": (Reply(200, [HTML], PAGE), "answered in its place with an HTML page (status 200)"),
    "XHTML, 200": (Reply(200, [HTML], b"<html><body>no</body></html>"), "answered in its place"),
    "text": (
        Reply(400, [("Content-Type", "text/plain")], b"Client sent an HTTP request to an HTTPS server.\n"),
        "answered in its place (status 400); check AWS_ENDPOINT_URL_S3",
    ),
    "access denied": (error(403, "AccessDenied"), "(AccessDenied); allow these credentials s3:ListBucket there"),
    "403, no body": (Reply(403, [], b""), "(403); allow these credentials s3:ListBucket there"),
    "no such bucket": (error(404, "NoSuchBucket"), "does not exist; check its name and the endpoint"),
    "something else": (error(400, "Odd"), "answered Odd"),
}  # fmt: skip


@pytest.mark.parametrize("what", ANSWERS)
@pytest.mark.parametrize("step", ["list", "copy", "dry run"])
def test_an_answer_gives_one_sentence_that_leads_to_the_cause(s3, proxy, tmp_path, run_here, what, step):
    reply, saying = ANSWERS[what]
    make_missing_seeds(Path(s3.environment["LINKAGE_DATA"]))
    manifest = write_manifest(tmp_path, [picture(s3, 1)])
    proxy.rule = lambda request: reply
    environment = s3.environment | {"AWS_ENDPOINT_URL_S3": proxy.endpoint}
    if step == "list":
        run = run_here(list_s3_objects.main, f"s3://{s3.bucket}/{PREFIX}", environment=environment)
    else:
        options = ["--dry-run"] if step == "dry run" else []
        run = run_here(copy_objects.main, manifest, *options, environment=environment)
    assert_refused(run, saying=saying)
    assert "secret" not in run.stderr
    assert len(proxy.seen) < 20


@pytest.mark.parametrize(("minutes", "saying"), [(61.2, "61 minutes slow"), (-1499.8, "1,500 minutes fast")])
def test_a_wrong_clock_is_said_by_how_much_if_the_answer_shows_it(s3, proxy, run_here, minutes, saying):
    def skewed(request: Any) -> Reply:
        date = format_datetime(datetime.now(UTC) + timedelta(minutes=minutes), usegmt=True)
        return s3_error(403, "RequestTimeTooSkewed", "", ("Date", date))

    proxy.rule = skewed
    environment = s3.environment | {"AWS_ENDPOINT_URL_S3": proxy.endpoint}
    run = run_here(list_s3_objects.main, f"s3://{s3.bucket}/x/", environment=environment)
    assert_refused(run, saying=f"clock is {saying}; set it")


def test_the_real_server_shows_that_the_clock_is_wrong(s3, run_here, monkeypatch):
    for module in (botocore.auth, botocore.crt.auth):
        now = module.get_current_datetime
        monkeypatch.setattr(module, "get_current_datetime", lambda now=now, **more: now(**more) - timedelta(minutes=40))
    run = run_here(list_s3_objects.main, f"s3://{s3.bucket}/x/", environment=s3.environment)
    assert_refused(run, saying="clock is")


def test_a_redirected_bucket_is_asked_for_once_more_and_not_until_the_stack_is_full(s3, proxy, monkeypatch):
    for name, value in (s3.environment | {"AWS_ENDPOINT_URL_S3": proxy.endpoint}).items():
        monkeypatch.setenv(name, value)
    proxy.rule = lambda request: Reply(307, [("Location", "https://127.0.0.1/")], b"")
    for operation in ("head_bucket", "list_objects_v2"):
        with pytest.raises(ClientError) as redirected:
            getattr(s3_client(), operation)(Bucket=s3.bucket)
        assert redirected.value.response["ResponseMetadata"]["HTTPStatusCode"] == 307
    assert len(proxy.seen) == 3


# --- settings --------------------------------------------------------------------------------------------------------

SSO = "sso_start_url = https://example.awsapps.com/start\nsso_region = us-east-1"
ACCOUNT = "sso_account_id = 123456789012\nsso_role_name = reader"
ROLE = "role_arn = arn:aws:iam::123456789012:role/reader"
PROFILES: dict[str, tuple[str, str]] = {
    "single sign-on": (f"{SSO}\n{ACCOUNT}", "has not begun; log in with `aws sso login --profile clinic`"),
    "a session of single sign-on": (
        f"sso_session = work\n{ACCOUNT}\n[sso-session work]\n{SSO}",
        "log in with `aws sso login --profile clinic`",
    ),
    "a login": ("login_session = arn:aws:iam::123456789012:user/x", "log in with `aws login --profile clinic`"),
    "a program that fails": ("credential_process = sh -c 'echo secret >&2; exit 3'", "run its credential_process"),
    "a program that prints something else": ("credential_process = echo secret", "run its credential_process"),
    "a program that does not exist": ("credential_process = /nowhere/issue", "'/nowhere/issue', from which"),
    "a source that does not exist": (f"{ROLE}\nsource_profile = nobody", "check its source_profile"),
    "a circle": (f"{ROLE}\nsource_profile = b\n[profile b]\n{ROLE}\nsource_profile = clinic", "its source_profile"),
    "expired": (
        'credential_process = echo {"Version":1,"AccessKeyId":"a","SecretAccessKey":"b","SessionToken":"c",'
        '"Expiration":"2020-01-01T00:00:00Z"}'.replace('"', '\\"'),
        "renew them, and check this machine's clock",
    ),
    "no profile at all": ("]", "the AWS configuration file"),
}


def with_profile(s3: Any, folder: Any, text: str) -> dict[str, str]:
    """The environment of somebody whose only credentials are those of the profile `clinic`."""
    config = folder / "config"
    config.write_text(f"[profile clinic]\n{text}\n" if text != "]" else text)
    keyless = {name: value for name, value in s3.environment.items() if not name.endswith(("KEY_ID", "ACCESS_KEY"))}
    return {**keyless, "AWS_PROFILE": "clinic", "AWS_CONFIG_FILE": str(config), "HOME": str(folder)}


@pytest.mark.parametrize("what", PROFILES)
def test_a_profile_without_credentials_is_named_with_what_to_do(s3, tmp_path, run_here, what):
    text, saying = PROFILES[what]
    run = run_here(list_s3_objects.main, f"s3://{s3.bucket}/x/", environment=with_profile(s3, tmp_path, text))
    assert_refused(run, saying=saying)
    assert "secret" not in run.stderr


def test_an_expired_single_sign_on_says_how_to_log_in(s3, tmp_path, run_here):
    cache = tmp_path / ".aws" / "sso" / "cache"
    cache.mkdir(parents=True)
    token = cache / f"{hashlib.sha1(b'https://example.awsapps.com/start').hexdigest()}.json"
    token.write_text('{"accessToken": "secret", "expiresAt": "2020-01-01T00:00:00Z"}')
    token.chmod(stat.S_IRUSR)
    environment = with_profile(s3, tmp_path, f"{SSO}\n{ACCOUNT}")
    run = run_here(list_s3_objects.main, f"s3://{s3.bucket}/x/", environment=environment)
    assert_refused(run, saying="`aws sso login --profile clinic`")


def test_a_role_that_may_not_be_assumed_is_said(s3, proxy, tmp_path, run_here):
    keys = "[profile b]\naws_access_key_id = a\naws_secret_access_key = b"
    environment = with_profile(s3, tmp_path, f"{ROLE}\nsource_profile = b\n{keys}")
    refusal = b"<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code></Error></ErrorResponse>"
    proxy.rule = lambda request: Reply(403, [("Content-Type", "text/xml")], refusal)
    run = run_here(
        list_s3_objects.main, f"s3://{s3.bucket}/x/", environment=environment | {"AWS_ENDPOINT_URL_STS": proxy.endpoint}
    )
    assert_refused(run, saying="AssumeRole for the AWS profile 'clinic' was answered with AccessDenied")


@pytest.mark.parametrize(
    "url", ["127.0.0.1:9000", "s3.example.org", "http:/127.0.0.1", "https://", "s3://bucket", "http://127.0.0.1:99999"]
)
def test_an_endpoint_that_is_not_an_address_is_said(s3, run_here, url):
    environment = s3.environment | {"AWS_ENDPOINT_URL_S3": url}
    run = run_here(list_s3_objects.main, f"s3://{s3.bucket}/x/", environment=environment)
    assert_refused(run, saying="AWS_ENDPOINT_URL_S3 is not an address; write it with http:// or https://")


OTHER_SETTINGS: dict[str, tuple[dict[str, str], str]] = {
    "region": ({"AWS_REGION": "eu west"}, "AWS_REGION is not the name of a region"),
    "proxy": ({"HTTP_PROXY": "http://user:secret@127.0.0.1:9"}, "the proxy http://127.0.0.1:9 cannot be used"),
    "config": ({"AWS_CONFIG_FILE": "/nowhere/config", "AWS_PROFILE": "clinic"}, "AWS_PROFILE names a profile"),
}


@pytest.mark.parametrize("what", OTHER_SETTINGS)
def test_a_setting_that_cannot_be_used_is_named(s3, run_here, what):
    change, saying = OTHER_SETTINGS[what]
    run = run_here(list_s3_objects.main, f"s3://{s3.bucket}/x/", environment=s3.environment | change)
    assert_refused(run, saying=saying)
    assert "secret" not in run.stderr


def test_a_server_without_tls_and_a_missing_bundle_are_told_apart(s3, proxy, run_here, tmp_path):
    over_tls = s3.environment | {"AWS_ENDPOINT_URL_S3": proxy.endpoint.replace("http:", "https:")}
    run = run_here(list_s3_objects.main, f"s3://{s3.bucket}/x/", environment=over_tls)
    assert_refused(run, saying="does not use TLS; write http://")
    missing = over_tls | {"AWS_CA_BUNDLE": str(tmp_path / "nowhere.pem")}
    run = run_here(list_s3_objects.main, f"s3://{s3.bucket}/x/", environment=missing)
    assert_refused(run, saying="which AWS_CA_BUNDLE names, does not exist")


def test_a_server_that_cannot_be_reached_is_named_without_path(s3, run_here):
    url = f"http://127.0.0.1:{free_ports(1)[0]}"
    environment = s3.environment | {"AWS_ENDPOINT_URL_S3": f"{url}/a/path"}
    run = run_here(list_s3_objects.main, f"s3://{s3.bucket}/x/", environment=environment)
    assert_refused(run, saying=f"error: {url} cannot be reached")
