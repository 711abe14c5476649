"""The thread of a worker that calls webhooks, beside the one that sends mails."""

import logging
from collections.abc import Callable
from random import SystemRandom
from threading import Thread
from typing import Final

import psycopg2
from flask import Flask

from app.core.config import Settings
from app.core.problems import Problem
from app.core.secrets import accepted
from app.ops.hooks.dispatcher import Dispatcher

IDLE_SECONDS: Final = (0.7, 1.3)
HURRIED_SECONDS: Final = 0.1
FIRST_PAUSE_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 10.0

logger = logging.getLogger(__name__)


class Calls:
    """Calls what is due until the process is to end; then calls have so many seconds to end."""

    def __init__(
        self, app: Flask, settings: Settings, wait: Callable[[float], bool], grace: float
    ) -> None:
        self.app = app
        self.wait = wait
        """Waits so many seconds, or until the process is to end; returns whether it is."""
        self.grace = grace
        self.dispatcher = Dispatcher(settings, accepted())
        self.thread = Thread(target=self._run, name="webhooks", daemon=True)
        self.pause = 0.0

    def start(self) -> None:
        """Begin, in a thread."""
        self.thread.start()

    def join(self) -> None:
        """Wait for the calls that are under way to end, once the process is to end."""
        if self.thread.is_alive():
            self.thread.join(2 * self.grace + 1.0)

    def run_once(self) -> None:
        """Call what is due, in this thread. Raises Problem or psycopg2.Error."""
        while (self.dispatcher.turn() or self.dispatcher.calls) and not self.wait(0):
            pass
        self.dispatcher.end(self.grace)

    def _run(self) -> None:
        with self.app.app_context():
            while not self.wait(self._turn()):
                pass
            try:
                self.dispatcher.end(self.grace)
            except (Problem, psycopg2.Error):  # claims end by themselves
                logger.warning("the ends of some calls of webhooks are not recorded")

    def _turn(self) -> float:
        """Take a turn; return how long to wait before the next."""
        try:
            busy = self.dispatcher.turn() or self.dispatcher.calls
        except (Problem, psycopg2.Error):  # of which the main thread tells operators
            self.pause = min(max(2 * self.pause, FIRST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS)
            return self.pause
        except Exception:
            logger.exception("calling webhooks met an error that nobody foresaw")
            busy = None
        self.pause = 0.0
        if busy:
            return 0.0
        return HURRIED_SECONDS if self.dispatcher.hurries else SystemRandom().uniform(*IDLE_SECONDS)
