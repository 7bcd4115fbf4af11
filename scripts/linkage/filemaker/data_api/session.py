"""One session at FileMaker Server's Data API, which all threads of a run share."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import quote

import requests
from requests.auth import AuthBase, HTTPBasicAuth

from linkage.errors import UnusableInput
from linkage.filemaker.data_api.account import Account
from linkage.filemaker.data_api.problems import BUSY, INVALID_TOKEN, OK, SENTENCES, NotNow, fault_of_all

TIMEOUTS = (10, 90)  # seconds to connect, and between two parts of an answer
PAUSES = (0.2, 0.5, 1)  # seconds before each retry of a call
PAUSES_AT_SIGN_IN = (*PAUSES, 2, 5, 10)  # sessions of others must end first


class Bearer(AuthBase):
    """The session's token; without an `auth`, requests would take an account from ~/.netrc."""

    def __init__(self, token: str) -> None:
        self.token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self.token}"
        return request


class Session:
    """A session that signs in when needed: at first, and when its token has expired. For use by several threads.

    No message or representation contains the password, the token or a URL, which are secrets.
    """

    def __init__(self, account: Account) -> None:
        self.account, self.token = account, ""
        self.signing_in = threading.Lock()
        self.local = threading.local()

    def __repr__(self) -> str:
        return f"Session({self.account!r})"

    @property
    def http(self) -> requests.Session:
        """This thread's connections to the server."""
        if not hasattr(self.local, "http"):
            self.local.http = requests.Session()
        http: requests.Session = self.local.http
        return http

    @property
    def verify(self) -> str | bool:
        """What certificates are verified with; given with each request, or else requests prefers REQUESTS_CA_BUNDLE."""
        return str(self.account.ca_bundle) if self.account.ca_bundle else True

    def database_path(self, *parts: str) -> str:
        """The path of something in the database, percent-encoded."""
        return "/".join(
            ["/fmi/data/vLatest/databases", *(quote(part, safe="") for part in (self.account.database, *parts))]
        )

    def call(self, method: str, *parts: str, **request: Any) -> tuple[str, dict[str, Any]]:
        """Send a call about something in the database, and return FileMaker's code and the response.

        `request` has `params` or `json`, as requests takes them. A call without a proper answer is sent again three
        times, in two seconds. So an edit may have been carried out although it ends with the code for a record that has
        changed.

        Raises NotNow if there is still none.
        """
        for pause in (*PAUSES, None):
            token = self.token or self.sign_in("")
            try:
                code, response = self.send(method, self.database_path(*parts), auth=Bearer(token), **request)
            except NotNow:
                if pause is None:
                    raise
            else:
                if code == INVALID_TOKEN:
                    self.sign_in(token)
                elif code not in BUSY:
                    return code, response
            if pause is None:
                raise NotNow(f"FileMaker{code}")
            time.sleep(pause)
        raise AssertionError

    def sign_in(self, expired: str) -> str:
        """Sign in, unless another thread has done so since the token `expired`, and return the token.

        Raises UnusableInput if the account is refused, and NotNow if the server does not answer as it should.
        """
        with self.signing_in:
            if self.token != expired:
                return self.token
            auth = HTTPBasicAuth(self.account.user.encode(), self.account.password.encode())
            for pause in (*PAUSES_AT_SIGN_IN, None):
                try:
                    code, response = self.send("POST", self.database_path("sessions"), auth=auth, json={})
                    if code == OK and response.get("token"):
                        self.token = str(response["token"])
                        return self.token
                    if code not in (*BUSY, OK):
                        raise fault_of_all(code)
                    if pause is None:
                        raise fault_of_all(code) if code in SENTENCES else NotNow("SignInWithoutToken")
                except NotNow:
                    if pause is None:
                        raise
                time.sleep(pause or 0)
            raise AssertionError

    def sign_out(self) -> None:
        """Close the session: a server has few."""
        if self.token:
            for pause in (*PAUSES, None):
                with suppress(NotNow):
                    code, _ = self.send("DELETE", self.database_path("sessions", self.token), auth=Bearer(self.token))
                    if code not in BUSY:
                        break
                time.sleep(pause or 0)
            self.token = ""

    def send(self, method: str, path: str, **request: Any) -> tuple[str, dict[str, Any]]:
        """Send one request, and return FileMaker's code and the response.

        Raises NotNow if what arrives is not an answer of the Data API, and UnusableInput if TLS cannot be verified.
        """
        try:
            answer = self.http.request(
                method, self.account.url + path, timeout=TIMEOUTS, verify=self.verify, allow_redirects=False, **request
            )
        except requests.RequestException as error:
            if "CERTIFICATE_VERIFY_FAILED" in str(error):  # other errors of TLS are those of a connection that was cut
                raise UnusableInput(
                    "the TLS certificate of FileMaker Server cannot be verified; check FILEMAKER_URL, or set "
                    "FILEMAKER_CA_BUNDLE to the certificate of its authority (PEM)"
                ) from None
            raise NotNow(type(error).__name__) from None
        try:
            # numbers stay as FileMaker writes them
            found = answer.json(parse_int=str, parse_float=str)
            return str(found["messages"][0]["code"]), found.get("response") or {}
        except (ValueError, LookupError, TypeError, AttributeError):
            raise NotNow(f"HTTP{answer.status_code}") from None


@contextmanager
def open_session(account: Account) -> Iterator[Session]:
    """A session that has signed in, and that is closed however the context ends.

    Raises UnusableInput if the server is not reached, or refuses the account.
    """
    session = Session(account)
    try:
        try:
            session.sign_in("")
        except NotNow as problem:
            raise UnusableInput(
                f"FileMaker Server does not answer as it should ({problem}); check FILEMAKER_URL, the network, and "
                "whether the Data API is enabled"
            ) from None
        yield session
    finally:
        session.sign_out()
