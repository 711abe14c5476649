"""Listings of tasks, compared with a model that knows nothing of SQL."""

import base64
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.ids import new_id
from tests.assertions import refused
from tests.conftest import Account
from tests.walking import ids, page, walk

SORTS = ("created_at", "updated_at", "due", "priority", "title")
EVERY_SORT = [*SORTS, *(f"-{sort}" for sort in SORTS)]
RANK = {"none": 0, "low": 1, "medium": 2, "high": 3}
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
LONGEST = "\U0001f95b" * 200

Task = dict[str, Any]


# The model


def due(task: Task) -> datetime | None:
    """When a task is due; a day begins at midnight UTC."""
    text = task["due_at"] or (task["due_date"] and f"{task['due_date']}T00:00:00Z")
    return datetime.fromisoformat(text) if text else None


KEYS: dict[str, Callable[[Task], Any]] = {
    "created_at": lambda task: datetime.fromisoformat(task["created_at"]),
    "updated_at": lambda task: datetime.fromisoformat(task["updated_at"]),
    "due": due,
    "priority": lambda task: RANK[task["priority"]],
    "title": lambda task: task["title"].lower(),
}

FILTERS: dict[str, Callable[[Task, Any], bool]] = {
    "complete": lambda task, value: task["complete"] is value,
    "priority": lambda task, value: task["priority"] == value,
    "category_id": lambda task, value: (task["category_id"] or "none") == value,
    "due_before": lambda task, value: due(task) is not None and due(task) < instant(value),
    "due_after": lambda task, value: due(task) is not None and due(task) > instant(value),
    "updated_after": lambda task, value: KEYS["updated_at"](task) > instant(value),
    "q": lambda task, value: any(
        value.strip().lower() in (task[field] or "").lower() for field in ("title", "description")
    ),
}


def instant(text: str) -> datetime:
    """What a filter's value means; a day is its midnight UTC."""
    value = datetime.fromisoformat(text)
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def expected(tasks: list[Task], sort: str, **filters: Any) -> list[str]:
    """The ids that a listing must have, in its order; tasks without a key come last."""
    found = [t for t in tasks if all(FILTERS[name](t, value) for name, value in filters.items())]
    key = KEYS[sort.removeprefix("-")]
    descending = sort.startswith("-")
    keyed = sorted((t for t in found if key(t) is not None), key=lambda t: (key(t), t["id"]))
    rest = sorted((t for t in found if key(t) is None), key=lambda t: t["id"])
    return ids(keyed[::-1] + rest[::-1] if descending else keyed + rest)


# A user with many tasks, many of which are alike


def stamp(connection: Any, task_ids: list[str], column: str) -> None:
    """Give the tasks one of three instants, the same for many; one is of the whole second."""
    instants = [EPOCH + timedelta(microseconds=place % 3) for place in range(len(task_ids))]
    with connection.cursor() as cursor:
        cursor.execute(
            f"update tasks set {column} = stamped.at"
            " from unnest(%s::uuid[], %s) stamped (id, at) where tasks.id = stamped.id",
            (task_ids, instants),
        )


@pytest.fixture
def library(auth: Callable[[], Account], connection: Any) -> tuple[Account, list[Task]]:
    """Thirty tasks with every kind of value and many equal keys, among another user's."""
    account = auth()
    auth().create_task(title="Another's", priority="high")
    categories = [account.create_category()["id"], account.create_category()["id"], None]
    dues: list[dict[str, str]] = [
        {},
        {"due_date": "2026-03-01"},
        {"due_at": "2026-03-01T00:00:00Z"},
        {"due_at": "2026-02-28T23:59:59.999999Z"},
        {"due_at": "2026-03-01T00:00:00.000001+00:00"},
        {"due_date": "0001-01-01"},
        {"due_at": "9999-12-31T23:59:59.999999Z"},
    ]
    titles = ["b", "B", "a", "ä", "Ä", "Z", "é 100% _x\\", "É 100", "\U0001f95b", "milk"]
    tasks = [
        account.create_task(
            title=titles[place % len(titles)],
            description=[None, "", "Fetch MILK", "50%", "ÜBER_x"][place % 5],
            complete=place % 2 == 0,
            priority=list(RANK)[place % 4],
            category_id=categories[place % 3],
            **dues[place % 7],
        )
        for place in range(30)
    ]
    stamp(connection, ids(tasks), "created_at")
    stamp(connection, ids(tasks)[::-1], "updated_at")
    assert account.delete(f"/v1/tasks/{account.create_task()['id']}").status_code == 204
    return account, page(account, "/v1/tasks", limit=200)["items"]


