"""The least-privilege policy in the docs allows what a run asks of S3, and nothing else."""

import json
import re
from fnmatch import fnmatchcase
from urllib.parse import unquote

import pytest

from copy_objects import main
from linkage.paths import PROJECT_ROOT
from tests.support.copying import body, hindered, pictures, upload, write_manifest
from tests.support.proxy import BUCKET, COPY, LIST, PUT, TAGS, Request, answering_proxy

PAGE = PROJECT_ROOT / "docs" / "copying.md"


def statements(bucket: str) -> list[dict]:
    (policy,) = re.findall(r"```json\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return json.loads(policy.replace("CLINIC-BUCKET", bucket))["Statement"]


def matches(patterns: str | list[str], text: str) -> bool:
    return any(fnmatchcase(text, pattern) for pattern in ([patterns] if isinstance(patterns, str) else patterns))


def effects(policy: list[dict], action: str, resource: str) -> set[str]:
    return {
        statement["Effect"]
        for statement in policy
        if matches(statement["Action"], action) and matches(statement["Resource"], f"arn:aws:s3:::{resource}")
    }


def demands(request: Request) -> set[tuple[str, str]]:
    """The actions, each with its resource, that AWS requires permission for when it receives this request."""
    if request.kind in (BUCKET, LIST):
        return {("s3:ListBucket", request.bucket)}
    resource = f"{request.bucket}/{request.key}"
    if request.kind == COPY:
        source = unquote(request.headers["x-amz-copy-source"])
        reading = {("s3:GetObject", source), ("s3:GetObjectTagging", source)}
        return {("s3:PutObject", resource), ("s3:PutObjectTagging", resource), *reading}
    return {({PUT: "s3:PutObject", TAGS: "s3:GetObjectTagging"}.get(request.kind, "s3:GetObject"), resource)}


def test_a_run_asks_for_nothing_that_the_policy_does_not_allow(s3, tmp_path, run_here):
    unlinked = [row._replace(destination_key=f"unlinked/wound/{name}.jpg") for name, row in hindered(s3).items()]
    upload(s3, unlinked[0].destination_key, body(s3, unlinked[0].source_key))
    manifest = write_manifest(tmp_path, [*pictures(s3, 3), *hindered(s3).values(), *unlinked])
    with answering_proxy(s3.environment) as proxy:
        environment = s3.environment | {"AWS_ENDPOINT_URL_S3": proxy.endpoint}
        for arguments in (["--dry-run"], [], [], ["--verify"]):
            run_here(main, manifest, *arguments, environment=environment)
    asked = set().union(*(demands(request) for request in proxy.seen))
    assert {action for action, _ in asked} == {
        "s3:ListBucket", "s3:GetObject", "s3:GetObjectTagging", "s3:PutObject", "s3:PutObjectTagging",
    }  # fmt: skip
    policy = statements(s3.bucket)
    assert {(action, resource) for action, resource in asked if effects(policy, action, resource) != {"Allow"}} == set()


@pytest.mark.parametrize(
    ("action", "key"),
    [
        ("s3:DeleteObject", "filemaker-import/images-bulk-dump/1.jpg"),
        ("s3:DeleteObject", "patients/1/images/b/1.jpg"),
        ("s3:DeleteObjectVersion", "patients/1/images/b/1.jpg"),
        ("s3:DeleteObjectTagging", "filemaker-import/images-bulk-dump/1.jpg"),
        ("s3:PutObject", "filemaker-import/images-bulk-dump/1.jpg"),
        ("s3:PutObjectTagging", "filemaker-import/images-bulk-dump/1.jpg"),
        ("s3:PutObjectAcl", "filemaker-import/images-bulk-dump/1.jpg"),
    ],
)
def test_actions_that_would_harm_an_image_are_denied_regardless_of_what_else_is_allowed(action, key):
    assert "Deny" in effects(statements("clinic"), action, f"clinic/{key}")
