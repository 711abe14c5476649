"""Hints: Pushpin is told that a user has news, never what.

A request only notes the user; one thread of the process does the telling. What is lost, because
Pushpin is unavailable or too many users have news, costs nobody anything but time: clients ask
again when their hold ends.
"""

import atexit
import logging
import time
from collections.abc import Callable, Sequence
from http.client import HTTPConnection, HTTPException
from threading import Condition, Thread
from typing import Final

import orjson
from flask import Flask

from app.core import news
from app.core.config import Settings
from app.core.grip_url import Grip
from app.core.metrics import tally
from app.core.metrics.families import HINTS
from app.web.hint_queue import HintQueue

TIMEOUT_SECONDS: Final = 2.0
PAUSE_SECONDS: Final = 0.005
"""Between two requests: news of the meantime go into one."""
WARNING_SECONDS: Final = 60.0
PARTING_SECONDS: Final = 1.0
"""How long the end of the process waits for the last hints."""

HINT: Final = {"http-stream": {"action": "hint"}, "http-response": {"action": "hint"}}

Post = Callable[[Sequence[str]], None]
"""Tells of these users. Raises OSError or HTTPException if that fails."""

logger = logging.getLogger(__name__)


class Hints:
    """Tells Pushpin of users with news, in a thread that the first of them starts."""

    def __init__(self, post: Post) -> None:
        self.post: Final = post
        self.queue: Final = HintQueue()
        self.changed: Final = Condition()
        self.thread: Thread | None = None
        self.leaving = False
        self.warned_at = float("-inf")

    def tell(self, user_id: str) -> None:
        """Note that the user has news, without waiting."""
        with self.changed:
            if not self.queue.add(user_id):
                tally.add(HINTS, "dropped")
            elif self.thread is None:  # not earlier, as a fork would leave the thread behind
                self.thread = Thread(target=self._run, name="hints", daemon=True)
                self.thread.start()
                atexit.register(self.close)
            else:
                self.changed.notify()

    def close(self) -> None:
        """Tell what there is to tell before the process ends, for a second at most."""
        with self.changed:
            self.leaving = True
            self.changed.notify()
        if self.thread is not None:
            self.thread.join(PARTING_SECONDS)

    def _run(self) -> None:
        while users := self._next():
            try:
                self.post(users)
            except (OSError, HTTPException) as error:
                tally.add(HINTS, "dropped", amount=len(users))
                self._warn(error)
            else:
                tally.add(HINTS, "sent", amount=len(users))
            time.sleep(PAUSE_SECONDS)

    def _next(self) -> list[str]:
        """Wait for users to tell of; nobody once the process ends and all is told."""
        with self.changed:
            while True:
                if users := self.queue.take(time.monotonic(), all_of_them=self.leaving):
                    return users
                if self.leaving:
                    return []
                self.changed.wait(self.queue.seconds(time.monotonic()))

    def _warn(self, error: Exception) -> None:
        now = time.monotonic()
        if now - self.warned_at >= WARNING_SECONDS:
            self.warned_at = now
            reason = type(error).__name__
            logger.warning("Pushpin was not told of news (%s); clients learn of them later", reason)


def post_to(grip: Grip) -> Post:
    """Return what publishes to this Pushpin, which closes the connection after each response."""

    def post(users: Sequence[str]) -> None:
        items = [{"channel": user_id, "formats": HINT} for user_id in users]
        connection = HTTPConnection(grip.host, grip.port, timeout=TIMEOUT_SECONDS)
        try:
            headers = {"Content-Type": "application/json"}
            connection.request("POST", "/publish/", orjson.dumps({"items": items}), headers)
            response = connection.getresponse()
            response.read()
            if response.status != 200:
                raise HTTPException(f"status {response.status}")
        finally:
            connection.close()

    return post


def init_app(app: Flask, settings: Settings) -> None:
    """Tell of the news of this application, if there is a Pushpin."""
    if settings.grip_url:
        news.listen(app, Hints(post_to(Grip.parse(settings.grip_url))).tell)
