"""The ways to send a CopyObject, behind one function."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from linkage.s3.answers import Send
from linkage.s3.copy_boto3 import boto3_engine
from linkage.s3.copy_crt import crt_engine
from linkage.s3.endpoints import Place

OTHER_FILES = 128  # that a run has open beside its connections for copies


@contextmanager
def open_engine(name: str, client: Any, places: dict[str, Place], workers: int) -> Iterator[Send]:
    """The function that sends one CopyObject: `send(parameters, size, done)`.

    `parameters` are boto3's for `copy_object`, `size` is the source's in bytes,
    and `done` is called with the Answer, from another thread. It never raises
    for what S3 answers, and never tries again.
    """
    allow_open_files(workers + OTHER_FILES)
    engine = {"crt": crt_engine, "boto3": boto3_engine}[name]
    with engine(client, places, workers) as send:
        yield send


def allow_open_files(most: int) -> None:
    """Have this process open so many files and connections, as far as the system lets it: some begin with 256."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = most if hard == resource.RLIM_INFINITY else min(most, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
