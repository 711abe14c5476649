"""The deadline of a request, which limits everything that it waits for, a free thread included.

psycopg2 calls `wait` whenever it waits for the server, so the deadline holds even if the server
hangs and does not apply its statement timeout. The connection is closed then.
Source: psycopg2, "Support for coroutine libraries".
"""

import math
import select
import threading
import time
from typing import Any, Final

import psycopg2
from flask import Flask
from psycopg2.extensions import POLL_OK, POLL_READ, POLL_WRITE, set_wait_callback

from app.core.config import Settings

EVENTS: Final = {POLL_READ: select.POLLIN, POLL_WRITE: select.POLLOUT}


class DeadlineExceeded(psycopg2.OperationalError):  # type: ignore[misc]  # psycopg2 has no types
    """The server did not answer in time; the connection is closed."""


class _Thread(threading.local):
    arrived: float | None = None
    request: float = math.inf
    length: float = math.inf
    wait: float = math.inf
    waited: float = 0.0


_thread: Final = _Thread()


def note_arrival(at: float) -> None:
    """Set when the next request of this thread arrived, in monotonic seconds."""
    _thread.arrived = at


def left() -> float:
    """Return the seconds until the deadline of this thread's request; infinite outside of one."""
    return _thread.request - time.monotonic()


def renew() -> None:
    """Give this thread's request REQUEST_DEADLINE seconds from now on."""
    _thread.request = time.monotonic() + _thread.length


class Within:
    """Limits the total time that a block waits for the database server, in seconds."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __enter__(self) -> None:
        self.before = _thread.wait
        _thread.wait = min(self.before, time.monotonic() + self.seconds)

    def __exit__(self, *_error: object) -> None:
        _thread.wait = self.before


def note_wait(seconds: float) -> None:
    """Add to the seconds that this thread's request has waited for the database."""
    _thread.waited += seconds


def waited() -> float:
    """Return the seconds that this thread's request has waited for the database."""
    return _thread.waited


def wait(connection: Any) -> None:
    """Wait for the server, at most until the limit of `Within`. Raises DeadlineExceeded."""
    while (state := connection.poll()) != POLL_OK:
        poller = select.poll()
        poller.register(connection.fileno(), EVENTS[state])
        remaining = _thread.wait - time.monotonic()
        if not poller.poll(None if math.isinf(remaining) else max(0.0, remaining * 1000)):
            raise DeadlineExceeded("the server did not answer in time")


def init_app(app: Flask, settings: Settings) -> None:
    """Set the deadline of every request to REQUEST_DEADLINE seconds after its arrival."""
    set_wait_callback(wait)

    def begin() -> None:
        arrived, _thread.arrived = _thread.arrived, None
        now = time.monotonic()
        _thread.length = settings.request_deadline
        _thread.request = (now if arrived is None else arrived) + _thread.length
        _thread.waited = 0.0

    def end(_error: BaseException | None) -> None:
        _thread.request = _thread.length = math.inf

    app.before_request(begin)
    app.teardown_request(end)
