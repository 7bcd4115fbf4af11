"""Copies sent by boto3, one thread for each request in flight."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from linkage.s3.answers import Answer, Done, Parameters, Send, ask, is_encrypted
from linkage.s3.endpoints import Endpoint


@contextmanager
def boto3_engine(client: Any, endpoints: dict[str, Endpoint], workers: int) -> Iterator[Send]:
    """The engine on boto3; see `linkage.s3.engines.open_engine`. `client` must not retry by itself."""
    with ThreadPoolExecutor(workers) as pool:

        def send(parameters: Parameters, size: int, done: Done) -> None:
            # `submit` may raise and still leave its task to a thread: only the one that takes `done` continues.
            takers = [done]
            try:
                pool.submit(copy, parameters, takers)
            except RuntimeError as error:  # the pool is closed, or the system has no more threads
                with suppress(IndexError):
                    takers.pop()(Answer(400, type(error).__name__))

        def copy(parameters: Parameters, takers: list[Done]) -> None:
            with suppress(IndexError):
                done = takers.pop()
                done(ask(partial(copy_object, client, parameters)))

        yield send


def copy_object(client: Any, parameters: Parameters) -> Answer:
    """Send one CopyObject and read its answer; raises boto3's exceptions."""
    found = client.copy_object(**parameters)
    etag = found.get("CopyObjectResult", {}).get("ETag", "").strip('"')
    return Answer(200, "", etag, is_encrypted(found)) if etag else Answer(0, "UnreadableAnswer")
