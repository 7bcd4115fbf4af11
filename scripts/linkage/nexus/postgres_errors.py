"""What PostgreSQL says no to, in one sentence."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from linkage.errors import UnusableInput

# By the longest beginning of the SQLSTATE that is here. `{said}` is the server's own words, only where these can name
# nothing but a table, a column or a role; of other errors they may hold values of a row.
SENTENCES = {
    "08": "the connection to {what} was lost; run again once it answers",
    "22": "{what} has a value that does not fit (SQLSTATE {state}); compare the tables with the mapping",
    "23": "{what} refused a row: the constraint {constraint} of the table {table} forbids it",
    "25006": "{what} is read-only; name a database that can be written to",
    "3F000": "{what} refused the query: {said}",
    "42501": "{what} refused the query: {said}; grant the role what it lacks",
    "42": "{what} refused the query: {said}",
    "53": "{what} has no room left (SQLSTATE {state}); make room and run again",
    "53300": "{what} has too many connections; close some and run again",
    "55P03": "{what} is locked by another process; wait for it to end and run again",
    "57014": "{what} ended a query that took too long (statement_timeout); let this role's queries take longer",
    "57P": "the connection to {what} was lost; run again once it answers",
}
OTHERWISE = "{what} refused the query (SQLSTATE {state})"
# Before the connection stands there is no SQLSTATE, only text.
WHILE_CONNECTING = {
    "password": "{what} does not accept this user with this password",
    "pg_hba.conf": "{what} does not let this user in from here",
    '" does not exist': "{what} has no such database or user",
    "too many": "{what} has too many connections; close some and run again",
    "": "{what} does not answer; check host and port, and that the server runs",
}


@contextmanager
def database_errors(what: str) -> Iterator[None]:
    """Turn every psycopg.Error inside into UnusableInput: one sentence, in which `what` names the database.

    The sentence holds no value of a row, no URL and no password.
    """
    try:
        yield
    except psycopg.Error as error:
        raise UnusableInput(sentence(what, error)) from None


def sentence(what: str, error: psycopg.Error) -> str:
    """What went wrong."""
    state, text = error.sqlstate or "", str(error)
    if error.pgconn or isinstance(error, psycopg.errors.ConnectionTimeout) or "resolve host" in text:
        template = next(answer for words, answer in WHILE_CONNECTING.items() if words in text)
    elif state:
        beginnings = [begin for begin in SENTENCES if state.startswith(begin)]
        template = SENTENCES[max(beginnings, key=len)] if beginnings else OTHERWISE
    elif isinstance(error, psycopg.OperationalError):
        template = SENTENCES["08"]
    else:
        template = "the settings of the connection to {what} cannot be read"
    said = (error.diag.message_primary or "").replace("\n", " ")
    constraint, table = error.diag.constraint_name or "?", error.diag.table_name or "?"
    return template.format(what=what, state=state, said=said, constraint=constraint, table=table)