def test_every_sort_walks_all_tasks_in_order_at_every_limit(
    library: tuple[Account, list[Task]],
) -> None:
    account, tasks = library
    assert len(tasks) == 30
    for sort in EVERY_SORT:
        for limit in (1, 2, 3, 30, 200):
            walked = walk(account, sort=sort, limit=limit)
            assert ids(walked) == expected(tasks, sort), (sort, limit)
        assert sorted(walked, key=lambda t: t["id"]) == sorted(tasks, key=lambda t: t["id"])


def test_the_newest_come_first_unless_told_otherwise(library: tuple[Account, list[Task]]) -> None:
    account, tasks = library
    assert ids(walk(account)) == expected(tasks, "-created_at")


def test_every_filter_finds_what_it_names_and_no_more(library: tuple[Account, list[Task]]) -> None:
    account, tasks = library
    category_id = next(t["category_id"] for t in tasks if t["category_id"])
    edge, shifted = "2026-03-01T00:00:00Z", "2026-03-01T01:00:00+01:00"
    queries: list[dict[str, Any]] = [
        {"complete": True},
        {"complete": False},
        *({"priority": priority} for priority in RANK),
        {"category_id": category_id},
        {"category_id": "none"},
        *({name: at} for name in ("due_before", "due_after") for at in (edge, shifted)),
        {"due_before": "2026-03-01"},
        {"due_after": "2026-03-01"},
        {"due_before": "2026-03-01T00:00:00.000001Z"},
        {"due_after": "2026-02-28T23:59:59.999999Z"},
        {"due_before": "9999-12-31T23:59:59.999999Z", "due_after": "0001-01-01"},
        {"updated_after": "2026-01-01T00:00:00Z"},
        {"updated_after": "2026-01-01T00:00:00.000001Z"},
        {"updated_after": "2025-12-31T23:59:59.999999Z"},
        {"q": "milk"},
        {"q": "MiLk "},
        {"q": "Ä"},
        {"q": "über"},
        {"q": "%"},
        {"q": "_"},
        {"q": "\\"},
        {"q": "0%"},
        {"q": "\U0001f95b"},
        {"complete": False, "category_id": category_id, "q": "b", "due_after": "2000-01-01"},
    ]
    for filters in queries:
        found = walk(account, sort="due", limit=7, **filters)
        assert ids(found) == expected(tasks, "due", **filters), filters
        assert 0 < len(found) < len(tasks) or "updated_after" in filters, filters


@pytest.mark.parametrize("name", ["updated_after", "due_before", "due_after"])
def test_an_edge_is_not_part_of_what_it_bounds(alice: Account, name: str) -> None:
    task = alice.create_task(due_at="2026-03-01T00:00:00.000001Z")
    edge = task["updated_at"] if name == "updated_after" else task["due_at"]
    assert walk(alice, **{name: edge}) == []


def test_another_users_category_filters_everything_out(alice: Account, bob: Account) -> None:
    category_id = bob.create_category()["id"]
    bob.create_task(category_id=category_id)
    alice.create_task()
    assert walk(alice, category_id=category_id) == walk(alice, category_id=new_id()) == []


# Random tasks, filters and sorts

TEXT = st.text("aAbZäÄéÉßдД%_\\'\" 1\U0001f95b", min_size=1, max_size=4).filter(str.strip)
INSTANTS = st.integers(-2, 2).map(
    lambda n: (EPOCH + timedelta(hours=12 * n, microseconds=n % 2)).isoformat()
)
DAYS = st.integers(-1, 1).map(lambda n: (EPOCH + timedelta(days=n)).date().isoformat())
DUE = st.one_of(
    st.just({}),
    st.fixed_dictionaries({"due_at": INSTANTS}),
    st.fixed_dictionaries({"due_date": DAYS}),
)
TASKS = st.builds(
    lambda fields, due: {**fields, **due},
    st.fixed_dictionaries(
        {"title": TEXT},
        optional={
            "description": TEXT,
            "complete": st.booleans(),
            "priority": st.sampled_from(list(RANK)),
        },
    ),
    DUE,
)
QUERIES = st.fixed_dictionaries(
    {},
    optional={
        "complete": st.booleans(),
        "priority": st.sampled_from(list(RANK)),
        "category_id": st.just("none"),
        "due_before": INSTANTS | DAYS,
        "due_after": INSTANTS | DAYS,
        "updated_after": INSTANTS,
        "q": TEXT,
    },
)


