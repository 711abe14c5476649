"""What was erased never comes back, whichever request is sent again."""

from collections.abc import Callable
from typing import Any

import pytest
from apiflask import APIFlask
from werkzeug.test import TestResponse

from app.core.ids import new_id
from tests.conftest import Account
from tests.parallel import at_once, callers

SECRET = "a secret between us"

COLLECTIONS = {"task": "/v1/tasks", "category": "/v1/categories"}
KINDS = pytest.mark.parametrize("kind", COLLECTIONS)

Erasing = Callable[[Account, str, str], None]


def body_of(kind: str) -> dict[str, Any]:
    if kind == "task":
        return {"title": SECRET, "description": f"More of {SECRET}"}
    return {"name": SECRET, "color": "#00ff00"}


def delete(account: Account, kind: str, item_id: str) -> None:
    assert account.delete(f"{COLLECTIONS[kind]}/{item_id}").status_code == 204


@pytest.fixture(params=["erased", "emptied", "purged", "erased and purged", "erased and new"])
def erase(request: pytest.FixtureRequest, app: APIFlask, connection: Any) -> Erasing:
    """Deletes an item and removes it for good, in one of the ways there are."""

    def purge(account: Account) -> None:
        sql = "update {} set deleted_at = now() - interval '40 days' where user_id = %s"
        with connection.cursor() as cursor:
            for table in ("tasks", "categories"):
                cursor.execute(
                    f"{sql.format(table)} and deleted_at is not null", (account.user_id,)
                )
        assert app.test_cli_runner().invoke(args=["purge"]).exit_code == 0

    def remove(account: Account, kind: str, item_id: str) -> None:
        delete(account, kind, item_id)
        if request.param.startswith("erased"):
            assert account.delete(f"/v1/trash/{item_id}").status_code == 204
        if request.param == "emptied":
            assert account.delete("/v1/trash").status_code == 204
        if request.param.endswith("purged"):
            purge(account)
        if request.param.endswith("new"):
            other = {"title": "x"} if kind == "task" else {"name": new_id()}
            assert account.put(f"{COLLECTIONS[kind]}/{item_id}", json=other).status_code == 201

    return remove


def send(account: Account, path: str, body: Any = None) -> TestResponse:
    options = {} if body is None else {"json": body}
    return account.post(path, headers={"Idempotency-Key": "once"}, **options)


def refused_as_erased(response: TestResponse) -> bool:
    assert SECRET not in response.text
    return (response.status_code, response.json["type"]) == (410, "/problems/erased")


def live(account: Account, kind: str) -> list[str]:
    return [item["id"] for item in account.get(COLLECTIONS[kind]).json["items"]]


@KINDS
def test_a_creation_sent_again_tells_that_what_it_made_was_erased(
    alice: Account, erase: Erasing, kind: str
) -> None:
    path, body = COLLECTIONS[kind], body_of(kind)
    item = send(alice, path, body).json
    erase(alice, kind, item["id"])
    before = live(alice, kind)
    for _ in range(2):
        assert refused_as_erased(send(alice, path, body))
    assert live(alice, kind) == before
    other = send(alice, path, {**body, "title" if kind == "task" else "name": "Another"})
    assert other.json["type"] == "/problems/idempotency-key-reused"


@KINDS
def test_a_restore_sent_again_tells_that_what_it_restored_was_erased(
    alice: Account, erase: Erasing, kind: str
) -> None:
    item = alice.post(COLLECTIONS[kind], json=body_of(kind)).json
    delete(alice, kind, item["id"])
    path = f"{COLLECTIONS[kind]}/{item['id']}/restore"
    assert send(alice, path).status_code == 200
    erase(alice, kind, item["id"])
    assert refused_as_erased(send(alice, path))


@KINDS
def test_a_restore_that_found_it_live_tells_that_it_was_erased_too(
    alice: Account, erase: Erasing, kind: str
) -> None:
    item = alice.post(COLLECTIONS[kind], json=body_of(kind)).json
    path = f"{COLLECTIONS[kind]}/{item['id']}/restore"
    assert send(alice, path).json == item
    erase(alice, kind, item["id"])
    assert refused_as_erased(send(alice, path))


