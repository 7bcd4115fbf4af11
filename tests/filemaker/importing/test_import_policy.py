"""The least-privilege policy in docs/importing.md allows what a run asks of S3, and nothing that could overwrite."""

import json
import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from import_filemaker_images import main
from linkage.paths import PROJECT_ROOT
from sandbox.filemaker_server import Record, filemaker_server
from tests.support.proxy import GET, HEAD, LIST, PUT, Request, answering_proxy
from tests.support.servers import S3

PAGE = PROJECT_ROOT / "docs" / "importing.md"
DUMP = "filemaker-import/images-bulk-dump/"
JPEG = bytes.fromhex("ffd8ffe000104a464946") + bytes(3000)
ACTIONS = {LIST: "s3:ListBucket", HEAD: "s3:GetObject", GET: "s3:GetObject", PUT: "s3:PutObject"}


def is_allowed(request: Request, bucket: str) -> bool:
    """Whether the policy on the page allows a request."""
    (policy,) = re.findall(r"```json\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    effects = {
        statement["Effect"]
        for statement in json.loads(policy.replace("CLINIC-BUCKET", bucket))["Statement"]
        if any(fnmatchcase(ACTIONS[request.kind], action) for action in several(statement["Action"]))
        and any(fnmatchcase(resource(request), pattern) for pattern in several(statement["Resource"]))
        and holds(statement.get("Condition", {}), request)
    }
    return effects == {"Allow"}


def several(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def resource(request: Request) -> str:
    return f"arn:aws:s3:::{request.bucket}" + (f"/{request.key}" if request.key else "")


def holds(condition: dict[str, Any], request: Request) -> bool:
    """Whether a request fulfils the two conditions that the policy knows."""
    prefix = condition.pop("StringLike", {}).pop("s3:prefix", "*")
    needs_condition = condition.pop("Null", {}).pop("s3:if-none-match", "") == "false"
    assert not condition
    (asked,) = request.query.get("prefix", [""])
    return fnmatchcase(asked, prefix) and (not needs_condition or "if-none-match" in request.headers)


def put_in_parts(s3: S3, key: str, body: bytes) -> None:
    """Write an object whose ETag is not an MD5, so that its bytes must be read to compare them."""
    names = {"Bucket": s3.bucket, "Key": key}
    upload = s3.client.create_multipart_upload(**names)["UploadId"]
    part = s3.client.upload_part(**names, UploadId=upload, PartNumber=1, Body=body)
    parts = {"Parts": [{"ETag": part["ETag"], "PartNumber": 1}]}
    s3.client.complete_multipart_upload(**names, UploadId=upload, MultipartUpload=parts)


def test_a_run_asks_for_nothing_that_the_policy_does_not_allow(s3: S3, tmp_path: Path, run_here):
    fields = {"id_Contact": "", "date": "10/18/2016", "NexusExportDate": ""}
    records = [Record(number, {**fields, "recid": number}, {"image_Full": JPEG}) for number in (1, 2, 3)]
    put_in_parts(s3, f"{DUMP}2.jpg", JPEG)
    s3.client.put_object(Bucket=s3.bucket, Key=f"{DUMP}3.png", Body=b"another picture")
    with answering_proxy(s3.environment) as proxy, filemaker_server(tmp_path, records) as server:
        environment = {**s3.environment, "AWS_ENDPOINT_URL_S3": proxy.endpoint, **server.environment()}
        for arguments in (["--probe"], ["--dry-run"], []):
            done = run_here(main, f"s3://{s3.bucket}/{DUMP}", *arguments, environment=environment)
    assert "uploaded 1   already present 1   conflicts 1" in done.stdout
    assert {ACTIONS[request.kind] for request in proxy.seen} == set(ACTIONS.values())
    assert [request for request in proxy.seen if not is_allowed(request, s3.bucket)] == []
    (upload, *_) = [request for request in proxy.seen if request.kind == PUT]
    unconditional = upload._replace(headers={})
    elsewhere = upload._replace(path=f"/{s3.bucket}/patients/1.jpg")
    assert not is_allowed(unconditional, s3.bucket)
    assert not is_allowed(elsewhere, s3.bucket)