@settings(max_examples=30)
@given(
    bodies=st.lists(TASKS, max_size=9),
    queries=st.lists(QUERIES, min_size=1, max_size=3),
    sort=st.sampled_from(EVERY_SORT),
    limit=st.integers(1, 4),
)
def test_a_listing_is_what_the_model_says(
    auth: Callable[[], Account],
    bodies: list[Task],
    queries: list[dict[str, Any]],
    sort: str,
    limit: int,
) -> None:
    account = auth()
    tasks = [account.create_task(**body) for body in bodies]
    assert ids(walk(account, sort=sort, limit=limit)) == expected(tasks, sort)
    for filters in queries:
        found = walk(account, sort=sort, limit=limit, **filters)
        assert ids(found) == expected(tasks, sort, **filters)


# Pages


@pytest.fixture
def many(alice: Account, connection: Any) -> Account:
    """A user with 400 tasks, all of one instant."""
    with connection.cursor() as cursor:
        cursor.execute(
            "insert into tasks (user_id, id, title, complete, priority, version, created_at,"
            " updated_at) select %s, gen_random_uuid(), n::text, false, 0, n, now(), now()"
            " from generate_series(1, 400) n",
            (alice.user_id,),
        )
    return alice


def test_the_last_full_page_has_no_next(many: Account) -> None:
    first = page(many, "/v1/tasks", limit=200)
    second = page(many, "/v1/tasks", limit=200, cursor=first["next_cursor"])
    assert (len(first["items"]), len(second["items"])) == (200, 200)
    assert second["next_cursor"] is None
    assert len({*ids(first["items"]), *ids(second["items"])}) == 400


def test_a_page_holds_fifty_unless_told_otherwise(many: Account) -> None:
    assert len(page(many, "/v1/tasks")["items"]) == 50


def test_no_tasks_are_one_empty_page(alice: Account) -> None:
    response = alice.get("/v1/tasks")
    assert response.json == {"items": [], "next_cursor": None}
    assert "Link" not in response.headers


def follow(account: Account, target: str) -> list[Task]:
    """All items, page after page by the Link header."""
    items = []
    while target:
        response = account.get(target)
        items += response.json["items"]
        link = response.headers.get("Link", "")
        assert bool(link) is (response.json["next_cursor"] is not None)
        target, _, rest = link.removeprefix("<").partition(">")
        assert rest in {'; rel="next"', ""}
    return items


@pytest.mark.parametrize(
    "query",
    [
        {"limit": 7},
        {"limit": 3, "sort": "-title", "q": "é"},
        {"limit": 2, "q": "100% _"},
        {"limit": 4, "due_before": "2026-03-01T01:00:00+01:00"},
    ],
)
def test_the_link_header_leads_through_the_same_pages(
    library: tuple[Account, list[Task]], query: dict[str, Any]
) -> None:
    account, _ = library
    followed = follow(account, f"/v1/tasks?{urlencode(query)}")
    assert followed == walk(account, **query)
    assert len(followed) > query["limit"]


@pytest.mark.parametrize("title", [LONGEST, "\x01" * 199 + "x"])
def test_the_longest_listing_leads_on_within_a_servers_request_line(
    alice: Account, title: str
) -> None:
    category_id = alice.create_category()["id"]
    body = {"title": title, "description": LONGEST, "category_id": category_id}
    created = [alice.create_task(**body, due_date="2026-01-01") for _ in range(3)]
    at = "2025-01-01T00:00:00.000001+00:00"
    query = {"q": LONGEST, "sort": "title", "limit": 1, "complete": "false", "priority": "none"}
    query |= {"category_id": category_id, "due_after": at, "updated_after": at}
    target = f"/v1/tasks?{urlencode({**query, 'due_before': at.replace('2025', '2027')})}"
    assert ids(follow(alice, target)) == ids(created)
    link = alice.get(target).headers["Link"]
    assert len(f"GET {link.split('>')[0]} HTTP/1.1\r\n") < 4094


# Cursors


@pytest.fixture
def cursor(alice: Account) -> str:
    """Where the second page of Alice's open tasks begins, by title."""
    for title in ("a", "b", "c"):
        alice.create_task(title=title)
    found: str = page(alice, "/v1/tasks", limit=1, sort="title", complete=False)["next_cursor"]
    return found


