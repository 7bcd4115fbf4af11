"""One sentence for every error that PostgreSQL reports."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from linkage.errors import UnusableInput

# By SQLSTATE; the longest prefix that fits counts. `{said}` is the server's own message, used only if it can name
# nothing but a table, a column or a role: messages of other errors may contain values of a row.
SENTENCES = {
    "08": "the connection to {what} was lost; run again once it answers",
    "22": "{what} has a value that does not fit (SQLSTATE {state}); compare the tables with the mapping",
    "23": "{what} refused a row: the constraint {constraint} of the table {table} forbids it",
    "25006": "{what} is read-only; name a database that can be written to",
    "3F000": "{what} refused the query: {said}",
    "42501": "{what} refused the query: {said}; grant the role this privilege",
    "42": "{what} refused the query: {said}",
    "53": "{what} has run out of resources (SQLSTATE {state}); make room and run again",
    "53300": "{what} has too many connections; close some and run again",
    "55P03": "{what} is locked by another process; wait for it to end and run again",
    "57014": "{what} ended a query that took too long (statement_timeout); raise the timeout for this role",
    "57P": "the connection to {what} was lost; run again once it answers",
}
OTHERWISE = "{what} refused the query (SQLSTATE {state})"
# Until the connection is established there is no SQLSTATE, only text.
WHILE_CONNECTING = {
    "password": "{what} does not accept this user with this password",
    "pg_hba.conf": "{what} does not let this user connect from here",
    '" does not exist': "{what} has no such database or user",
    "too many": "{what} has too many connections; close some and run again",
    "": "{what} does not answer; check host and port, and that the server is running",
}


@contextmanager
def database_errors(what: str) -> Iterator[None]:
    """Turn every psycopg.Error into UnusableInput: one sentence, in which `what` names the database.

    The sentence contains no value of a row, no URL and no password.
    """
    try:
        yield
    except psycopg.Error as error:
        raise UnusableInput(sentence(what, error)) from None


def sentence(what: str, error: psycopg.Error) -> str:
    """The sentence for an error of the database that `what` names."""
    state, text = error.sqlstate or "", str(error)
    if error.pgconn or isinstance(error, psycopg.errors.ConnectionTimeout) or "resolve host" in text:
        template = next(answer for words, answer in WHILE_CONNECTING.items() if words in text)
    elif state:
        prefixes = [prefix for prefix in SENTENCES if state.startswith(prefix)]
        template = SENTENCES[max(prefixes, key=len)] if prefixes else OTHERWISE
    elif isinstance(error, psycopg.OperationalError):
        template = SENTENCES["08"]
    else:
        template = "the settings of the connection to {what} cannot be read"
    said = (error.diag.message_primary or "").replace("\n", " ")
    constraint, table = error.diag.constraint_name or "?", error.diag.table_name or "?"
    return template.format(what=what, state=state, said=said, constraint=constraint, table=table)
