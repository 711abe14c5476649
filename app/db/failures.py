"""Why a connection failed: the database is full, unavailable, or wrongly configured.

The driver gives no SQLSTATE for a connection that failed or was killed, so what libpq, PgBouncer
and Neon's proxy write is all there is to tell these apart.
"""

import re
from enum import Enum, auto
from typing import Final, NamedTuple

import psycopg2

from app.core.deadline import DeadlineExceeded


class Cause(Enum):
    """Why there is no connection."""

    FULL = auto()
    """No connection is left; open ones still work."""
    AWAY = auto()
    """The server cannot be reached, or does not accept connections yet."""
    SILENT = auto()
    """The server does not answer, not even with a timeout."""
    LOST = auto()
    """The connection died with a statement on it; a new one may work."""
    NODE = auto()
    """A server of a cluster cannot be reached, the others can."""
    TLS = auto()
    """The server's certificate is wrong, or it does not support TLS. Needs an operator."""
    REFUSED = auto()
    """The server refuses the login or the database. Needs an operator."""


class Failure(NamedTuple):
    """A cause, and advice for the operator."""

    cause: Cause
    advice: str

    @property
    def sent(self) -> bool:
        """Whether the statement may have reached the server, and so may have been done."""
        return self.cause in {Cause.LOST, Cause.SILENT}

    @property
    def for_all(self) -> bool:
        """Whether every other request would fail as well."""
        return self.cause not in {Cause.FULL, Cause.LOST, Cause.NODE}

    @property
    def lasting(self) -> bool:
        """Whether it lasts until an operator acts."""
        return self.cause in {Cause.TLS, Cause.REFUSED}


# PgBouncer says query_wait_timeout of a statement that it has not sent on.
FULL: Final = re.compile(
    "too many (?:clients|connections)|remaining connection slots|no more connections allowed"
    "|query_wait_timeout",
    re.IGNORECASE,
)

LASTING: Final = {
    Cause.TLS: {
        "certificate verify failed|root certificate": (
            "its sslrootcert does not hold the authority that signed the server's certificate"
        ),
        "does not match host name": "the server's certificate is for another host name",
        "does not support SSL|server refused TLS|no pg_hba.conf entry.*no encryption": (
            "its sslmode asks for TLS, which the server does not speak"
        ),
        "channel binding": "its channel_binding asks for what the server does not offer",
    },
    Cause.REFUSED: {
        "(?:password|SASL|SCRAM) authentication failed|no password supplied|no such user"
        "|role .* does not exist|wrong password": "its user or password is not accepted",
        "database .* does not exist|no such database": "there is no database of that name",
        "no pg_hba.conf entry|not permitted to log in|permission denied for database": (
            "its user may not log in from here"
        ),
        "Name or service not known|nodename nor servname|No address associated": (
            "no host of that name is known"
        ),
        r"invalid \w+ value": "libpq does not take the value of one of its parameters",
        "endpoint (?:has been|is) disabled": (
            "the Neon endpoint is disabled; enable it in the console"
        ),
        "quota": "a quota of the Neon project is used up; see its usage in the console",
        "endpoint could not be found|Endpoint ID is not specified": (
            "the Neon endpoint does not exist"
        ),
    },
}
"""The advice for each cause that an operator has to remove, by what the message matches first."""

# Sent in answer to a statement, and meaning that there was no server to send it on to.
NOT_SENT_ON: Final = re.compile(
    "cannot connect to server|server login has been failing|server_login_retry"
    "|Couldn't connect to compute node|Control plane request failed|pgbouncer is shutting down"
    "|the database system is (?:starting|shutting|not)",
    re.IGNORECASE,
)

NOT_CONNECTED: Final = re.compile(
    "refused|could not|timeout expired|timed out|no route|unreachable|the database system is",
    re.IGNORECASE,
)
"""Said by a coordinator of Citus that has no connection to another server, and sent it nothing."""

CONNECTION_EXCEPTION: Final = "08"
"""The class of SQLSTATEs of a connection, here to another server of a cluster of Citus."""

AWAY: Final = Failure(Cause.AWAY, "it is not to be reached")
LOST: Final = Failure(Cause.LOST, "the connection broke")
POOL_FULL: Final = Failure(Cause.FULL, "every connection of this process is in use")
NO_ROOM: Final = Failure(Cause.FULL, "it has no connection left")
SILENT: Final = Failure(Cause.SILENT, "it does not answer")
NODE_LOST: Final = Failure(Cause.LOST, "its connection to a server of the cluster broke")
NODE_AWAY: Final = Failure(Cause.NODE, "a server of the cluster is not to be reached")


def explained(error: BaseException | None, variable: str = "DATABASE_URL") -> str:
    """One line for an operator: the error's text, and what to check in the setting `variable`."""
    failure = while_connecting(error)
    said = str(error).strip().split("\n", 1)[0]
    if failure.cause is Cause.SILENT and said:
        return said
    return f"{said or 'it failed'}; check {variable}: {failure.advice}"


def while_connecting(error: BaseException | None) -> Failure:
    """Classify the error of a connection that could not be made; nothing was sent on it."""
    if isinstance(error, DeadlineExceeded):
        return SILENT
    text = str(error)
    if FULL.search(text):
        return NO_ROOM
    for cause, advices in LASTING.items():
        for pattern, advice in advices.items():
            if re.search(pattern, text, re.IGNORECASE):
                return Failure(cause, advice)
    return AWAY


def while_waiting(error: BaseException | None) -> Failure:
    """Classify the error of a connection on which a statement had been sent."""
    failure = while_connecting(error)
    if failure in {SILENT, NO_ROOM}:
        return failure
    return AWAY if NOT_SENT_ON.search(str(error)) else LOST


def of_node(error: psycopg2.Error) -> Failure | None:
    """Classify an error that the database answered: None, unless it could not ask another server
    of its cluster.
    """
    if not (error.pgcode or "").startswith(CONNECTION_EXCEPTION):
        return None
    return NODE_AWAY if NOT_CONNECTED.search(str(error)) else NODE_LOST
