"""The size of the database, asked for at most once a minute and only while it is in use."""

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
    """Bytes on disk, indexes and free space included, as this process last learned them.

    A database that nobody uses may be suspended by its platform; a scrape does not wake it up.
    """

    def __init__(self, parameters: dict[str, Any]) -> None:
        self.parameters = parameters
        self.lock = Lock()
        self.asked_at: float | None = None
        self.flights = 0.0
        self.size: int | None = None

    def look(self, flights: float) -> int | None:
        """The size, if it is known; `flights` is how many there have been to the database."""
        if not self.lock.acquire(blocking=False):  # another scrape asks already
            return self.size
        try:
            if self._is_due(flights):
                self.size = self._ask()
                self.asked_at, self.flights = time.monotonic(), flights
            return self.size
        finally:
            self.lock.release()

    def _is_due(self, flights: float) -> bool:
        if self.asked_at is None:
            return True
        return flights != self.flights and time.monotonic() - self.asked_at > FRESH_SECONDS

    def _ask(self) -> int | None:
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
