"""Logs: one line for each request, as JSON for machines or coloured for a developer's terminal."""

import json
import logging
import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from app.core.config import Settings

# What must never be read in a log, wherever a message or a traceback got it from. It may come from
# a client, so no run of characters is gone through more than a few times: an expression begins
# where a run does, and gives nothing back of what it took.
CREDENTIALS: Final = re.compile(r"(?P<url>(?<!\S)(?>\S*?://))[^\s@]*+@[^\s'\"]*+")
SECRETS: Final = re.compile(
    r"(?P<header>\b(?:authorization|(?:set-)?cookie)['\"]?\s*+[=:]\s*)[^\r\n]+"
    r"|(?P<bearer>\bbearer\s++)\S++"
    r"|(?P<jwt>(?<![\w-])(?>[\w-]*?\beyJ))[\w-]++\.[\w-]++\.[\w-]*+"
    r"|(?P<personal>tasks_pat_)\w++"
    r"|(?P<pair>\b(?>\w*?(?:password|passwd|secret|token|cookie))\w*+['\"]?\s*+[=:]\s*+)"
    r"(?:'[^']*'|\"[^\"]*\"|[^\s,;)}]+)",
    re.IGNORECASE,
)
LONGEST_PATH: Final = 200
"""Characters of a path that are shown."""

LONGEST_REQUEST_LINE: Final = 8190
"""Characters of a path that are looked through for secrets: gunicorn takes no longer line."""

IDS: Final = ("user_id", "request_id", "trace_id", "span_id")

COLORS: Final = {"DEBUG": 36, "INFO": 32, "WARNING": 33, "ERROR": 31, "CRITICAL": 35}


def redact(text: str) -> str:
    """The text without what looks like a token, a password or a URL with credentials."""
    return SECRETS.sub(_masked, CREDENTIALS.sub(_masked, text))


def _masked(match: re.Match[str]) -> str:
    return (match[match.lastgroup or 0] or "") + "********"


Context = Callable[[], dict[str, Any]]
"""Returns the fields that identify the current request; none outside of requests."""


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON."""

    def __init__(self, context: Context = dict) -> None:
        super().__init__()
        self.context = context

    def format(self, record: logging.LogRecord) -> str:
        """One line, whatever the message holds."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds")
        line: dict[str, Any] = {
            "time": at.replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": redact(record.getMessage()),
            **fields_of(record, self.context),
        }
        if record.exc_info:
            line["exception"] = redact(self.formatException(record.exc_info))
        try:
            return orjson.dumps(line, default=str).decode()
        except TypeError:  # a lone surrogate, which only escaped fits into UTF-8
            return json.dumps(line, default=str)


class TerminalFormatter(logging.Formatter):
    """Formats a record for a person to read; that of a request begins with method and path."""

    def __init__(self, context: Context = dict) -> None:
        super().__init__()
        self.context = context

    def format(self, record: logging.LogRecord) -> str:
        """The time, the level in its colour, what happened, and last the ids."""
        at = datetime.fromtimestamp(record.created).strftime("%H:%M:%S.%f")[:-3]
        level = f"\x1b[{COLORS.get(record.levelname, 0)}m{record.levelname:<7}\x1b[0m"
        values = dict(fields_of(record, self.context))
        message = redact(record.getMessage())
        if path := getattr(record, "path", None):
            message = f"{values.pop('method')} {shown_path(path)} {values.pop('status')}"
            del values["route"]
            values.pop("path", None)
        ordered = sorted(values.items(), key=lambda item: item[0] in IDS)
        fields = " ".join(f"{name}={value}" for name, value in ordered if value is not None)
        line = f"{at} {level} {message} \x1b[2m{fields}\x1b[0m"
        if record.exc_info:
            line += "\n" + redact(self.formatException(record.exc_info))
        return line


def fields_of(record: logging.LogRecord, context: Context) -> dict[str, Any]:
    """The fields that a record was given, or else those of the current request."""
    fields: dict[str, Any] | None = getattr(record, "fields", None)
    return fields or context()


def shown_path(path: str) -> str:
    """The path of a request in one short line: without its query, secrets masked, and without any
    character that a terminal would interpret.
    """
    text = redact(path[:LONGEST_REQUEST_LINE])
    shown = text if len(text) <= LONGEST_PATH else f"{text[:LONGEST_PATH]}\u2026"
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in shown
    )


class StandardOutput(logging.Handler):
    """Writes to what is standard output at the time, as that may be exchanged."""

    def emit(self, record: logging.LogRecord) -> None:
        """One line, whole even when threads write at once."""
        try:
            sys.stdout.write(f"{self.format(record)}\n")
            sys.stdout.flush()
        except Exception:
            self.handleError(record)


def configure(settings: Settings, context: Context = dict) -> None:
    """Send every log record of this process to standard output, in one form."""
    handler = StandardOutput()
    terminal = not settings.production and sys.stdout.isatty()
    handler.setFormatter((TerminalFormatter if terminal else JsonFormatter)(context))
    logging.root.handlers = [handler]
    # What no line tells is not looked up (Python, Logging HOWTO, "Optimization").
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging.root.setLevel(settings.log_level)
    # At each start Alembic lists what it is made of, which nobody asked for.
    logging.getLogger("alembic.runtime.plugins").setLevel(logging.WARNING)
