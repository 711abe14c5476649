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

# Secrets that must not reach a log in any message or traceback. Clients choose the text, so that
# matching must take linear time: each expression starts where a run of characters does, and its
# possessive quantifiers and atomic groups do not backtrack.
CREDENTIALS: Final = re.compile(r"(?P<url>(?<!\S)(?>\S*?://))[^\s@]*+@[^\s'\"]*+")
SECRETS: Final = re.compile(
    r"(?P<header>\b(?:authorization|(?:set-)?cookie)['\"]?\s*+[=:]\s*)[^\r\n]+"
    r"|(?P<bearer>\bbearer\s++)\S++"
    r"|(?P<jwt>(?<![\w-])(?>[\w-]*?\beyJ))[\w-]++\.[\w-]++\.[\w-]*+"
    r"|(?P<personal>tasks_pat_)\w++"
    r"|(?P<mailed>\b(?:password|address)_)[\w-]{64}"
    r"|(?P<pair>\b(?>\w*?(?:password|passwd|secret|token|cookie))\w*+['\"]?\s*+[=:]\s*+)"
    r"(?:'[^']*'|\"[^\"]*\"|[^\s,;)}]+)",
    re.IGNORECASE,
)
LONGEST_PATH: Final = 200
"""Characters of a path that a log line shows."""

LONGEST_REQUEST_LINE: Final = 8190
"""Characters of a path that are searched for secrets; gunicorn refuses longer request lines."""

IDS: Final = ("user_id", "request_id", "trace_id", "span_id")

COLORS: Final = {"DEBUG": 36, "INFO": 32, "WARNING": 33, "ERROR": 31, "CRITICAL": 35}


def redact(text: str) -> str:
    """Mask whatever looks like a token, a password or the credentials of a URL."""
    return SECRETS.sub(_masked, CREDENTIALS.sub(_masked, text))


def _masked(match: re.Match[str]) -> str:
    return (match[match.lastgroup or 0] or "") + "********"


Context = Callable[[], dict[str, Any]]
"""Returns the fields that identify the current request; empty outside of requests."""


class RequestFormatter(logging.Formatter):
    """Base of formatters that add the fields of the current request."""

    def __init__(self, context: Context = dict) -> None:
        super().__init__()
        self.context = context

    def fields(self, record: logging.LogRecord) -> dict[str, Any]:
        """Return the fields of the record, or those of the current request if it has none."""
        fields: dict[str, Any] | None = getattr(record, "fields", None)
        return fields or self.context()


class JsonFormatter(RequestFormatter):
    """Formats a record as JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line, even if the message has line breaks."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds")
        line: dict[str, Any] = {
            "time": at.replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": redact(record.getMessage()),
            **self.fields(record),
        }
        if record.exc_info:
            line["exception"] = redact(self.formatException(record.exc_info))
        try:
            return orjson.dumps(line, default=str).decode()
        except TypeError:  # a lone surrogate, which UTF-8 can only hold escaped
            return json.dumps(line, default=str)


class TerminalFormatter(RequestFormatter):
    """Formats a record for a terminal; records of requests start with method and path."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the time, the coloured level, the message and the fields, ids last."""
        at = datetime.fromtimestamp(record.created).strftime("%H:%M:%S.%f")[:-3]
        level = f"\x1b[{COLORS.get(record.levelname, 0)}m{record.levelname:<7}\x1b[0m"
        values = dict(self.fields(record))
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


def shown_path(path: str) -> str:
    """Return a path for display: shortened, secrets masked, control characters escaped."""
    text = redact(path[:LONGEST_REQUEST_LINE])
    shown = text if len(text) <= LONGEST_PATH else f"{text[:LONGEST_PATH]}\u2026"
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in shown
    )


class StandardOutput(logging.Handler):
    """Writes to the current `sys.stdout`, which may be replaced while the process runs."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record as one line; `Handler.handle` locks, so threads do not mix lines."""
        try:
            sys.stdout.write(f"{self.format(record)}\n")
            sys.stdout.flush()
        except Exception:
            self.handleError(record)


def configure(settings: Settings, context: Context = dict) -> None:
    """Send every log record of this process to standard output, as JSON or for a terminal."""
    handler = StandardOutput()
    terminal = not settings.production and sys.stdout.isatty()
    handler.setFormatter((TerminalFormatter if terminal else JsonFormatter)(context))
    logging.root.handlers = [handler]
    # Do not collect what no format shows (Python, Logging HOWTO, "Optimization").
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging.root.setLevel(settings.log_level)
    # Alembic logs its plugins at each start; operators do not need them.
    logging.getLogger("alembic.runtime.plugins").setLevel(logging.WARNING)
