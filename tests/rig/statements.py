"""What a server's log says that its clients have sent, and what of it outlasts a transaction."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import psycopg2

from app.db.pool import APPLICATION_NAME

LOGGING: Final = "-c log_statement=all -c log_line_prefix=@%d@%u@%a@"
"""Arguments for `postgres`: every statement, marked with database, user and application."""

_ENTRY: Final = re.compile(r"^@", re.MULTILINE)
_SENT: Final = re.compile(
    r"([^@]*)@([^@]*)@([^@]*)@LOG:  (statement|execute ([^:]+)): (.*)", re.DOTALL
)
_TEXT: Final = re.compile(r"'(?:[^']|'')*'")
_COMMENT: Final = re.compile(r"/\*.*?\*/", re.DOTALL)

# PgBouncer makes a server's session that of the client it serves next, in these very letters:
# the parameters that the client named at its start, and no others ("Feature matrix").
_POOLERS_OWN: Final = re.compile(
    r"(?:SET (?:client_encoding|DateStyle|TimeZone|standard_conforming_strings|application_name)"
    r"='[^']*';)+"
)
_LASTING: Final = re.compile(
    r"set\s+(?!local\b)|reset\b|discard\b|listen\b|unlisten\b|prepare\b|deallocate\b|load\b"
    r"|create\s+(?:local\s+|global\s+)?temp|declare\b.*\bwith\s+hold\b"
    r"|.*\bset_config\s*\((?![^)]*\btrue\s*\))"
    r"|.*\bpg_(?:try_)?advisory_lock",
    re.IGNORECASE | re.DOTALL,
)


class Sent(NamedTuple):
    """A statement, where and by whom it was sent, and its name if it is a prepared one."""

    database: str
    user: str
    application: str
    name: str
    sql: str


def sent(log: str) -> Iterator[Sent]:
    """Every statement in a log that was written with LOGGING."""
    for entry in _ENTRY.split(log):
        if found := _SENT.match(entry):
            database, user, application, _, name, sql = found.groups()
            yield Sent(database, user, application, name or "", sql.strip())


def by_pooler(statement: Sent) -> bool:
    """Whether PgBouncer has sent it of its own accord."""
    return bool(_POOLERS_OWN.fullmatch(statement.sql))


def lasting(statement: Sent) -> bool:
    """Whether it leaves something in the session, where the next client would find it."""
    if statement.name not in {"", "<unnamed>"}:
        return True
    bare = _COMMENT.sub("", _TEXT.sub("''", statement.sql))
    parts = (part.strip() for part in bare.split(";"))
    return any(_LASTING.match(part) for part in parts if not part.endswith("on commit drop"))


def outlasting(url: str) -> list[str]:
    """What the service has left in sessions of this superuser's database, by the server's log."""
    connection = psycopg2.connect(url)
    try:
        with connection.cursor() as cursor:
            cursor.execute("show data_directory")
            log = Path(cursor.fetchone()[0]) / "server.log"
    finally:
        connection.close()
    name = urlsplit(url).path[1:]
    here = [one for one in sent(log.read_text()) if one.database == name]
    own = [one for one in here if one.application == APPLICATION_NAME]
    assert own, "the service has sent nothing"
    return [one.sql for one in own if not by_pooler(one) and lasting(one)]
