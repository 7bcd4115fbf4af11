"""Where FileMaker Server is, and the account to sign in with."""

import os
import ssl
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from linkage.errors import UnusableInput
from linkage.paths import place


class Account(NamedTuple):
    """A database on a server, `https://host` with or without a port, and how to sign in; `ca_bundle` is a PEM file."""

    url: str
    database: str
    user: str
    password: str
    ca_bundle: Path | None

    def __repr__(self) -> str:
        """Without the password, which must not get into a trace."""
        return f"Account({self.url!r}, {self.database!r})"


def read_account() -> Account:
    """The account in the environment; raises UnusableInput if a variable is missing, or is not what it should be."""
    names = ("FILEMAKER_URL", "FILEMAKER_DATABASE", "FILEMAKER_USER", "FILEMAKER_PASSWORD")
    if missing := [name for name in names if not os.environ.get(name)]:
        raise UnusableInput(f"set {' and '.join(missing)}, in .env or in the shell: see .env.example")
    url, database, user, password = (os.environ[name] for name in names)
    bundle = place("FILEMAKER_CA_BUNDLE")
    if bundle and not bundle.is_file():
        raise UnusableInput(f"'{bundle}', which FILEMAKER_CA_BUNDLE names, does not exist; name a PEM file")
    try:
        ssl.create_default_context(cafile=bundle)
    except OSError:
        raise UnusableInput(f"'{bundle}', which FILEMAKER_CA_BUNDLE names, is not a PEM file of certificates") from None
    return Account(server_address(url), database, user, password, bundle)


def server_address(url: str) -> str:
    """The address without `/` at its end; raises UnusableInput unless it is `https://host`, with a port or without."""
    try:
        parts = urlsplit(url.rstrip("/"))
        usable = parts.scheme == "https" and parts.hostname and parts.port != 0
        usable = usable and not (parts.path or parts.query or parts.fragment or "@" in parts.netloc)
    except ValueError:
        usable = False
    if not usable:
        raise UnusableInput(
            "FILEMAKER_URL is not the address of a FileMaker Server; write it as https://host, without path and account"
        )
    return f"https://{parts.netloc}"
