"""The circuit breaker: while the database is unavailable, requests fail at once.

The first failure to connect opens it. A background thread then probes the database, and its first
success closes the breaker. So does half a minute without requests: probing stops, and the next
request finds out for itself. Source: M. Nygard, "Release It!".
"""

import logging
from collections.abc import Callable
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

logger = logging.getLogger(__name__)


class Breaker:
    """Open while there is a failure. `probe` runs a query, or raises psycopg2.Error."""

    def __init__(self, probe: Callable[[], None]) -> None:
        self.probe = probe
        self.failure: Failure | None = None
        self.asked_at = 0.0
        self.lock = Lock()

    def check(self) -> None:
        """Raise Problem 503 while the breaker is open."""
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
        except RuntimeError:  # no thread could be started, so nothing would close the breaker again
            self.failure = None

    def _run(self) -> None:
        try:
            self._find_the_way_back()
        finally:  # however it ends, or nothing would close the breaker again
            self.failure = None

    def _find_the_way_back(self) -> None:
        opened = told_at = monotonic()
        told, pause = self.failure, FIRST_PAUSE_SECONDS
        while failure := self.failure:
            # With jitter, so that processes do not probe at the same moment.
            passing = pause * SystemRandom().uniform(0.8, 1.2)
            sleep(LASTING_PAUSE_SECONDS if failure.lasting else passing)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            if monotonic() - self.asked_at > UNASKED_SECONDS:
                return
            try:
                self.probe()
            except psycopg2.Error as error:
                self.failure = while_connecting(error)
            else:
                logger.info("the database is back after %.1f s", monotonic() - opened)
                return
            if self.failure != told or monotonic() - told_at > REMINDER_SECONDS:
                _warn(self.failure)
                told, told_at = self.failure, monotonic()


def _warn(failure: Failure) -> None:
    if failure.lasting:
        logger.error("the database refuses this service; as for DATABASE_URL: %s", failure.advice)
    else:
        logger.warning("the database is not available: %s", failure.advice)
