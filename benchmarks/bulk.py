"""`make bench-bulk`: what bulk requests cost beside the same SQL on a bare cursor.

In one process and in turn, so that a busy machine slows both: processor time of one thread, from
the WSGI call to the last byte, and from the statement to the rows as JSON.
"""

import argparse
import logging
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple

import orjson
import psycopg2
from werkzeug.test import EnvironBuilder

from app import create_app
from app.exchange import new_id
from benchmarks import table
from benchmarks.data import Ground, Person, as_service, ground
from tests.conftest import cursors, settings_for

HERE: Final = Path(__file__).parent


THROWN: Final = """
insert into tasks (user_id, id, title, complete, priority, version, created_at, updated_at,
    deleted_at)
select %(user_id)s, id, 'Buy milk', false, 0, 1, now(), now(), now()
from unnest(%(ids)s::uuid[]) as thrown (id)
"""


class Request(NamedTuple):
    """One request, and the ids of its own that it writes, which another must not repeat."""

    method: str
    path: str
    body: bytes | None = None
    ids: Sequence[str] = ()
    thrown: bool = False
    """Whether the ids are of tasks that have to be in the trash."""


Part = tuple[Any, Any]
"""A statement and its parameters."""

Case = Callable[[Person], Request]


def first_copy(_: Person) -> Request:
    """A page of 200 of a first copy."""
    return Request("GET", "/v1/changes?limit=200")


def nothing_new(_: Person) -> Request:
    """The last page of a copy: one change."""
    return Request("GET", "/v1/changes?limit=1")


def batch(_: Person) -> Request:
    """A hundred tasks that are created."""
    ids = [new_id() for _ in range(100)]
    body = {"title": "Buy milk", "description": "Two litres", "priority": "high"}
    steps = [{"op": "create", "type": "task", "id": row_id, "body": body} for row_id in ids]
    return Request("POST", "/v1/batch", orjson.dumps({"operations": steps}), ids)


def restore(_: Person) -> Request:
    """A task that comes back out of the trash."""
    row_id = new_id()
    return Request("POST", f"/v1/tasks/{row_id}/restore", ids=[row_id], thrown=True)


def export(_: Person) -> Request:
    """An account with a thousand tasks."""
    return Request("GET", "/v1/export")


CASES: Final[dict[str, Case]] = {
    "changes, a page of 200": first_copy,
    "changes, a page of 1": nothing_new,
    "a batch of 100": batch,
    "restoring a task": restore,
    "an export of 1,000 tasks": export,
}


class Pair(NamedTuple):
    """Processor seconds of the service and of the bare cursor."""

    service: float
    floor: float


class Bench:
    """The service and a bare cursor on the same database."""

    def __init__(self, database: str, person: Person) -> None:
        self.person = person
        self.app = create_app(settings_for(as_service(database)))
        self.connection = psycopg2.connect(as_service(database))
        self.connection.autocommit = True
        self.owner = psycopg2.connect(database)
        self.owner.autocommit = True

    def run(self, case: Case) -> Pair:
        """Both once, each with ids of its own."""
        return Pair(self.service(self.request(case)), self.floor(case))

    def request(self, case: Case) -> Request:
        """One of this kind, with what has to be there for it."""
        request = case(self.person)
        if request.thrown:
            self.throw_away(request.ids)
        return request

    def throw_away(self, ids: Sequence[str]) -> None:
        """Make tasks with these ids that are in the trash."""
        with self.owner.cursor() as cursor:
            cursor.execute(THROWN, {"user_id": self.person.user_id, "ids": list(ids)})

    def service(self, request: Request) -> float:
        """What the whole request takes. Raises RuntimeError if it is not answered with success."""
        environ = EnvironBuilder(
            request.path.split("?")[0],
            query_string=request.path.partition("?")[2],
            method=request.method,
            data=request.body,
            content_type="application/json" if request.body else None,
            headers={"Authorization": f"Bearer {self.person.token}"},
        ).get_environ()
        statuses: list[str] = []
        started = time.thread_time()
        body = self.app(environ, lambda status, _: statuses.append(status))  # type: ignore[arg-type, return-value]
        size = sum(map(len, body))
        spent = time.thread_time() - started
        if not statuses[0].startswith("2") or not size:
            raise RuntimeError(f"{request.path} was answered with {statuses[0]}")
        return spent

    def floor(self, case: Case) -> float:
        """What the statements of such a request take: bound, sent, and their rows as JSON."""
        request, flights = self.flights(case)
        started = time.thread_time()
        if request.body:
            orjson.loads(request.body)
        with self.connection.cursor() as cursor:
            for flight in flights:
                cursor.execute("; ".join(cursor.mogrify(*part).decode() for part in flight))
                if cursor.description:
                    names = [column.name for column in cursor.description]
                    rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
                    orjson.dumps(rows, option=orjson.OPT_UTC_Z)
        return time.thread_time() - started

    def flights(self, case: Case) -> tuple[Request, list[list[Part]]]:
        """What the service sends for such a request, with other ids in place of its own."""
        request, flights = self.request(case), list[list[Part]]()
        parts: list[tuple[Any, Any, bytes]] = []
        others = {row_id: new_id() for row_id in request.ids}
        if request.thrown:
            self.throw_away(list(others.values()))

        def other(parameters: Any) -> Any:
            return {k: others.get(str(v), v) for k, v in (parameters or {}).items()}

        class Cursor(psycopg2.extensions.cursor):
            def mogrify(self, statement: Any, parameters: Any = None) -> bytes:
                bound: bytes = super().mogrify(statement, parameters)
                parts.append((statement, other(parameters), bound))
                return bound

            def execute(self, statement: Any, parameters: Any = None) -> Any:
                super().execute(statement, parameters)
                if parts:  # one text of several statements, and what stands before them
                    before = statement.partition(parts[0][2])[0].decode().rpartition(";")[0]
                    flights.append([(before, None), *(part[:2] for part in parts)])
                    parts.clear()
                else:
                    flights.append([(statement, other(parameters) or None)])

        with cursors(self.app, Cursor):
            self.service(request)
        return request, flights

    def close(self) -> None:
        """Give the connections back."""
        self.connection.close()
        self.owner.close()


def measure(found: Ground, rounds: int) -> dict[str, Pair]:
    """The medians of each case, all in turn."""
    taken: dict[str, list[Pair]] = {name: [] for name in CASES}
    with closing(Bench(found.fresh("bulk"), found.people[0])) as bench:
        for number in range(rounds + 1):
            for name, case in CASES.items():
                pair = bench.run(case)
                if number:  # the first is for what is made once
                    taken[name].append(pair)
    return {
        name: Pair(*(median(spent) for spent in zip(*pairs, strict=True)))
        for name, pairs in taken.items()
    }


def tabulated(figures: dict[str, Pair]) -> str:
    """The figures as Markdown."""
    rows = [
        f"| {name} | {pair.service * 1e6:,.0f} | {pair.floor * 1e6:,.0f} |"
        f" {pair.service / pair.floor:.2f} |"
        for name, pair in figures.items()
    ]
    head = [
        "| processor time | the whole request, µs | its SQL on a bare cursor, µs | ratio |",
        "|---|---:|---:|---:|",
    ]
    return "\n".join([*head, *rows])


def main(argv: Sequence[str]) -> int:
    """Measure, print the table, and write it down if asked to."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bulk", description=__doc__)
    parser.add_argument("--rounds", type=int, default=100)
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
