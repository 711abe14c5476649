"""Many requests at once: nothing is lost, nothing is done twice, nobody waits for ever."""

from collections import Counter
from collections.abc import Callable
from functools import partial
from threading import Event
from typing import Any

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app.auth.refresh_token_statements import MOST_AT_ONCE
from app.core.ids import new_id
from tests.conftest import PASSWORD, Account
from tests.parallel import at_once, callers
from tests.walking import ids, walk

MANY = 50
SORTS = ("created_at", "updated_at", "due", "priority", "title")
EVERY_SORT = [*SORTS, *(f"-{sort}" for sort in SORTS)]
CYCLES = 30


@pytest.fixture
def alice(auth: Callable[..., Account], patient: APIFlask) -> Account:
    return auth(patient)


def statuses(responses: list[TestResponse]) -> Counter[int]:
    return Counter(response.status_code for response in responses)


def rows(connection: Any, sql: str, account: Account) -> list[Any]:
    """What a superuser sees of the account's rows."""
    with connection.cursor() as cursor:
        cursor.execute(sql, {"user_id": account.user_id})
        found: list[Any] = cursor.fetchall()
    return found


def test_many_creates_with_one_key_are_one_row_and_one_answer(alice: Account) -> None:
    send = {"json": {"title": "Buy milk"}, "headers": {"Idempotency-Key": "once"}}
    responses = at_once([partial(c.post, "/v1/tasks", **send) for c in callers(alice, MANY)])
    assert statuses(responses) == {201: MANY}
    assert len({response.data for response in responses}) == 1
    assert Counter(r.headers.get("Idempotency-Replayed") for r in responses)[None] == 1
    assert walk(alice) == [responses[0].json]


def test_many_registrations_with_one_key_are_one_account(patient: APIFlask) -> None:
    body = {"email": f"{new_id()}@example.com", "password": PASSWORD}
    send = {"json": body, "headers": {"Idempotency-Key": "once"}}
    calls = [partial(patient.test_client().post, "/v1/auth/register", **send) for _ in range(8)]
    responses = at_once(calls)
    assert statuses(responses) == {201: 8}
    assert len({response.data for response in responses}) == 1


def test_one_refresh_token_presented_many_times_at_once_goes_on_ten_times_at_most(
    patient: APIFlask,
) -> None:
    client: FlaskClient = patient.test_client()
    credentials = {"email": f"{new_id()}@example.com", "password": PASSWORD}
    assert client.post("/v1/auth/register", json=credentials).status_code == 201
    pair = client.post("/v1/auth/token", json=credentials).json
    body = {"refresh_token": pair["refresh_token"]}
    calls = [partial(patient.test_client().post, "/v1/auth/refresh", json=body) for _ in range(20)]
    answers = at_once(calls)
    assert statuses(answers) == {200: 20}
    bearer = {"Authorization": f"Bearer {pair['access_token']}"}
    assert len(client.get("/v1/sessions", headers=bearer).json["items"]) == 1
    tokens = [{"refresh_token": answer.json["refresh_token"]} for answer in answers]
    assert len({token["refresh_token"] for token in tokens}) == 20
    again = [client.post("/v1/auth/refresh", json=token) for token in tokens]
    assert statuses(again) == {200: MOST_AT_ONCE, 401: 20 - MOST_AT_ONCE}


def test_of_many_changes_to_one_version_one_is_made(alice: Account) -> None:
    task = alice.create_task()
    path, tag = f"/v1/tasks/{task['id']}", {"If-Match": f'"{task["version"]}"'}
    responses = at_once(
        [
            partial(caller.patch, path, json={"title": f"Title {place}"}, headers=tag)
            for place, caller in enumerate(callers(alice, MANY))
        ]
    )
    assert statuses(responses) == {200: 1, 412: MANY - 1}
    (winner,) = (response.json for response in responses if response.status_code == 200)
    assert alice.get(path).json == winner
    for response in responses:
        assert response.json.get("current", winner) == winner


def test_of_many_puts_of_one_new_id_one_creates(alice: Account) -> None:
    path = f"/v1/tasks/{new_id()}"
    responses = at_once(
        [
            partial(caller.put, path, json={"title": f"{n}"}, headers={"If-None-Match": "*"})
            for n, caller in enumerate(callers(alice, MANY))
        ]
    )
    assert statuses(responses) == {201: 1, 412: MANY - 1}
    (winner,) = (response.json for response in responses if response.status_code == 201)
    assert walk(alice) == [winner]


