"""What is asked: each page, sort, filter and search that there is, and each write."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from apiflask import APIFlask

from app.api.tasks.filters import TaskFilters
from app.rows.listing import Position
from app.web import cursors
from benchmarks.scale.data import EACH, Size, user_id

CATEGORY: Final = user_id(3)
COMMON, FREQUENT, RARE = user_id(0), user_id(1), user_id(2)
"""Labels of a fourth, a thirtieth and a five-hundredth of all tasks."""
PARENT: Final = "the parent"
"""Where a query names a task of the user's that has subtasks."""


class Request(NamedTuple):
    """One kind of request."""

    title: str
    query: Mapping[str, str | list[str]] = MappingProxyType({})
    method: str = "GET"
    far: bool = False
    """Whether it asks for a page from the far end of the listing."""


FIRST: Final = Request("first page")
REQUESTS: Final = (
    Request("one task", method="GET one"),
    FIRST,
    Request("thousandth page, or the last", far=True),
    *(
        Request(f"sort={sort}", {"sort": sort})
        for name in ("created_at", "updated_at", "due", "priority", "position", "title")
        for sort in (name, f"-{name}")
        if sort != "-created_at"
    ),
    Request("complete=false", {"complete": "false"}),
    Request("complete=false, sort=due", {"complete": "false", "sort": "due"}),
    Request("priority=high", {"priority": "high"}),
    Request("priority=high, sort=title", {"priority": "high", "sort": "title"}),
    Request("category_id, of few tasks", {"category_id": CATEGORY}),
    Request("category_id, sort=title", {"category_id": CATEGORY, "sort": "title"}),
    Request("category_id=none", {"category_id": "none"}),
    Request("parent_id, sort=position", {"parent_id": PARENT, "sort": "position"}),
    Request("parent_id=none, sort=position", {"parent_id": "none", "sort": "position"}),
    Request("label_id (in a fourth)", {"label_id": COMMON}),
    Request("label_id (in a thirtieth)", {"label_id": FREQUENT}),
    Request("label_id (in a five-hundredth)", {"label_id": RARE}),
    Request("label_id (in a thirtieth), sort=title", {"label_id": FREQUENT, "sort": "title"}),
    Request("label_id, two of them", {"label_id": [COMMON, FREQUENT]}),
    Request("label_id=none", {"label_id": "none"}),
    Request("due_before", {"due_before": "2021-02-01"}),
    Request("due_before, sort=due", {"due_before": "2024-02-01", "sort": "due"}),
    Request("due_after", {"due_after": "2026-01-01"}),
    Request("due_after, sort=created_at", {"due_after": "2026-01-20", "sort": "created_at"}),
    Request(
        "updated_after, sort=updated_at",
        {"updated_after": "2025-12-01T00:00:00Z", "sort": "updated_at"},
    ),
    Request(
        "updated_after, sort=title", {"updated_after": "2025-12-01T00:00:00Z", "sort": "title"}
    ),
    Request("q=milk (in a ninth)", {"q": "milk"}),
    Request("q=milk, sort=title", {"q": "milk", "sort": "title"}),
    Request("q=zebra (in a thousandth)", {"q": "zebra"}),
    Request(
        "q=zebra, complete=false, sort=due", {"q": "zebra", "complete": "false", "sort": "due"}
    ),
    Request("q=report budget (two words)", {"q": "report budget"}),
    Request("q=xylophone (in none)", {"q": "xylophone"}),
    Request("q=mi (in a fifth)", {"q": "mi"}),
    Request("q=zq (two letters, in none)", {"q": "zq"}),
    Request("reminders", method="GET reminders"),
    Request("reminders, until", {"until": "2100-01-01T00:00:00Z"}, method="GET reminders"),
    Request("POST", method="POST"),
    Request("PATCH", method="PATCH"),
    Request("PATCH of reminders", method="PATCH reminders"),
    Request("POST move", method="POST move"),
    Request("POST snooze", method="POST snooze"),
    Request("PUT and DELETE of a label", method="PUT label"),
)


def at(turn: int) -> str:
    """An instant to come, another one each turn."""
    return f"2099-01-01T{turn % 24:02}:{turn // 24 % 60:02}:00Z"


class Caller(NamedTuple):
    """A user, and how they call the service."""

    application: APIFlask
    user: str
    token: str
    tasks: list[str]
    """Ids of some."""
    parent: str
    """One that has subtasks."""

    cursor: str
    """Where the thousandth page begins, or the last."""

    def call(self, request: Request, turn: int) -> None:
        """Send it, a little different each turn. Raises RuntimeError for a wrong answer."""
        path, options, expected = "/v1/tasks", {}, 200
        task = f"{path}/{self.tasks[turn % len(self.tasks)]}"
        method, _, what = request.method.partition(" ")
        if what == "one":
            path = task
        elif what == "move":
            neighbour = self.tasks[turn * 7 % len(self.tasks) - 1]
            where = {"after": neighbour} if neighbour not in task else {"to": "start"}
            path, options = f"{task}/move", {"json": where}
        elif what == "snooze":
            path, options = f"{task}/snooze", {"json": {"until": at(turn)}}
        elif method == "PATCH" and what == "reminders":
            path, options = task, {"json": {"reminders": [{"at": at(turn)}]}}
        elif what == "reminders":
            path, options = "/v1/reminders", {"query_string": dict(request.query)}
        elif what == "label":
            path, method = f"{task}/labels/{RARE}", "PUT" if turn % 2 else "DELETE"
        elif method == "POST":
            options, expected = {"json": {"title": f"Buy milk, {turn}", "priority": "low"}}, 201
        elif method == "PATCH":
            path, options = task, {"json": {"priority": "high" if turn % 2 else "low"}}
        else:
            query = dict(request.query) | ({"cursor": self.cursor} if request.far else {})
            if query.get("parent_id") == PARENT:
                query["parent_id"] = self.parent
            options = {"query_string": query}
        headers = {"Authorization": f"Bearer {self.token}"}
        answer = self.application.test_client().open(
            path, method=method, headers=headers, **options
        )
        if answer.status_code != expected:
            raise RuntimeError(f"{request.title}: {answer.status_code} {answer.text}")


def caller(application: APIFlask, cursor: Any, size: Size, number: int) -> Caller:
    """The user of this number."""
    user = user_id(number)
    pages = (size.big if number == 0 else EACH) // 50 - 1
    cursor.execute(
        "select created_at::text, id from tasks where user_id = %s and deleted_at is null"
        " order by created_at desc, id desc offset %s limit 1",
        (user, min(999, pages) * 50 - 1),
    )
    position = Position(*cursor.fetchone())
    cursor.execute(
        "select id from tasks where user_id = %s and deleted_at is null limit 200", (user,)
    )
    tasks = [row[0] for row in cursor.fetchall()]
    cursor.execute(
        "select parent_id from tasks where user_id = %s and parent_id is not null limit 1", (user,)
    )
    [parent] = cursor.fetchone()
    with application.app_context():
        after = cursors.encode(position, [user, TaskFilters().criteria()])
    token = application.extensions["token_verifier"].issue(user, seconds=86_000)
    return Caller(application, user, token, tasks, parent, after)
