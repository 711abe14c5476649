"""Long polls: who waits for a change, holding no connection, and no more threads than there are to
spare.

PostgreSQL's NOTIFY does not reach through a pooler, so those who wait look again every second.
"""

import time
from collections.abc import Callable
from threading import Semaphore
from typing import Final

from flask import Flask, current_app

from app import deadline, lifecycle, tally
from app.changes.queries import Feed
from app.config import Settings
from app.exchange import current
from app.metrics.families import LONG_POLLS

EXTENSION: Final = "places_to_wait"

LOOK_SECONDS: Final = 1.0


def first_change(look: Callable[[], Feed], seconds: float) -> Feed:
    """What there is as soon as there is something, and at the latest after so many seconds.

    At once if all places are taken, or the process is to end.
    """
    places: Semaphore = current_app.extensions[EXTENSION]
    feed, end = look(), time.monotonic() + seconds
    if feed.rows or not seconds or not places.acquire(blocking=False):
        return feed
    tally.add(LONG_POLLS)
    try:
        while not feed.rows and (left := end - time.monotonic()) > 0 and not lifecycle.leaving():
            sleep(min(LOOK_SECONDS, left))
            deadline.renew(current_app.config["SETTINGS"].request_deadline)
            feed = look()
    finally:
        tally.add(LONG_POLLS, amount=-1)
        places.release()
    return feed


def sleep(seconds: float) -> None:
    """Let the time pass, which is the client's and not what the answer takes."""
    time.sleep(seconds)
    current().slept += seconds


def init_app(app: Flask, settings: Settings) -> None:
    """Half of the threads may wait, so that the others answer."""
    app.extensions[EXTENSION] = Semaphore(max(1, settings.web_threads // 2))