def test_many_unconditional_puts_of_one_new_id_create_it_once_and_replace_it(
    alice: Account,
) -> None:
    path = f"/v1/tasks/{new_id()}"
    responses = at_once(
        [partial(c.put, path, json={"title": f"{n}"}) for n, c in enumerate(callers(alice, 20))]
    )
    assert statuses(responses) == {201: 1, 200: 19}
    assert sorted(response.json["version"] for response in responses) == list(range(1, 21))


def test_of_many_categories_of_one_name_one_is_made(alice: Account) -> None:
    names = ["home", "HOME", "Home", " hOme"]
    responses = at_once(
        [
            partial(caller.post, "/v1/categories", json={"name": names[n % 4]})
            for n, caller in enumerate(callers(alice, MANY))
        ]
    )
    assert statuses(responses) == {201: 1, 409: MANY - 1}
    assert len(walk(alice, "/v1/categories")) == 1


def test_of_many_deletions_one_deletes(alice: Account) -> None:
    path = f"/v1/tasks/{alice.create_task()['id']}"
    responses = at_once([partial(caller.delete, path) for caller in callers(alice, 20)])
    assert statuses(responses) == {204: 1, 404: 19}


def test_no_task_ever_points_at_a_deleted_category(alice: Account, connection: Any) -> None:
    for _ in range(4):
        category_id = alice.create_category()["id"]
        task_id = alice.create_task(category_id=category_id)["id"]
        body = {"title": "Buy milk", "category_id": category_id}
        *creators, putter, patcher, deleter = callers(alice, 15)
        calls = [partial(caller.post, "/v1/tasks", json=body) for caller in creators]
        calls.append(partial(putter.put, f"/v1/tasks/{new_id()}", json=body))
        calls.append(partial(patcher.patch, f"/v1/tasks/{task_id}", json={**body, "title": "x"}))
        calls.insert(7, partial(deleter.delete, f"/v1/categories/{category_id}"))
        *writes, deletion = sorted(at_once(calls), key=lambda response: response.status_code == 204)
        assert deletion.status_code == 204
        assert set(statuses(writes)) <= {200, 201, 422}
    pointing = rows(
        connection,
        "select t.id from tasks t join categories c on (c.user_id, c.id) = (t.user_id,"
        " t.category_id) where t.user_id = %(user_id)s and c.deleted_at is not null",
        alice,
    )
    assert pointing == []


def test_writes_of_many_rows_in_opposite_orders_never_deadlock(alice: Account) -> None:
    for _ in range(4):
        first, second = alice.create_category()["id"], alice.create_category()["id"]
        tasks = ids([alice.create_task(category_id=c) for c in (first, second) for _ in range(8)])
        a, b, *movers = callers(alice, 2 + len(tasks))
        calls = [
            partial(a.delete, f"/v1/categories/{first}"),
            partial(b.delete, f"/v1/categories/{second}"),
        ]
        for place, caller in enumerate(movers):
            path = f"/v1/tasks/{tasks[-place]}"
            body = {"category_id": (first, second)[place % 2], "title": f"{place}"}
            calls.append(partial(caller.patch, path, json=body))
        assert set(statuses(at_once(calls))) <= {200, 204, 422}


def test_an_account_erased_amid_its_writes_is_gone_with_all_its_rows(
    alice: Account, connection: Any
) -> None:
    category_id = alice.create_category()["id"]
    body = {"title": "Buy milk", "category_id": category_id}
    *writers, eraser, deleter = callers(alice, 16)
    calls = [partial(caller.post, "/v1/tasks", json=body) for caller in writers]
    calls.insert(8, eraser.erase)
    calls.insert(4, partial(deleter.delete, f"/v1/categories/{category_id}"))
    assert set(statuses(at_once(calls))) <= {201, 204, 401, 404, 422}
    left = (
        "select id from tasks where user_id = %(user_id)s union all"
        " select id from categories where user_id = %(user_id)s union all"
        " select id from users where id = %(user_id)s"
    )
    assert rows(connection, left, alice) == []


def write_of_every_kind(caller: Account, place: int) -> list[TestResponse]:
    """What a busy client does, in an order of its own."""
    category = caller.post("/v1/categories", json={"name": f"Category {place}"})
    body = {"title": f"Task {place}", "category_id": category.json["id"]}
    task = caller.post("/v1/tasks", json=body)
    put = caller.put(f"/v1/tasks/{new_id()}", json=body)
    path = f"/v1/tasks/{task.json['id']}"
    responses = [category, task, put, caller.patch(path, json={"complete": True})]
    if place % 3 == 0:
        responses.append(caller.delete(f"/v1/categories/{category.json['id']}"))
    if place % 3 == 1:
        responses.append(caller.delete(path))
    if place % 3 == 2:
        responses.append(caller.patch("/v1/me", json={"name": f"Alice {place}"}))
    return responses


