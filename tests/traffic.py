"""Clients at work while something is done to the service that they must not notice."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from threading import Event, Thread
from typing import Any, Self

from tests.conftest import Account
from tests.faults.load import Load
from tests.faults.outcomes import Outcome, Tally
from tests.faults.service import people
from tests.locks import until

CLIENTS = 20
THINK = (0.05, 0.2)


@contextmanager
def load(base: str, database_url: str) -> Iterator[Load]:
    """Clients at work, of whom each has been answered; all of them are in the end."""
    with Load(base, people(database_url, CLIENTS), THINK) as working:
        until(lambda: len(working.shift.outcomes) > 5 * CLIENTS and working.health)
        yield working
        sent = len(working.shift.outcomes)
        until(lambda: len(working.shift.outcomes) > sent + 5 * CLIENTS)


def assert_nothing_failed(*kinds: Sequence[Outcome]) -> None:
    """Every request of these has succeeded, and there were some of each."""
    for outcomes in kinds:
        tally = Tally(outcomes)
        assert tally.said() == {}, tally.said()
        assert tally.sent > 0


Ask = tuple[str, str, dict[str, Any] | None]
"""Method, path and body of a request."""


class Callers:
    """Users who ask the same again and again, with pauses in seconds, until the block ends."""

    def __init__(
        self,
        base: str,
        callers: Sequence[Account],
        asks: Callable[[], Sequence[Ask]],
        pause: float = 0.05,
    ) -> None:
        self.host, self.asks, self.pause = base.removeprefix("http://"), asks, pause
        self.told, self.statuses = Event(), Counter[object]()
        self.threads = [Thread(target=self.call, args=(caller,)) for caller in callers]

    def call(self, caller: Account) -> None:
        connection = HTTPConnection(self.host, timeout=30)
        headers = {"Authorization": f"Bearer {caller.token}", "Content-Type": "application/json"}
        while not self.told.wait(self.pause):
            try:
                for method, path, body in self.asks():
                    connection.request(method, path, json.dumps(body) if body else None, headers)
                    answer = connection.getresponse()
                    answer.read()
                    self.statuses[answer.status] += 1
            except (OSError, HTTPException) as error:
                self.statuses[repr(error)] += 1
                connection.close()
        connection.close()

    def __enter__(self) -> Self:
        for thread in self.threads:
            thread.start()
        self.goes_on()
        return self

    def __exit__(self, *_: object) -> None:
        self.told.set()
        for thread in self.threads:
            thread.join()

    def goes_on(self) -> None:
        """Return when there were some more requests of each."""
        before = self.statuses.total()
        until(lambda: self.statuses.total() > before + 4 * len(self.threads))
