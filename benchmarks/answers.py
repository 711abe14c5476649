"""Whether a contestant answers as all do, and in how many flights to the database."""

import json
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from http.client import HTTPConnection
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from psycopg2.extras import RealDictCursor

from app.api.tasks.schemas import PRIORITIES, Task
from benchmarks.contestants import Contestant, started
from benchmarks.data import Ground, Person
from tests.databases import opened
from tests.rig.proxy import Proxy

OURS_ALONE: Final = {
    *{"position", "label_ids", "parent_id"},
    *{"recurrence", "occurrence", "series_id"},
    *{"reminders", "snoozed_until", "remind_at"},
}
"""Fields that the alternatives do not have."""
FIELDS: Final = tuple(name for name in Task.model_fields if name not in OURS_ALONE)
NEW: Final = {
    "title": "Buy milk",
    "description": "Two litres",
    "priority": "high",
    "due_date": "2027-03-01",
}
REPEATS: Final = 20


class Different(RuntimeError):
    """An answer that is not as all the others'."""


class Answer(NamedTuple):
    """What came back."""

    status: int
    body: Any


Ask = Callable[..., Answer]
"""Takes a method, a path and perhaps a body."""


def examine(ground: Ground, contestant: Contestant, directory: Path) -> dict[str, float]:
    """Start it on a database of its own behind a proxy, check it, and count its flights.

    Raises Different.
    """
    database, person = ground.fresh(f"of_{contestant.name}"), ground.people[0]
    with Proxy(database) as proxy, started(contestant, proxy.url, person, directory) as running:
        forged = person.token[:-10] + person.token[-10:][::-1]
        with speaking(running.base, forged) as ask:
            expect("a forged token", ask("GET", "/v1/tasks").status, 401)
        with speaking(running.base, person.token) as ask:
            check(ask, person, newest_task(database, person))
            return flights(ask, person, proxy)


@contextmanager
def speaking(base: str, token: str) -> Iterator[Ask]:
    """A way to ask on one connection; instants are read, as each writes them in its own way."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    with closing(HTTPConnection(urlsplit(base).netloc, timeout=30)) as connection:

        def ask(method: str, path: str, body: dict[str, Any] | None = None) -> Answer:
            connection.request(method, path, json.dumps(body) if body else None, headers)
            response = connection.getresponse()
            return Answer(response.status, read(json.loads(response.read() or b"null")))

        yield ask


def read(value: Any) -> Any:
    """JSON with instants in place of their texts, wherever they are in it, and what all answer."""
    if isinstance(value, dict):
        return {name: read(member) for name, member in value.items() if name not in OURS_ALONE}
    if isinstance(value, list):
        return [read(member) for member in value]
    try:
        return datetime.fromisoformat(value) if isinstance(value, str) and "T" in value else value
    except ValueError:
        return value


def check(ask: Ask, person: Person, task: dict[str, Any]) -> None:
    """Ask for everything that is measured; the task is the newest, as it is to be answered.

    Raises Different.
    """
    path = f"/v1/tasks/{person.tasks[0]}"
    expect("GET one", ask("GET", path), (200, task))
    status, page = ask("GET", "/v1/tasks")
    expect("the list", (status, *sorted(page)), (200, "items", "next_cursor"))
    expect("the list", [item["id"] for item in page["items"]], person.tasks[:50])
    expect("the list", {tuple(sorted(item)) for item in page["items"]}, {tuple(sorted(FIELDS))})
    expect("the list", (page["items"][0], bool(page["next_cursor"])), (task, True))
    status, made = ask("POST", "/v1/tasks", NEW)
    expect("POST", (status, *sorted(made)), (201, *sorted(FIELDS)))
    expect("POST", made, made | NEW | {"user_id": person.user_id})
    status, changed = ask("PATCH", path, {"title": "Another"})
    own = {name: changed.get(name) for name in ("version", "updated_at")}
    expect("PATCH", (status, changed), (200, task | own | {"title": "Another"}))
    expect("PATCH", [changed[name] > task[name] for name in own], [True, True])


def expect(what: str, got: object, wanted: object) -> None:
    """Raise Different unless they are the same."""
    if got != wanted:
        raise Different(f"{what} gave {got}, not {wanted}")


def newest_task(database: str, person: Person) -> dict[str, Any]:
    """The user's newest task, as it is to be answered."""
    statement = f"select {', '.join(FIELDS)} from tasks where user_id = %s and id = %s"
    with opened(database) as cursor, cursor.connection.cursor(cursor_factory=RealDictCursor) as row:
        row.execute(statement, (person.user_id, person.tasks[0]))
        task = dict(row.fetchone())
    due_date = task["due_date"] and task["due_date"].isoformat()
    return task | {"priority": PRIORITIES[task["priority"]], "due_date": due_date}


def flights(ask: Ask, person: Person, proxy: Proxy) -> dict[str, float]:
    """How often a request of each kind goes to the database, on a connection that is open."""
    path, number = f"/v1/tasks/{person.tasks[1]}", count()
    requests: dict[str, Callable[[], Answer]] = {
        "get": lambda: ask("GET", path),
        "list": lambda: ask("GET", "/v1/tasks"),
        "post": lambda: ask("POST", "/v1/tasks", NEW),
        "patch": lambda: ask("PATCH", path, {"title": f"Change {next(number)}"}),
    }

    def taken_by(request: Callable[[], Answer]) -> int:
        before = proxy.flights
        expect("a request", request().status // 100, 2)
        return proxy.flights - before

    return {
        kind: median(taken_by(request) for _ in range(REPEATS))
        for kind, request in requests.items()
    }
