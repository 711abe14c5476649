"""The size of the database, queried at most once a minute and only while it is in use."""

import time
from threading import Lock
from typing import Any, Final

import psycopg2

from app.db.pool import beside_the_pool

DEADLINE_SECONDS: Final = 0.8
FRESH_SECONDS: Final = 60.0

QUERY: Final = (
    f"set local statement_timeout = {DEADLINE_SECONDS * 1000:.0f};"
    " select pg_database_size(current_database())"
)


class DatabaseSize:
    """Caches the bytes on disk, indexes and free space included.

    Platforms suspend an unused database; a scrape must not wake it up.
    """

    def __init__(self, parameters: dict[str, Any]) -> None:
        self.parameters = parameters
        self.lock = Lock()
        self.asked_at: float | None = None
        self.round_trips = 0.0
        self.size: int | None = None

    def current(self, round_trips: float) -> int | None:
        """Return the size if it is known; `round_trips` counts those since the server started."""
        if not self.lock.acquire(blocking=False):  # another scrape is asking
            return self.size
        try:
            if self._is_due(round_trips):
                self.size = self._query()
                self.asked_at, self.round_trips = time.monotonic(), round_trips
            return self.size
        finally:
            self.lock.release()

    def _is_due(self, round_trips: float) -> bool:
        if self.asked_at is None:
            return True
        return round_trips != self.round_trips and time.monotonic() - self.asked_at > FRESH_SECONDS

    def _query(self) -> int | None:
        try:
            with (
                beside_the_pool(self.parameters, DEADLINE_SECONDS) as connection,
                connection.cursor() as cursor,
            ):
                cursor.execute(QUERY)
                size: int = cursor.fetchone()[0]
                return size
        except psycopg2.Error:
            return None