def test_a_cursor_may_be_used_again_and_with_another_limit(alice: Account, cursor: str) -> None:
    for limit in (1, 2, 200):
        items = page(alice, "/v1/tasks", limit=limit, sort="title", complete=False, cursor=cursor)[
            "items"
        ]
        assert [item["title"] for item in items] == ["b", "c"][:limit]


@pytest.mark.parametrize(
    "query",
    [
        "sort=title",
        "sort=-title&complete=false",
        "sort=priority&complete=false",
        "complete=false",
        "sort=title&complete=true",
        "sort=title&complete=false&priority=none",
        "sort=title&complete=false&category_id=none",
        "sort=title&complete=false&q=a",
        "sort=title&complete=false&due_before=2026-01-01",
        "sort=title&complete=false&due_after=2026-01-01",
        "sort=title&complete=false&updated_after=2026-01-01T00:00:00Z",
    ],
)
def test_a_cursor_belongs_to_its_sort_and_filters(alice: Account, cursor: str, query: str) -> None:
    response = alice.get(f"/v1/tasks?{query}&cursor={cursor}")
    assert refused(response, "cursor", parameter="cursor")


def test_a_cursor_belongs_to_its_user(alice: Account, bob: Account, cursor: str) -> None:
    target = f"/v1/tasks?sort=title&complete=false&cursor={cursor}"
    assert alice.get(target).status_code == 200
    assert refused(bob.get(target), "cursor", parameter="cursor")


def test_a_cursor_with_any_character_changed_is_refused(alice: Account, cursor: str) -> None:
    target = "/v1/tasks?sort=title&complete=false&cursor="
    for place, character in enumerate(cursor):
        for other in {"A", "B", "_", "!"} - {character}:
            tampered = f"{cursor[:place]}{other}{cursor[place + 1 :]}"
            assert refused(alice.get(target + tampered), "cursor", parameter="cursor"), place


def test_a_cursor_with_anything_added_or_left_out_is_refused(alice: Account, cursor: str) -> None:
    data = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    bare = base64.urlsafe_b64encode(data[16:]).decode()
    target = "/v1/tasks?sort=title&complete=false&cursor="
    variants = ["", cursor[:-1], cursor[1:], bare, f"{cursor}=", f"{cursor}A", f"{cursor}%0A"]
    for tampered in [*variants, f"%20{cursor}", "%C3%A9", "A" * 2000]:
        assert refused(alice.get(target + tampered), "cursor", parameter="cursor"), tampered


def test_a_cursor_outlives_the_task_it_was_made_at(alice: Account, cursor: str) -> None:
    first = page(alice, "/v1/tasks", limit=1, sort="title")["items"][0]
    alice.delete(f"/v1/tasks/{first['id']}")
    rest = page(alice, "/v1/tasks", sort="title", complete=False, cursor=cursor)["items"]
    assert [item["title"] for item in rest] == ["b", "c"]


# Queries that are refused


@pytest.mark.parametrize(
    ("query", "parameter", "code"),
    [
        ("limit=0", "limit", "greater_than_equal"),
        ("limit=201", "limit", "less_than_equal"),
        ("limit=", "limit", "int_type"),
        ("limit=1&limit=1", "limit", "repeated"),
        ("sort=id", "sort", "literal_error"),
        ("complete=1", "complete", "bool_type"),
        ("priority=urgent", "priority", "literal_error"),
        ("due_after=2026-02-30", "due_after", "date"),
        ("updated_after=2026-01-01", "updated_after", "timestamp"),
        ("q=", "q", "string_blank"),
        ("q=%00", "q", "string_blank"),
        (f"q={'x' * 201}", "q", "string_too_long"),
        (f"cursor={'x' * 2001}", "cursor", "string_too_long"),
        ("page=2", "page", "extra_forbidden"),
        ("user_id=0198c0de-0000-7000-8000-000000000000", "user_id", "extra_forbidden"),
    ],
)
def test_a_query_that_is_not_allowed_is_refused(
    alice: Account, query: str, parameter: str, code: str
) -> None:
    assert refused(alice.get(f"/v1/tasks?{query}"), code, parameter=parameter)


def test_a_category_filter_is_a_uuid_or_none(alice: Account) -> None:
    response = alice.get("/v1/tasks?category_id=None")
    assert response.status_code == 422
    assert {error["parameter"] for error in response.json["errors"]} == {"category_id"}
