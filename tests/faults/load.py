"""Many clients at once, and a balancer's and an operator's look at the service meanwhile."""

import asyncio
import time
from collections.abc import Sequence
from threading import Event, Thread
from typing import Self
from urllib.parse import urlsplit

from tests.faults.clients import PATIENCE, Client, Person, Shift, ask
from tests.faults.outcomes import Outcome
from tests.faults.wire import Wire

POLL_SECONDS = 0.2


class Load:
    """Clients in a thread of its own, from when it is entered until `stop`."""

    def __init__(self, base: str, people: Sequence[Person], think: tuple[float, float]) -> None:
        parts = urlsplit(base)
        self.shift = Shift((parts.hostname or "", parts.port or 80), think)
        self.people = people
        self.health: list[Outcome] = []
        self.database_health: list[Outcome] = []
        self._thread = Thread(target=lambda: asyncio.run(self._all()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Let each client end what it does, and return when all have."""
        self.shift.over = True
        self._thread.join(timeout=2 * PATIENCE)
        assert not self._thread.is_alive(), "a client does not end"

    def last(self, seconds: float) -> None:
        """Return after so many seconds of work."""
        Event().wait(seconds)

    def until_success(self, since: float, limit: float) -> None:
        """Return when something sent since then has succeeded, or after `limit` seconds."""
        while time.monotonic() < since + limit:
            recent = self.shift.outcomes[-500:]
            if any(outcome.succeeded and outcome.answered >= since for outcome in recent):
                return
            self.last(0.05)

    async def _all(self) -> None:
        clients = (Client(person, self.shift).work() for person in self.people)
        await asyncio.gather(
            *clients,
            self._poll("/health", self.health),
            self._poll("/health/db", self.database_health),
        )

    async def _poll(self, path: str, outcomes: list[Outcome]) -> None:
        """Ask again and again, each time on a new connection, as balancers do."""
        request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
        while not self.shift.over:
            began = time.monotonic()
            await ask(Wire(self.shift.address), request, outcomes)
            await asyncio.sleep(began + POLL_SECONDS - time.monotonic())
