"""gunicorn, adapted: what it logs and answers by itself, and how it ends."""

import logging
import os
import re
import signal
from collections.abc import Iterable
from ipaddress import ip_address
from socket import socket
from types import FrameType
from typing import Any
from urllib.parse import urlsplit

from gunicorn import glogging, util

from app import lifecycle, tally
from app.config import Settings
from app.database_url import is_here
from app.errors import MEDIA_TYPE, document
from app.exchange import new_id
from app.metrics.families import PROBLEMS
from app.problems import BAD_REQUEST, BY_STATUS


class Logger(glogging.Logger):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's own lines go where the application's go, in the same form and redacted."""

    def setup(self, cfg: object) -> None:
        """Called at the start, and again when the configuration is read again."""
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.propagate = True

    def warning(self, msg: str, *args: object, **kwargs: object) -> None:
        """Without what an invalid request consisted of, which may be a password."""
        if msg.startswith("Invalid request"):
            msg = re.split("b?['\"]", msg)[0].rstrip(": ")
        super().warning(msg, *args, **kwargs)


def warn_of_development(settings: Settings, addresses: Iterable[object]) -> None:
    """Log that unsafe settings are let through, where others may reach this service or its data."""
    reach = [f"listens on {place}" for place in map(_outside, addresses) if place]
    if settings.database_url and not is_here(urlsplit(settings.database_url)):
        reach.append("uses a database on another host")
    if reach and not settings.production:
        text = "APP_ENV is %s: the service %s; set APP_ENV=production where others are served"
        logging.getLogger("app").warning(text, settings.app_env, " and ".join(reach))


def _outside(address: object) -> str | None:
    """The host of an address of gunicorn's that is not this host alone; paths of sockets are."""
    host = address[0] if isinstance(address, tuple) else "localhost"
    if host == "localhost":
        return None
    try:
        return None if ip_address(host).is_loopback else host
    except ValueError:
        return str(host)


def problem(sock: socket, status_int: int, reason: str, mesg: str) -> None:
    """In place of gunicorn's page of HTML: a problem document that tells nothing of the server."""
    kind = BY_STATUS.get(status_int, BAD_REQUEST)
    tally.add(PROBLEMS, kind.slug)
    request_id = new_id()
    body = document(kind, kind.meaning, request_id, {})
    head = (
        f"HTTP/1.1 {kind.status} {kind.title}\r\n"
        "Connection: close\r\n"
        f"Content-Type: {MEDIA_TYPE}\r\n"
        "Cache-Control: no-store\r\n"
        "X-Content-Type-Options: nosniff\r\n"
        f"X-Request-ID: {request_id}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    util.write_nonblock(sock, head.encode("ascii") + body)


def answer_with_problems() -> None:
    """Make it so: gunicorn has no setting for it, but one function makes all its answers."""
    util.write_error = problem


def end_in_order(arbiter: Any) -> None:
    """Have all workers know that the server ends before gunicorn does anything; not on a reload.

    A signal alone may be lost: a worker forked just now still has the handlers of the master.
    """
    says = {
        signal.SIGTERM: lifecycle.stop,
        signal.SIGINT: lifecycle.interrupt,
        signal.SIGQUIT: lifecycle.interrupt,
    }

    def receive(number: int, frame: FrameType | None) -> None:
        # In such a worker it is not for the server; and after USR2 another gunicorn goes on.
        if os.getpid() == arbiter.pid and not arbiter.reexec_pid:
            says[signal.Signals(number)]()
        arbiter.signal(number, frame)

    for number in says:
        signal.signal(number, receive)