@KINDS
def test_a_batch_sent_again_has_all_but_what_was_erased(
    alice: Account, erase: Erasing, kind: str
) -> None:
    gone, stays = new_id(), alice.create_task(title="Stays")
    operations = [
        {"op": "create", "type": kind, "id": gone, "body": body_of(kind)},
        {"op": "update", "type": "task", "id": stays["id"], "body": {"complete": True}},
        {"op": "update", "type": kind, "id": gone, "body": body_of(kind)},
        {
            "op": "create",
            "type": "category",
            "id": gone if kind == "task" else new_id(),
            "body": {"name": "Of the same id, perhaps"},
        },
    ]
    first = send(alice, "/v1/batch", {"operations": operations})
    assert first.status_code == 200, first.text
    erase(alice, kind, gone)
    expected = first.json["results"]
    expected[0]["body"] = expected[2]["body"] = None
    for _ in range(2):
        again = send(alice, "/v1/batch", {"operations": operations})
        assert (again.status_code, again.headers["Idempotency-Replayed"]) == (200, "true")
        assert again.json == {"results": expected}
        assert SECRET not in again.text


def test_a_batch_of_which_nothing_was_erased_is_replayed_byte_for_byte(alice: Account) -> None:
    item, other = new_id(), new_id()
    operations = [
        {"op": "create", "type": "task", "id": item, "body": body_of("task")},
        {"op": "create", "type": "task", "id": other, "body": {"title": "x"}},
        {"op": "delete", "type": "task", "id": other},
    ]
    first = send(alice, "/v1/batch", {"operations": operations})
    delete(alice, "task", item)
    assert send(alice, "/v1/batch", {"operations": operations}).data == first.data


@KINDS
def test_what_was_deleted_and_written_anew_is_still_replayed(alice: Account, kind: str) -> None:
    path, body = COLLECTIONS[kind], body_of(kind)
    first = send(alice, path, body)
    delete(alice, kind, first.json["id"])
    other = {"title": "x"} if kind == "task" else {"name": "x"}
    assert alice.put(f"{path}/{first.json['id']}", json=other).status_code == 201
    assert send(alice, path, body).data == first.data


@KINDS
def test_what_was_created_under_a_key_after_an_erasure_is_replayed(
    alice: Account, kind: str
) -> None:
    item = alice.post(COLLECTIONS[kind], json=body_of(kind)).json
    delete(alice, kind, item["id"])
    assert alice.delete(f"/v1/trash/{item['id']}").status_code == 204
    path = f"{COLLECTIONS[kind]}/{item['id']}"
    assert alice.put(path, json=body_of(kind)).status_code == 201
    delete(alice, kind, item["id"])
    restored = send(alice, f"{path}/restore")
    assert (restored.status_code, send(alice, f"{path}/restore").data) == (200, restored.data)


@KINDS
def test_replays_at_once_with_an_erasure_show_all_or_nothing(alice: Account, kind: str) -> None:
    path, body = COLLECTIONS[kind], body_of(kind)
    first = send(alice, path, body)
    delete(alice, kind, first.json["id"])
    eraser, *others = callers(alice, 12)
    calls: list[Callable[[], TestResponse]] = [
        lambda: eraser.delete(f"/v1/trash/{first.json['id']}"),
        *(lambda caller=caller: send(caller, path, body) for caller in others),
    ]
    erased, *answers = at_once(calls)
    assert erased.status_code == 204
    for answer in answers:
        assert answer.data == first.data or refused_as_erased(answer)
    assert refused_as_erased(send(alice, path, body))


def test_erasing_a_strangers_item_does_not_touch_ones_own_replay(
    alice: Account, bob: Account
) -> None:
    first = send(alice, "/v1/tasks", body_of("task"))
    item = first.json["id"]
    assert bob.put(f"/v1/tasks/{item}", json={"title": "x"}).status_code == 201
    delete(bob, "task", item)
    assert bob.delete(f"/v1/trash/{item}").status_code == 204
    assert send(alice, "/v1/tasks", body_of("task")).data == first.data
