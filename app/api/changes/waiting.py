"""Long polls: who waits for a change, holding no connection, and no more threads than there are to
spare.

PostgreSQL's NOTIFY does not reach through a pooler, so those who wait look again every second.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from flask import current_app

from app.api.changes.queries import Feed
from app.core import deadline, lifecycle
from app.core.metrics import tally
from app.core.metrics.families import LONG_POLLS
from app.core.places import POLLS, NoPlace, Places
from app.web.request import current, is_closed

LOOK_SECONDS: Final = 1.0


def first_change(look: Callable[[], Feed], user_id: str, seconds: float) -> Feed:
    """What there is as soon as there is something, and at the latest after so many seconds.

    At once if there is no place for this user, the process is to end or the client has hung up.
    """
    feed, end = look(), time.monotonic() + seconds
    if feed.rows or not seconds:
        return feed
    places: Places = current_app.extensions[POLLS]
    with suppress(NoPlace), places.take(user_id):
        tally.add(LONG_POLLS)
        try:
            while not feed.rows and (left := end - time.monotonic()) > 0:
                if lifecycle.leaving() or is_closed(current()):
                    break
                pause = min(LOOK_SECONDS, left)
                time.sleep(pause)
                current().slept += pause  # not counted as the time that the answer takes
                deadline.renew()
                feed = look()
        finally:
            tally.add(LONG_POLLS, amount=-1)
    return feed
