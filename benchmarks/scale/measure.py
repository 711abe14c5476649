"""The measurement: every request at every size in turn, so that noise meets all sizes alike."""

import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from statistics import median
from typing import Final, NamedTuple

import psycopg2
from flask import Response

from app.core import deadline
from benchmarks.scale.data import Size, application
from benchmarks.scale.plans import Log, Plan, explaining
from benchmarks.scale.requests import REQUESTS, Caller, Request, caller

OTHERS: Final = 40
"""How many ordinary users take turns."""

Key = tuple[int, str, str]
"""Size, kind of user, title of the request."""


class Place(NamedTuple):
    """One size: its callers, and what the last request spent in the database."""

    size: Size
    big: Caller
    others: list[Caller]
    seconds: list[float]

    def callers(self, turn: int) -> dict[str, Caller]:
        """The big user, and the ordinary one whose turn it is."""
        return {"big": self.big, "ordinary": self.others[turn % len(self.others)]}


class Times(NamedTuple):
    """Medians in milliseconds: of a request, and of its time in the database."""

    request: float
    database: float


def place(url: str, size: Size) -> Place:
    """The service on a database of this size."""
    served = application(url)
    seconds: list[float] = []

    @served.after_request
    def note(response: Response) -> Response:
        seconds.append(deadline.waited())
        return response

    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            step = max(1, size.users // OTHERS)
            numbers = range(1, size.users + 1, step)[:OTHERS]
            others = [caller(served, cursor, size, number) for number in numbers]
            return Place(size, caller(served, cursor, size, 0), others, seconds)


def measure(places: Sequence[Place], rounds: int) -> dict[Key, Times]:
    """The medians of all rounds, the first few of which only warm up."""
    samples: dict[Key, list[tuple[float, float]]] = defaultdict(list)
    for turn in range(-5, rounds):
        for request in REQUESTS:
            for there in places:
                for kind, who in there.callers(turn).items():
                    sample = once(there, who, request, turn)
                    if turn >= 0:
                        samples[there.size.tasks, kind, request.title].append(sample)
    return {key: Times(*map(median, zip(*found, strict=True))) for key, found in samples.items()}


def once(there: Place, who: Caller, request: Request, turn: int) -> tuple[float, float]:
    """Milliseconds of the request, and of its wait for the database."""
    started = time.perf_counter()
    who.call(request, turn)
    taken = time.perf_counter() - started
    return taken * 1000, there.seconds[-1] * 1000


def explain(url: str, there: Place) -> dict[tuple[str, str], Plan]:
    """What the database does for each request of each kind of user."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        log = Log(cursor)
    plans = {}
    with explaining(url):
        explained = place(url, there.size)
        for request in REQUESTS:
            for kind, who in explained.callers(0).items():
                for turn in (1, 2):  # the second time, what is kept for later is there
                    log.skip()
                    who.call(request, turn)
                plans[kind, request.title] = log.plan()
    return plans
