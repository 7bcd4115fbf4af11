"""The ways to send a CopyObject request, behind one function."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from linkage.s3.answers import Send
from linkage.s3.copy_boto3 import boto3_engine
from linkage.s3.copy_crt import crt_engine
from linkage.s3.endpoints import Endpoint

OTHER_FILES = 128  # that a run has open besides its connections for copies


@contextmanager
def open_engine(name: str, client: Any, endpoints: dict[str, Endpoint], workers: int) -> Iterator[Send]:
    """Open the engine `crt` or `boto3`; yields the function that sends one CopyObject, `send(parameters, size, done)`.

    `parameters` are those of boto3's `copy_object`, and `size` is the source's in
    bytes. `send` returns at once, never raises, and never retries. It calls
    `done(answer)` exactly once: in a thread of the engine's, or before it returns
    if the request cannot be made. `done` must be quick and must not raise.

    At most `workers` requests are in flight; others wait their turn. On leaving
    the context every request sent has been answered, and later ones are refused.
    """
    allow_open_files(workers + OTHER_FILES)
    engine = {"crt": crt_engine, "boto3": boto3_engine}[name]
    with engine(client, endpoints, workers) as send:
        yield send


def allow_open_files(wanted: int) -> None:
    """Raise this process's limit of open files to `wanted`, as far as the system allows: some start with 256."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
