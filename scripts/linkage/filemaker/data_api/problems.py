"""What FileMaker Server answers other than what was asked for: by its own codes, never by the HTTP status."""

from linkage.errors import UnusableInput

OK, NONE_FOUND = "0", "401"
MISSING_RECORD, MISSING_FIELD, MISSING_LAYOUT = "101", "102", "105"
IN_USE, CHANGED = "301", "306"
INVALID_TOKEN, DATA_LIMIT, TOO_MANY_SESSIONS = "952", "953", "956"
# While a server restarts, or has too much to do.
BUSY = ("802", DATA_LIMIT, TOO_MANY_SESSIONS)
WRONG_ACCOUNT = ("212", "213")
NO_PRIVILEGE = ("9", "18", "201", "203", "958", "959")  # 200 and 202 may be about one record

SENTENCES = {
    "802": "FileMaker Server cannot open the database; check FILEMAKER_DATABASE, and that the database is open there",
    DATA_LIMIT: "FileMaker Server's limit of data for the Data API is used up; ask whoever runs it",
    TOO_MANY_SESSIONS: "FileMaker Server has too many Data API sessions; close some, or try again later",
    MISSING_LAYOUT: "the layout does not exist; check its name, or name another one with --layout",
    MISSING_FIELD: "the layout lacks a field that is to be read or set; `--probe` shows which",
    **dict.fromkeys(
        WRONG_ACCOUNT, "FileMaker Server rejects FILEMAKER_USER and FILEMAKER_PASSWORD; check both, and the account"
    ),
    **dict.fromkeys(
        NO_PRIVILEGE,
        "the account may not do this; give its privilege set the extended privilege fmrest, and the access to the "
        "layout that docs/importing.md lists",
    ),
}


class NotNow(Exception):
    """A retry may succeed. The message is one word for the ledger.

    `by_server`: the server did not answer as it should, so that others may fail as well.
    """

    def __init__(self, word: str, *, by_server: bool = True) -> None:
        super().__init__(word)
        self.by_server = by_server


class NotThisRecord(Exception):
    """This record cannot be handled, and a retry would not help. The message is one word for the ledger."""


def fault_of_all(code: str) -> UnusableInput:
    """The error for an answer that concerns every record."""
    return UnusableInput(f"{SENTENCES.get(code, 'FileMaker Server refuses the request')} (FileMaker's code {code})")
