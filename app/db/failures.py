"""What it means when a connection fails: the database is full, away, or wrongly addressed.

The driver gives no SQLSTATE for a connection that failed or was killed, so what libpq, PgBouncer
and Neon's proxy write is all there is to tell these apart.
"""

import re
from enum import Enum, auto
from typing import Final, NamedTuple

from app.core.deadline import DeadlineExceeded


class Cause(Enum):
    """Why there is no connection."""

    FULL = auto()
    """No room for one more now; those that are open go on."""
    AWAY = auto()
    """The server is not to be reached, or does not serve yet."""
    SILENT = auto()
    """The server does not answer in time, not even to say that it took too long."""
    LOST = auto()
    """The connection died with a statement on it; a new one may work."""
    TLS = auto()
    """The server is not the one it should be. Does not pass by itself."""
    REFUSED = auto()
    """The server does not want us. Does not pass by itself."""


class Failure(NamedTuple):
    """A cause, and what an operator can do about it."""

    cause: Cause
    advice: str

    @property
    def sent(self) -> bool:
        """Whether the statement may have reached the server, and so may have been done."""
        return self.cause in {Cause.LOST, Cause.SILENT}

    @property
    def for_all(self) -> bool:
        """Whether no other request would be served either."""
        return self.cause not in {Cause.FULL, Cause.LOST}

    @property
    def lasting(self) -> bool:
        """Whether it goes on until somebody does something about it."""
        return self.cause in {Cause.TLS, Cause.REFUSED}


# PgBouncer says query_wait_timeout of a statement that it has not sent on.
FULL: Final = re.compile(
    "too many (?:clients|connections)|remaining connection slots|no more connections allowed"
    "|query_wait_timeout",
    re.IGNORECASE,
)

LASTING: Final = tuple(
    (re.compile(pattern, re.IGNORECASE), Failure(cause, advice))
    for cause, pattern, advice in (
        (
            Cause.TLS,
            "certificate verify failed|root certificate",
            "its sslrootcert does not hold the authority that signed the server's certificate",
        ),
        (
            Cause.TLS,
            "does not match host name",
            "the server's certificate is for another host name",
        ),
        (
            Cause.TLS,
            "does not support SSL|server refused TLS|no pg_hba.conf entry.*no encryption",
            "its sslmode asks for TLS, which the server does not speak",
        ),
        (
            Cause.TLS,
            "channel binding",
            "its channel_binding asks for what the server does not offer",
        ),
        (
            Cause.REFUSED,
            "(?:password|SASL|SCRAM) authentication failed|no password supplied|no such user"
            "|role .* does not exist|wrong password",
            "its user or password is not accepted",
        ),
        (
            Cause.REFUSED,
            "database .* does not exist|no such database",
            "there is no database of that name",
        ),
        (
            Cause.REFUSED,
            "no pg_hba.conf entry|not permitted to log in|permission denied for database",
            "its user may not log in from here",
        ),
        (
            Cause.REFUSED,
            "Name or service not known|nodename nor servname|No address associated",
            "no host of that name is known",
        ),
        (
            Cause.REFUSED,
            r"invalid \w+ value",
            "libpq does not take the value of one of its parameters",
        ),
        (
            Cause.REFUSED,
            "endpoint (?:has been|is) disabled",
            "the Neon endpoint is disabled; enable it in the console",
        ),
        (
            Cause.REFUSED,
            "quota",
            "a quota of the Neon project is used up; see its usage in the console",
        ),
        (
            Cause.REFUSED,
            "endpoint could not be found|Endpoint ID is not specified",
            "the Neon endpoint does not exist",
        ),
    )
)

# Sent in answer to a statement, and meaning that there was no server to send it on to.
NOT_SENT_ON: Final = re.compile(
    "cannot connect to server|server login has been failing|server_login_retry"
    "|Couldn't connect to compute node|Control plane request failed|pgbouncer is shutting down"
    "|the database system is (?:starting|shutting|not)",
    re.IGNORECASE,
)

AWAY: Final = Failure(Cause.AWAY, "it is not to be reached")
LOST: Final = Failure(Cause.LOST, "the connection broke")
POOL_FULL: Final = Failure(Cause.FULL, "every connection of this process is in use")
NO_ROOM: Final = Failure(Cause.FULL, "it has no connection left")
SILENT: Final = Failure(Cause.SILENT, "it does not answer")


def explained(error: BaseException | None, variable: str = "DATABASE_URL") -> str:
    """What kept a connection from being made, in one line for an operator: what was said, and what
    that means for the setting that the connection was made by.
    """
    failure = while_connecting(error)
    said = str(error).strip().split("\n", 1)[0]
    if failure.cause is Cause.SILENT and said:
        return said
    return f"{said or 'it failed'}; check {variable}: {failure.advice}"


def while_connecting(error: BaseException | None) -> Failure:
    """What kept a connection from being made; nothing was sent on it."""
    if isinstance(error, DeadlineExceeded):
        return SILENT
    text = str(error)
    if FULL.search(text):
        return NO_ROOM
    return next((failure for pattern, failure in LASTING if pattern.search(text)), AWAY)


def while_waiting(error: BaseException | None) -> Failure:
    """What broke a connection that a statement had been sent on."""
    if isinstance(error, DeadlineExceeded):
        return SILENT
    text = str(error)
    if FULL.search(text):
        return NO_ROOM
    return AWAY if NOT_SENT_ON.search(text) else LOST
