"""Logs: one line for each request, as JSON for machines or coloured for a developer's terminal."""

import json
import logging
import re
import sys
import time
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from flask import Flask, has_request_context

from app.core import deadline
from app.core.config import Settings
from app.web.exchange import Request, Response, current

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

access: Final = logging.getLogger("app.access")


def redact(text: str) -> str:
    """The text without what looks like a token, a password or a URL with credentials."""
    return SECRETS.sub(_masked, CREDENTIALS.sub(_masked, text))


def _masked(match: re.Match[str]) -> str:
    return (match[match.lastgroup or 0] or "") + "********"


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, whatever the message holds."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds")
        line: dict[str, Any] = {
            "time": at.replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": redact(record.getMessage()),
            **_fields(record),
        }
        if record.exc_info:
            line["exception"] = redact(self.formatException(record.exc_info))
        try:
            return orjson.dumps(line, default=str).decode()
        except TypeError:  # a lone surrogate, which only escaped fits into UTF-8
            return json.dumps(line, default=str)


class TerminalFormatter(logging.Formatter):
    """A record for a person to read."""

    def format(self, record: logging.LogRecord) -> str:
        """The time, the level in its colour, what happened, and last the ids."""
        at = datetime.fromtimestamp(record.created).strftime("%H:%M:%S.%f")[:-3]
        level = f"\x1b[{COLORS.get(record.levelname, 0)}m{record.levelname:<7}\x1b[0m"
        values = dict(_fields(record))
        message = redact(record.getMessage())
        if record.name == access.name and has_request_context():
            message = f"{values.pop('method')} {path(current())} {values.pop('status')}"
            del values["route"]
            values.pop("path", None)
        ordered = sorted(values.items(), key=lambda item: item[0] in IDS)
        fields = " ".join(f"{name}={value}" for name, value in ordered if value is not None)
        line = f"{at} {level} {message} \x1b[2m{fields}\x1b[0m"
        if record.exc_info:
            line += "\n" + redact(self.formatException(record.exc_info))
        return line


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    """What the record is about; the request and its trace whenever there is a request."""
    fields: dict[str, Any] | None = getattr(record, "fields", None)
    return fields or (about(current()) if has_request_context() else {})


def about(incoming: Request) -> dict[str, Any]:
    """Which request it is, and in which trace (OpenTelemetry, "Trace Context in Log Formats")."""
    rule, trace = incoming.url_rule, incoming.trace
    return {
        "request_id": incoming.id,
        "trace_id": trace.trace_id,
        "span_id": trace.span_id,
        "method": incoming.method,
        "route": rule.rule if rule else None,
    }


def path(incoming: Request) -> str:
    """The path of a request in one short line: no query, secrets masked, and nothing that would do
    something to a terminal.
    """
    text = redact(incoming.path[:LONGEST_REQUEST_LINE])
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


def configure(settings: Settings) -> None:
    """Send every log record of this process to standard output, in one form."""
    handler = StandardOutput()
    terminal = not settings.production and sys.stdout.isatty()
    handler.setFormatter(TerminalFormatter() if terminal else JsonFormatter())
    logging.root.handlers = [handler]
    # What no line tells is not looked up (Python, Logging HOWTO, "Optimization").
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging.root.setLevel(settings.log_level)
    # At each start Alembic lists what it is made of, which nobody asked for.
    logging.getLogger("alembic.runtime.plugins").setLevel(logging.WARNING)


def finish_request(response: Response) -> Response:
    """Tell the log what became of the request."""
    if access.isEnabledFor(logging.INFO):
        incoming = current()
        principal = incoming.principal
        fields = {
            **about(incoming),
            "status": response.status_code,
            "duration_ms": round((time.perf_counter() - incoming.started) * 1000, 2),
            "database_ms": round(deadline.waited() * 1000, 2),
            "user_id": principal.user_id if principal else None,
        }
        if incoming.url_rule is None:
            fields["path"] = path(incoming)
        access.info("request", extra={"fields": fields})
    return response


def init_app(app: Flask) -> None:
    """Log each request of this application; registered first, so that it finishes last."""
    app.after_request(finish_request)
