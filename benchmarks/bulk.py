"""`make bench-bulk`: what requests of many rows cost beside their SQL on a bare cursor.

The service and the floor answer the same requests, each behind gunicorn, over one connection and in
turn, so that a busy machine slows both. What counts is the processor time of their processes.
"""

import argparse
import http.client
import logging
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple

import orjson
import psycopg2

from app import create_app
from app.api.batch.operations import writes
from app.api.batch.schemas import Batch
from app.core.ids import new_id
from benchmarks import table
from benchmarks.contestants import FLOOR, SERVICE, Running, started
from benchmarks.data import Ground, Person, as_service, ground
from benchmarks.processes import cpu_seconds
from tests.conftest import cursors, settings_for
from tests.databases import opened

HERE: Final = Path(__file__).parent
BARE: Final = replace(
    FLOOR,
    command=[*FLOOR.command[:-1], "benchmarks.bulk_floor:application"],
    title="the bare cursor",
)

THROWN: Final = """
insert into tasks (user_id, id, title, complete, priority, version, created_at, updated_at,
    deleted_at)
select %(user_id)s, id, 'Buy milk', false, 0, 1, now(), now(), now()
from unnest(%(ids)s::uuid[]) as thrown (id)
"""

Flight = list[tuple[str, Any]]
"""Statements that travel together, and their parameters."""


class Request(NamedTuple):
    """One request, and the ids of its own that it writes, which another must not repeat."""

    method: str
    path: str
    body: bytes | None = None
    ids: Sequence[str] = ()


class Case(NamedTuple):
    """A kind of request, and how many of them make a figure."""

    make: Callable[[], Request]
    count: int
    writes: bool = False
    """Whether somebody else sends them, so that what others read stays as it is."""
    thrown: bool = False
    """Whether the ids are of tasks that have to be in the trash."""


class Pair(NamedTuple):
    """Processor seconds of a request to the service and to the bare cursor."""

    service: float
    floor: float


def batch() -> Request:
    """A hundred tasks that are created, no two alike."""
    ids = [new_id() for _ in range(100)]
    bodies = [
        {"title": f"Task number {n}", "description": f"In {n} words", "priority": "high"}
        for n in range(len(ids))
    ]
    steps = [
        {"op": "create", "type": "task", "id": row_id, "body": body}
        for row_id, body in zip(ids, bodies, strict=True)
    ]
    return Request("POST", "/v1/batch", orjson.dumps({"operations": steps}), ids)


def restore() -> Request:
    """A task that comes back out of the trash."""
    row_id = new_id()
    return Request("POST", f"/v1/tasks/{row_id}/restore", ids=[row_id])


CASES: Final[dict[str, Case]] = {
    "changes, a page of 200": Case(lambda: Request("GET", "/v1/changes?limit=200"), 100),
    "changes, a page of 1": Case(lambda: Request("GET", "/v1/changes?limit=1"), 200),
    "a batch of 100": Case(batch, 50, writes=True),
    "restoring a task": Case(restore, 200, writes=True, thrown=True),
    "an export of 1,000 tasks": Case(lambda: Request("GET", "/v1/export"), 40),
}


class Recorder:
    """Asks the service in this process, to see what it sends to the database."""

    def __init__(self, database: str, people: Sequence[Person]) -> None:
        self.database = database
        self.people = people
        self.app = create_app(settings_for(as_service(database)))

    def person(self, case: Case) -> Person:
        """Who sends requests of this kind."""
        return self.people[1 if case.writes else 0]

    def requests(self, case: Case, count: int) -> list[Request]:
        """So many of this kind, with what has to be there for them."""
        made = [case.make() for _ in range(count)]
        if case.thrown:
            ids = [row_id for request in made for row_id in request.ids]
            with opened(self.database) as cursor:
                cursor.execute(THROWN, {"user_id": self.person(case).user_id, "ids": ids})
        return made

    def flights(self, case: Case) -> list[Flight]:
        """What a bare cursor has to send for a request of this kind."""
        [request] = self.requests(case, 1)
        places = {row_id: {"id": place} for place, row_id in enumerate(request.ids)}
        user_id = self.person(case).user_id
        with self.app.app_context():
            flights = [alone(user_id, request)] if case.make is batch else self.sent(case, request)
        return [
            [
                (sql, given and {k: _placed(v, places) for k, v in given.items()})
                for sql, given in flight
            ]
            for flight in flights
        ]

    def sent(self, case: Case, request: Request) -> list[Flight]:
        """What the service sends. Raises RuntimeError if it does not answer with success."""
        flights: list[Flight] = []

        class Cursor(psycopg2.extensions.cursor):
            def execute(self, statement: Any, parameters: Any = None) -> Any:
                super().execute(statement, parameters)
                text = statement if isinstance(statement, str) else statement.decode()
                flights.append([(text, dict(parameters) if parameters else None)])

        with cursors(self.app, Cursor):
            answer = self.app.test_client().open(
                request.path, method=request.method, headers=headers(self.person(case))
            )
        if answer.status_code >= 300 or not answer.data:
            raise RuntimeError(f"{request.path} was answered with {answer.status}")
        return flights


