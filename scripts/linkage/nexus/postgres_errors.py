"""One sentence for every error that PostgreSQL reports.

No word of the application's own triggers and functions is repeated: they can raise any SQLSTATE, with any text,
constraint, table or column, and all of these may contain values of a row. What they cannot choose is the place in the
server's source that reports the error (`source_file`), and its `context`.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from linkage.errors import UnusableInput

# By SQLSTATE; the longest prefix that fits counts. `{said}` is the server's own message only if it is about the text
# of our own query (`own_words`).
SENTENCES = {
    "08": "the connection to {what} was lost; run again once it answers",
    "22": "{what} has a value that does not fit (SQLSTATE {state}); compare the tables with the mapping",
    "23": "{what} refused a row: the constraint {constraint} of the table {table} forbids it",
    "25006": "{what} is read-only; name a database that can be written to",
    "3F000": "{what} refused the query: {said}",
    "40": "{what} ended the transaction in favour of another session's (SQLSTATE {state}); run again",
    "42501": "{what} refused the query: {said}; grant the role this privilege",
    "42": "{what} refused the query: {said}",
    "53": "{what} has run out of resources (SQLSTATE {state}); make room and run again",
    "53300": "{what} has too many connections; close some and run again",
    "55P03": "{what} is locked by another process; wait for it to end and run again",
    "57014": "{what} ended a query that took too long (statement_timeout); raise the timeout for this role",
    "57P": "the connection to {what} was lost; run again once it answers",
}
OTHERWISE = "{what} refused the query (SQLSTATE {state})"
RAISED = "{trigger} in {what} refused the query; ask the application's developers"
HIDDEN = (
    "{what} hides rows of the table {hidden} from this role by row-level security, and a hidden row would seem to be "
    "missing; give the role BYPASSRLS"
)
# Until the connection is established there is no SQLSTATE, only text.
UNREADABLE = "{what} cannot be reached with these settings; correct its URL, or the PG… variables"
WHILE_CONNECTING = {
    "password": "{what} does not accept this user with this password",
    "pg_hba.conf": "{what} does not let this user connect from here",
    "certificate": "the certificate of {what}'s server cannot be verified; check sslmode and sslrootcert",
    '" does not exist': "{what} has no such database or user",
    "too many": "{what} has too many connections; close some and run again",
    "invalid ": UNREADABLE,
    "": "{what} does not answer; check host and port, and that the server is running",
}
# The source files of procedural languages: what they report is what an application's function raises.
LANGUAGES = ("pl_", "plpy", "plperl", "pltcl", "plv8")
FUNCTION = re.compile(r"PL/pgSQL function ((?:\w+\.)?\w+)\(")
QUOTED = re.compile(r'"(.+)"')
# Errors that have to do with the session or the server, and with no row.
OF_NO_ROW = ("25", "40", "53", "55P03", "57")
LOST = ("FATAL", "PANIC")


@contextmanager
def database_errors(what: str) -> Iterator[None]:
    """Turn every psycopg.Error into UnusableInput: one sentence, in which `what` names the database.

    The sentence contains no value of a row, no URL, no password, and nothing that a trigger says.
    """
    try:
        yield
    except psycopg.Error as error:
        raise UnusableInput(sentence(what, error)) from None


def sentence(what: str, error: psycopg.Error) -> str:
    """The sentence for an error of the database that `what` names."""
    state, text, diag = error.sqlstate or "", str(error), error.diag
    if error.pgconn or isinstance(error, psycopg.errors.ConnectionTimeout) or "resolve host" in text:
        template = next(answer for words, answer in WHILE_CONNECTING.items() if words in text)
    elif is_raised(error):
        template = RAISED
    elif diag.source_function == "check_enable_rls":
        template = HIDDEN
    elif state:
        prefixes = [prefix for prefix in SENTENCES if state.startswith(prefix)]
        template = SENTENCES[max(prefixes, key=len)] if prefixes else OTHERWISE
    elif isinstance(error, psycopg.OperationalError):
        template = SENTENCES["08"]
    else:
        template = UNREADABLE
    return template.format(
        what=what,
        state=state,
        said=own_words(error),
        constraint=diag.constraint_name or "?",
        table=diag.table_name or "?",
        trigger=trigger(error),
        hidden=hidden_table(error),
    )


def own_words(error: psycopg.Error) -> str:
    """The server's message if it is about the text of our own query, or a privilege that it lacks; else the SQLSTATE.

    Only what is wrong with the text of a query has a position in it, and only what
    a function does has a context.
    """
    diag = error.diag
    if not diag.context and (diag.statement_position or diag.source_function == "aclcheck_error"):
        return " ".join((diag.message_primary or "").split())
    return f"SQLSTATE {error.sqlstate}"


def is_raised(error: psycopg.Error) -> bool:
    """Whether a function of the application raises this, so that all it says is the application's."""
    return (error.diag.source_file or "").startswith(LANGUAGES)


def trigger(error: psycopg.Error) -> str:
    """What to call the function that raises an error: by its name, which its rows cannot choose."""
    found = FUNCTION.match(error.diag.context or "")
    return f"the function {found[1]}" if found else "a function"


def hidden_table(error: psycopg.Error) -> str:
    """The table of which row-level security hides rows, as the server's message quotes it."""
    found = QUOTED.search(error.diag.message_primary or "")
    return found[1] if found else "?"


def concerns_row(error: psycopg.Error) -> bool:
    """Whether an error that occurs while rows are changed may be due to one of them: the connection is not lost."""
    if is_lost(error):
        return False
    return is_raised(error) or not (error.sqlstate or "").startswith(OF_NO_ROW)


def is_lost(error: psycopg.Error) -> bool:
    """Whether the connection is lost, so that nobody knows what the server has done."""
    return not error.sqlstate or error.diag.severity_nonlocalized in LOST


def broken_rule(error: psycopg.Error) -> str:
    """The rule that a refused row violates: a constraint, a column, a function, or else the kind of error."""
    if is_raised(error):
        return trigger(error)
    return error.diag.constraint_name or error.diag.column_name or type(error).__name__
