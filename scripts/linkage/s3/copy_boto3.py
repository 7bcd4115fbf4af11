"""Copies sent by boto3, one thread for each request in flight."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

from linkage.s3.answers import Answer, Parameters, Send, ask, is_encrypted
from linkage.s3.endpoints import Place


@contextmanager
def boto3_engine(client: Any, places: dict[str, Place], workers: int) -> Iterator[Send]:
    """boto3, a thread for each request in flight."""
    with ThreadPoolExecutor(workers) as pool:

        def copy(parameters: Parameters, done: Callable[[Answer], None]) -> None:
            done(ask(partial(copy_object, client, parameters)))

        yield lambda parameters, size, done: pool.submit(copy, parameters, done)


def copy_object(client: Any, parameters: Parameters) -> Answer:
    """One CopyObject by boto3."""
    found = client.copy_object(**parameters)
    etag = found.get("CopyObjectResult", {}).get("ETag", "").strip('"')
    return Answer(200, "", etag, is_encrypted(found)) if etag else Answer(0, "UnreadableAnswer")