def alone(user_id: str, request: Request) -> Flight:
    """The statements that a batch's operations would be alone, in one transaction."""
    operations = Batch.model_validate_json(request.body or b"").operations
    own = [(one.statement.sql, dict(one.parameters)) for one in writes(user_id, operations)]
    return [("begin", None), *own, ("commit", None)]


def _placed(value: Any, places: dict[str, dict[str, int]]) -> Any:
    return places.get(value, value) if isinstance(value, str) else value


def headers(person: Person) -> dict[str, str]:
    """What the requests of this person come with."""
    return {"Authorization": f"Bearer {person.token}", "Content-Type": "application/json"}


def spent(running: Running, requests: Sequence[Request], person: Person) -> float:
    """Processor seconds of each of these requests. Raises RuntimeError if one of them fails."""
    connection = http.client.HTTPConnection(running.base.removeprefix("http://"), timeout=60)
    with closing(connection):
        before = cpu_seconds(running.pid)
        for request in requests:
            connection.request(request.method, request.path, request.body, headers(person))
            answer = connection.getresponse()
            if not answer.read() or answer.status >= 300:
                raise RuntimeError(f"{request.path} was answered with {answer.status}")
        return (cpu_seconds(running.pid) - before) / len(requests)


def measure(found: Ground, rounds: int, *, share: float = 1.0) -> dict[str, Pair]:
    """The medians of each case, all in turn; with a share of the requests."""
    database = found.fresh("bulk")
    recorder = Recorder(database, found.people)
    taken: dict[str, list[Pair]] = {name: [] for name in CASES}
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tasks-api-bulk-")))
        bare = replace(BARE, variables={"BULK_FLIGHTS": str(recorded(recorder, directory))})
        service, floor = (
            stack.enter_context(started(one, database, found.people[0], directory))
            for one in (SERVICE, bare)
        )
        for number in range(rounds + 1):
            for name, case in CASES.items():
                count = max(1, round(case.count * share))
                person = recorder.person(case)
                pair = Pair(
                    *(
                        spent(one, recorder.requests(case, count), person)
                        for one in (service, floor)
                    )
                )
                if number:  # the first is for what is made once
                    taken[name].append(pair)
    return {
        name: Pair(*(median(each) for each in zip(*pairs, strict=True)))
        for name, pairs in taken.items()
    }


def recorded(recorder: Recorder, directory: Path) -> Path:
    """The file that the floor reads."""
    flights = {}
    for case in CASES.values():
        path, _, query = case.make().path.partition("?")
        kind = "/".join(part for part in path.split("/") if len(part) != len(new_id()))
        flights[f"{kind}?{query}"] = recorder.flights(case)
    file = directory / "flights.json"
    file.write_bytes(orjson.dumps(flights))
    return file


def tabulated(figures: dict[str, Pair]) -> str:
    """The figures as Markdown."""
    rows = [
        f"| {name} | {pair.service * 1e6:,.0f} | {pair.floor * 1e6:,.0f} |"
        f" {pair.service / max(pair.floor, 1e-6):.2f} |"
        for name, pair in figures.items()
    ]
    head = [
        "| processor time | this service, µs | the bare cursor, µs | ratio |",
        "|---|---:|---:|---:|",
    ]
    return "\n".join([*head, *rows])


def main(argv: Sequence[str]) -> int:
    """Measure, print the table, and write it down if asked to."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bulk", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", action="store_true", help="the table into benchmarks/bulk.md")
    options = parser.parse_args(argv)
    logging.disable(logging.INFO)  # what migrations say of each step
    with ground() as found:
        text = tabulated(measure(found, options.rounds))
    print(text)
    if options.write:
        table.fill(HERE / "bulk.md", text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
