"""What a process keeps has a limit, whatever clients ask for."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, closing
from functools import partial
from http.client import HTTPConnection
from itertools import combinations, islice, product
from pathlib import Path
from typing import Any, get_args
from urllib.parse import urlencode

import pytest

from app.api.tasks.filters import SortKey, TaskFilters
from app.api.tasks.schemas import TaskPatch
from app.core.ids import new_id
from app.web import counters
from app.web.counters import Latest, PresentMinute
from tests.conftest import PASSWORD, Account, gunicorn_process
from tests.parallel import at_once
from tests.raw import MEGABYTE, memory
from tests.rig.cluster import children

pytestmark = pytest.mark.slow

MOST_GROWTH = 15 * MEGABYTE
EACH = 29
"""Only each so manieth shape is requested; these are more than a worker keeps statements for."""

EVENING = "2027-01-31T20:00:00Z"

FILTERS: dict[str, tuple[str | None, ...]] = {
    "complete": (None, "false"),
    "priority": (None, "high"),
    "category_id": (None, "none", "category"),
    "parent_id": (None, "none"),
    "label_id": (None, "none"),
    "due_before": (None, "2027-02-01"),
    "due_after": (None, "2027-01-01T00:00:00Z"),
    "time_zone": (None, "Europe/Oslo"),
    "updated_after": (None, "2026-01-01T00:00:00Z"),
    "q": (None, "milk"),
}
"""A value for each way in which a filter is asked for; "category" stands for one that is there."""

FIELDS: dict[str, tuple[Any, ...]] = {
    "title": ("Buy milk",),
    "description": (None,),
    "complete": (False,),
    "priority": ("high",),
    "due_date": (None,),
    "due_at": (EVENING,),
    "category_id": (None, "category"),
    "position": ("V",),
    "parent_id": (None,),
    "recurrence": (None,),
    "label_ids": ([],),
    "reminders": ([],),
}
"""As much of each field of a patch."""


def shapes(category: str) -> Iterator[dict[str, str]]:
    """Every order under every set of filters."""
    for sort, values in product(get_args(SortKey), product(*FILTERS.values())):
        filters = {name: value for name, value in zip(FILTERS, values, strict=True) if value}
        if filters.get("category_id") == "category":
            filters["category_id"] = category
        yield {"sort": sort, "limit": "1", **filters}


def patches(category: str) -> Iterator[dict[str, Any]]:
    """Every set of fields."""
    for count in range(1, len(FIELDS) + 1):
        for names in combinations(FIELDS, count):
            for values in product(*(FIELDS[name] for name in names)):
                patch = dict(zip(names, values, strict=True))
                if patch.get("category_id"):
                    patch["category_id"] = category
                yield patch


class Caller:
    """Asks a server on one connection."""

    def __init__(self, base: str, account: Account) -> None:
        self.connection = HTTPConnection(base.removeprefix("http://"), timeout=60)
        self.headers = {
            "Authorization": f"Bearer {account.token}",
            "Content-Type": "application/json",
        }

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """What is answered, which is a success."""
        data = None if body is None else json.dumps(body)
        self.connection.request(method, path, data, self.headers)
        response = self.connection.getresponse()
        text = response.read()
        assert response.status == 200, text
        return json.loads(text)


def test_the_shapes_here_are_all_that_there_are() -> None:
    assert FILTERS.keys() == TaskFilters.model_fields.keys() - {"limit", "cursor", "sort"}
    assert FIELDS.keys() == TaskPatch.model_fields.keys()


@pytest.mark.longest
def test_a_worker_that_was_asked_for_every_shape_is_little_larger(
    database_url: str, alice: Account, tmp_path: Path
) -> None:
    category = alice.create_category()["id"]
    fields = {"priority": "high", "due_at": EVENING}
    made = [alice.create_task(**fields, category_id=each) for each in (None, category) * 2]
    task = f"/v1/tasks/{made[0]['id']}"
    with ExitStack() as stack:
        log, one = tmp_path / "log", {"WEB_CONCURRENCY": "1"}
        base, process = stack.enter_context(gunicorn_process(database_url, log, **one))
        caller = Caller(base, alice)
        stack.callback(caller.connection.close)
        for sort in get_args(SortKey):
            caller.ask("GET", f"/v1/tasks?sort={sort}&q=milk")
        caller.ask("PATCH", task, {"complete": False})
        [worker] = children(process.pid)
        before = memory(worker)
        for shape in islice(shapes(category), 0, None, EACH):
            page = caller.ask("GET", f"/v1/tasks?{urlencode(shape)}")
            assert len(page["items"]) == 1, shape
            shape["cursor"] = page["next_cursor"]
            assert len(caller.ask("GET", f"/v1/tasks?{urlencode(shape)}")["items"]) == 1, shape
        for patch in islice(patches(category), 0, None, 23):
            caller.ask("PATCH", task, patch)
            operation = {"op": "update", "type": "task", "id": made[1]["id"], "body": patch}
            caller.ask("POST", "/v1/batch", {"operations": [operation]})
        grown = memory(worker) - before
        assert grown < MOST_GROWTH


def test_a_worker_that_hashed_passwords_is_no_larger(database_url: str, tmp_path: Path) -> None:
    with gunicorn_process(database_url, tmp_path / "log", WEB_CONCURRENCY="1") as (base, process):

        def register(count: int) -> None:
            with closing(HTTPConnection(base.removeprefix("http://"), timeout=60)) as connection:
                for _ in range(count):
                    body = {"email": f"{new_id()}@example.com", "password": PASSWORD}
                    headers = {"Content-Type": "application/json"}
                    connection.request("POST", "/v1/auth/register", json.dumps(body), headers)
                    response = connection.getresponse()
                    assert (response.status, bool(response.read())) == (201, True)

        register(1)
        [worker] = children(process.pid)
        before = memory(worker)
        at_once([partial(register, 5)] * 4)
        assert memory(worker) - before < 10 * MEGABYTE  # one hash takes 32


def test_requests_of_so_many_callers_are_counted_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(counters, "MOST_KEYS", 3)
    present = PresentMinute()
    assert [present.hit(key) for key in "aabcd"] == [1, 2, 1, 1, 1]
    assert [*present.counts] == ["b", "c", "d"]
    assert present.hit("d") == 2


def test_failures_of_so_many_callers_are_counted_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(counters, "MOST_KEYS", 3)
    last = Latest(1, 60)
    for key in "abcad":
        last.hit(key)
    assert [*last.times] == ["c", "a", "d"]
    assert (last.wait("b"), last.wait("d") > 0) == (0, True)
