"""The address of the dump, as a person writes it."""

import argparse
import os

from linkage.errors import UnusableInput


def add_url(parser: argparse.ArgumentParser, what: str) -> None:
    """Add the argument that names the dump; `what` is its help."""
    parser.add_argument(
        "url",
        metavar="s3://BUCKET/PREFIX",
        nargs="?",
        default=os.environ.get("DUMP", ""),
        help=f"{what}; default: the environment variable DUMP",
    )


def parse_url(url: str) -> tuple[str, str]:
    """Bucket and prefix of `s3://BUCKET/PREFIX`; the prefix is taken literally, and may be empty."""
    if not url:
        raise UnusableInput("name the dump, as an argument or in the environment variable DUMP: s3://BUCKET/PREFIX")
    scheme, _, rest = url.partition("://")
    bucket, _, prefix = rest.partition("/")
    if scheme != "s3" or not bucket:
        raise UnusableInput(
            "the first argument, or DUMP, must be s3://BUCKET/PREFIX, such as s3://my-bucket/filemaker-import/"
        )
    return bucket, prefix
