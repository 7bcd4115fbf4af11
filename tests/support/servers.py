"""The real S3 server, as tests use it."""

import uuid
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class S3:
    """A real S3 server with an empty bucket; `environment` is that of a process that uses it."""

    client: Any
    bucket: str
    environment: dict[str, str]

    def new_bucket(self) -> str:
        """Create another empty bucket; returns its name."""
        bucket = f"clinic-{uuid.uuid4()}"
        self.client.create_bucket(Bucket=bucket)
        return bucket