def test_all_rows_of_a_user_with_many_writers_have_versions_of_their_own(
    alice: Account, connection: Any
) -> None:
    calls = [partial(write_of_every_kind, c, n) for n, c in enumerate(callers(alice, MANY))]
    responses = [response for answers in at_once(calls) for response in answers]
    assert set(statuses(responses)) == {200, 201, 204}
    answered = [response.json["version"] for response in responses if response.data]
    assert len(set(answered)) == len(answered)
    kept = rows(
        connection,
        "select version, updated_at from tasks where user_id = %(user_id)s union all select"
        " version, updated_at from categories where user_id = %(user_id)s union all select"
        " version, updated_at from users where id = %(user_id)s",
        alice,
    )
    versions = [version for version, _ in kept]
    assert len(versions) == 3 * MANY + 1 == len(set(versions))
    assert [at for _, at in sorted(kept)] == sorted(at for _, at in kept)


# Walks amid writes


def insert_change_and_delete(caller: Account, done: Event) -> None:
    """Tasks that come and go, and change in what no listing is sorted by but its update."""
    for cycle in range(CYCLES):
        if done.is_set():
            return
        fields = {"title": "bcd"[cycle % 3], "priority": ("none", "low")[cycle % 2]}
        path = f"/v1/tasks/{caller.create_task(**fields, due_date='2026-02-02')['id']}"
        assert caller.patch(path, json={"description": "x", "complete": True}).status_code == 200
        assert caller.delete(path).status_code == 204


def describe(caller: Account, done: Event, tasks: list[dict[str, Any]]) -> None:
    """Change tasks in what no listing is sorted by but its update."""
    for cycle in range(2 * CYCLES):
        if done.is_set():
            return
        path = f"/v1/tasks/{tasks[cycle % len(tasks)]['id']}"
        assert caller.patch(path, json={"description": f"{cycle}"}).status_code == 200


def shuffle(caller: Account, done: Event, tasks: list[dict[str, Any]]) -> None:
    """Change tasks in all that listings are sorted by."""
    for cycle in range(2 * CYCLES):
        if done.is_set():
            return
        path = f"/v1/tasks/{tasks[cycle % len(tasks)]['id']}"
        fields = {"title": "abcde"[cycle % 5], "priority": ("none", "high")[cycle % 2]}
        fields["due_date"] = f"2026-02-{1 + cycle % 28:02}"
        assert caller.patch(path, json=fields).status_code == 200


def test_walks_amid_writes_miss_and_repeat_nothing(alice: Account) -> None:
    groups: list[list[dict[str, Any]]] = [[], [], []]
    for place in range(36):
        fields = {"title": "abc"[place % 2], "priority": ("low", "none", "high")[place % 3]}
        due = {"due_date": f"2026-02-0{1 + place % 3}"} if place % 4 else {}
        groups[place // 12].append(alice.create_task(**fields, **due))
    untouched, described, shuffled = groups
    done = Event()

    def walk_on(caller: Account, sort: str) -> tuple[str, list[str]]:
        return sort, ids(walk(caller, sort=sort, limit=3))

    writers = callers(alice, 4)
    walkers = callers(alice, 20)
    writes = [
        partial(insert_change_and_delete, writers[0], done),
        partial(insert_change_and_delete, writers[1], done),
        partial(describe, writers[2], done, described),
        partial(shuffle, writers[3], done, shuffled),
    ]
    walks = [partial(walk_on, c, EVERY_SORT[n % 10]) for n, c in enumerate(walkers)]
    results = at_once([*writes, *walks])[len(writes) :]

    for sort, walked in results:
        seen = Counter(walked)
        still = {*ids(untouched)} if "updated_at" in sort else {*ids(untouched), *ids(described)}
        assert still <= seen.keys(), sort
        moved = {*ids(shuffled)}
        if "updated_at" not in sort:
            assert all(seen[task_id] == 1 for task_id in seen.keys() - moved), sort
        if "created_at" in sort:
            assert all(seen[task_id] == 1 for task_id in moved), sort
        assert all(seen[task_id] == 1 for task_id in still), sort
