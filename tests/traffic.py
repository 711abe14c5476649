"""Clients at work while something is done to the service that they must not notice."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

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
