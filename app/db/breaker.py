"""The breaker: while the database is away, requests fail at once instead of waiting for it.

The first failure to connect opens it. From then on one thread, off every request's path, tries the
way back; its first success closes the breaker. So does a while without requests: the next one finds
out for itself, and nobody keeps knocking for nothing. Source: M. Nygard, "Release It!".
"""

import logging
from collections.abc import Callable, Iterator
from random import SystemRandom
from threading import Lock, Thread
from time import monotonic, sleep
from typing import Final

import psycopg2

from app.core.problem_kinds import DATABASE_UNAVAILABLE
from app.core.problems import Problem
from app.db.failures import Failure, while_connecting

FIRST_PAUSE_SECONDS: Final = 0.1
LONGEST_PAUSE_SECONDS: Final = 1.0
LASTING_PAUSE_SECONDS: Final = 15.0
REMINDER_SECONDS: Final = 60.0
UNASKED_SECONDS: Final = 30.0
JITTER: Final = SystemRandom()

logger = logging.getLogger(__name__)


class Breaker:
    """Open while there is a failure; `probe` connects and asks, or raises psycopg2.Error."""

    def __init__(self, probe: Callable[[], None]) -> None:
        self.probe = probe
        self.failure: Failure | None = None
        self.asked_at = 0.0
        self.lock = Lock()

    def check(self) -> None:
        """Let the request go on, or raise Problem 503 while the breaker is open."""
        if failure := self.failure:
            self.asked_at = monotonic()
            pause = LASTING_PAUSE_SECONDS if failure.lasting else LONGEST_PAUSE_SECONDS
            raise Problem(DATABASE_UNAVAILABLE, headers={"Retry-After": f"{pause:.0f}"})

    def open(self, failure: Failure) -> None:
        """Refuse requests until a probe succeeds; one thread at a time probes."""
        with self.lock:
            if self.failure:
                return
            self.failure, self.asked_at = failure, monotonic()
        _warn(failure)
        try:
            Thread(target=self._run, name="database-probe", daemon=True).start()
        except RuntimeError:  # no thread is to be had, and nobody would close it again
            self.failure = None

    def _run(self) -> None:
        try:
            self._find_the_way_back()
        except BaseException:
            self.failure = None  # or nobody would close it again
            raise

    def _find_the_way_back(self) -> None:
        opened = told_at = monotonic()
        failure = told = self.failure
        pauses = _pauses()
        while failure:
            sleep(LASTING_PAUSE_SECONDS if failure.lasting else next(pauses))
            if monotonic() - self.asked_at > UNASKED_SECONDS:
                self.failure = None
                return
            self.failure = failure = self._failure_now()
            if failure and (failure != told or monotonic() - told_at > REMINDER_SECONDS):
                _warn(failure)
                told, told_at = failure, monotonic()
        logger.info("the database is back after %.1f s", monotonic() - opened)

    def _failure_now(self) -> Failure | None:
        try:
            self.probe()
        except psycopg2.Error as error:
            return while_connecting(error)
        return None


def _warn(failure: Failure) -> None:
    if failure.lasting:
        logger.error("the database refuses this service; as for DATABASE_URL: %s", failure.advice)
    else:
        logger.warning("the database is not available: %s", failure.advice)


def _pauses() -> Iterator[float]:
    """Seconds between probes, each a little different, so that processes do not march in step."""
    pause = FIRST_PAUSE_SECONDS
    while True:
        yield pause * JITTER.uniform(0.8, 1.2)
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
