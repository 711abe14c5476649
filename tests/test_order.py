"""The order that a user gives to tasks: moves, positions of a client's own, and room for both."""

import random
from collections.abc import Callable
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from app.core.ids import new_id
from tests.assertions import refused
from tests.conftest import Account
from tests.lines import exported, imported, jsonl, send, task
from tests.parallel import at_once
from tests.walking import walk

DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
POSITIONS = st.text(DIGITS, min_size=1, max_size=64)


def in_order(account: Account, sort: str = "position") -> list[dict[str, Any]]:
    return walk(account, sort=sort, limit=200)


def titles(account: Account) -> list[str]:
    return [each["title"] for each in in_order(account)]


def move(account: Account, task: dict[str, Any], **options: Any) -> Any:
    return account.post(f"/v1/tasks/{task['id']}/move", **options)


def moved(account: Account, task: dict[str, Any], **body: str) -> dict[str, Any]:
    response = move(account, task, json=body)
    assert response.status_code == 200, response.text
    return response.json


def created(account: Account, *names: str) -> list[dict[str, Any]]:
    return [account.create_task(title=name) for name in names]


def test_a_new_task_is_the_last(alice: Account) -> None:
    a, b = created(alice, "a", "b")
    assert a["position"] < b["position"]
    alice.create_task(title="far away", position="z" * 64)
    c = alice.create_task(title="c")
    assert titles(alice) == ["a", "b", "far away", "c"]
    assert len(c["position"]) <= 64


def test_a_task_moves_to_each_place(alice: Account) -> None:
    a, b, c = created(alice, "a", "b", "c")
    moved(alice, c, after=a["id"])
    assert titles(alice) == ["a", "c", "b"]
    moved(alice, b, before=c["id"])
    assert titles(alice) == ["a", "b", "c"]
    moved(alice, b, to="start")
    assert titles(alice) == ["b", "a", "c"]
    moved(alice, a, to="end")
    assert titles(alice) == ["b", "c", "a"]
    assert [each["title"] for each in in_order(alice, "-position")] == ["a", "c", "b"]


def test_a_move_counts_up_one_version_of_the_task_and_none_of_others(alice: Account) -> None:
    a, _, c = created(alice, "a", "b", "c")
    after = moved(alice, c, after=a["id"])
    assert after == {
        **c,
        "position": after["position"],
        "version": c["version"] + 1,
        "updated_at": after["updated_at"],
    }
    changes = alice.get("/v1/changes").json["items"]
    assert [item["data"]["version"] for item in changes] == [1, 2, 4]


@pytest.mark.parametrize("place", ["after", "before", "start", "end"])
def test_a_move_to_where_the_task_is_changes_nothing(alice: Account, place: str) -> None:
    a, b, c = created(alice, "a", "b", "c")
    task, body = {
        "after": (b, {"after": a["id"]}),
        "before": (b, {"before": c["id"]}),
        "start": (a, {"to": "start"}),
        "end": (c, {"to": "end"}),
    }[place]
    assert moved(alice, task, **body) == task


def test_the_only_task_stays_where_it_is(alice: Account) -> None:
    [a] = created(alice, "a")
    assert moved(alice, a, to="start") == moved(alice, a, to="end") == a


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ({}, "", "one_place"),
        ({"to": "start", "after": new_id()}, "", "one_place"),
        ({"to": "middle"}, "/to", "literal_error"),
        ({"to": None}, "/to", "literal_error"),
        ({"after": None}, "/after", "string_type"),
        ({"after": "x"}, "/after", "uuid"),
        ({"before": 7}, "/before", "string_type"),
        ({"between": new_id()}, "/between", "extra_forbidden"),
        ({"after": new_id()}, "/after", "unknown_reference"),
        ({"before": new_id()}, "/before", "unknown_reference"),
    ],
)
def test_a_place_that_is_none_is_refused(
    alice: Account, body: dict[str, Any], pointer: str, code: str
) -> None:
    a, _ = created(alice, "a", "b")
    assert refused(move(alice, a, json=body), code, pointer=pointer)
    assert alice.get(f"/v1/tasks/{a['id']}").json == a


def test_a_neighbour_is_live_ones_own_and_another_task(alice: Account, bob: Account) -> None:
    a, b = created(alice, "a", "b")
    [theirs] = created(bob, "theirs")
    alice.delete(f"/v1/tasks/{b['id']}")
    for neighbour in (a, b, theirs):
        for place in ("after", "before"):
            response = move(alice, a, json={place: neighbour["id"]})
            assert refused(response, "unknown_reference", pointer=f"/{place}")
    assert move(alice, theirs, json={"to": "start"}).status_code == 404
    assert move(alice, b, json={"to": "start"}).status_code == 404
    assert bob.get(f"/v1/tasks/{theirs['id']}").json == theirs


def test_if_match_is_about_the_moved_task(alice: Account) -> None:
    a, b = created(alice, "a", "b")
    stale = move(alice, a, json={"after": b["id"]}, headers={"If-Match": '"7"'})
    assert stale.status_code == 412
    assert titles(alice) == ["a", "b"]
    headers = {"If-Match": f'"{a["version"]}"'}
    assert move(alice, a, json={"after": b["id"]}, headers=headers).status_code == 200
    assert titles(alice) == ["b", "a"]


def test_a_move_sent_again_with_its_key_is_done_once(alice: Account) -> None:
    a, b = created(alice, "a", "b")
    key = {"Idempotency-Key": "once"}
    first = move(alice, a, json={"to": "end"}, headers=key)
    moved(alice, a, before=b["id"])
    again = move(alice, a, json={"to": "end"}, headers=key)
    assert (again.status_code, again.json) == (200, first.json)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert titles(alice) == ["a", "b"]
    assert move(alice, a, json={"to": "start"}, headers=key).status_code == 422
    other = move(alice, b, json={"to": "end"}, headers={"Idempotency-Key": "two"})
    assert other.json == b  # which changes nothing, and is an answer to keep as well


@pytest.mark.parametrize("position", ["", "z" * 65, "a-b", "é", 7, "a\n"])
def test_a_position_that_is_none_is_refused(alice: Account, position: object) -> None:
    [a] = created(alice, "a")
    path = f"/v1/tasks/{a['id']}"
    for response in (
        alice.post("/v1/tasks", json={"title": "x", "position": position}),
        alice.put(path, json={"title": "x", "position": position}),
        alice.patch(path, json={"position": position}),
    ):
        code = "string_type" if position == 7 else "position"
        assert refused(response, code, pointer="/position")
    assert refused(alice.patch(path, json={"position": None}), "string_type", pointer="/position")
    assert alice.get(path).json == a


def test_a_client_may_write_positions_of_its_own(alice: Account) -> None:
    [a] = created(alice, "a")
    path = f"/v1/tasks/{a['id']}"
    assert alice.patch(path, json={"position": "V"}).json["position"] == "V"
    assert alice.put(path, json={"title": "a", "position": "W"}).json["position"] == "W"
    kept = alice.put(path, json={"title": "b"}).json
    assert (kept["position"], kept["version"]) == ("W", 4)
    assert alice.put(path, json={"title": "b", "position": None}).json == kept
    written = alice.put(f"/v1/tasks/{new_id()}", json={"title": "c", "position": "W"})
    assert written.json["position"] == "W"
    tied = sorted([(a["id"], "b"), (written.json["id"], "c")])
    assert titles(alice) == [title for _, title in tied]


def test_a_restored_task_is_where_it_was(alice: Account) -> None:
    _, b, _ = created(alice, "a", "b", "c")
    alice.delete(f"/v1/tasks/{b['id']}")
    assert titles(alice) == ["a", "c"]
    alice.post(f"/v1/tasks/{b['id']}/restore")
    assert titles(alice) == ["a", "b", "c"]


def test_a_new_task_under_the_id_of_a_deleted_one_is_the_last(alice: Account) -> None:
    a, _ = created(alice, "a", "b")
    alice.delete(f"/v1/tasks/{a['id']}")
    alice.put(f"/v1/tasks/{a['id']}", json={"title": "again"})
    assert titles(alice) == ["b", "again"]


def test_where_there_is_no_room_others_make_it(alice: Account) -> None:
    """Each has a version of its own, and clients that synchronise are told of all of them."""
    tied = [alice.create_task(title=str(n), position="V") for n in range(6)]
    tied.sort(key=lambda task: task["id"])
    mover = alice.create_task(title="mover")
    names = [task["title"] for task in tied]
    moved(alice, mover, after=tied[3]["id"])
    assert titles(alice) == [*names[:4], "mover", *names[4:]]
    items = [item["data"] for item in alice.get("/v1/changes").json["items"]]
    versions = [item["version"] for item in items]
    assert len(set(versions)) == len(versions) == 7
    assert {item["title"] for item in items if item["version"] > mover["version"]} == {
        "mover",
        *names[4:],
    }


@pytest.mark.parametrize("edge", ["z" * 64, "0" * 64, "0", "z"])
def test_the_first_and_the_last_position_leave_room(alice: Account, edge: str) -> None:
    tied = [alice.create_task(title=str(n), position=edge) for n in range(3)]
    tied.sort(key=lambda each: each["id"])
    names = [each["title"] for each in tied]
    a, b, c = (alice.create_task(title=name, position="V") for name in "abc")
    moved(alice, a, to="start")
    moved(alice, b, to="end")
    moved(alice, c, after=tied[1]["id"])
    assert titles(alice) == ["a", *names[:2], "c", names[2], "b"]


def test_many_moves_into_one_gap_keep_positions_short(alice: Account) -> None:
    first, a, b, _ = created(alice, "first", "a", "b", "last")
    for _ in range(200):
        moved(alice, b, after=first["id"])
        moved(alice, a, after=first["id"])
    tasks = in_order(alice)
    assert [task["title"] for task in tasks] == ["first", "a", "b", "last"]
    assert all(len(task["position"]) <= 64 for task in tasks)


@settings(max_examples=25)
@given(
    positions=st.lists(st.one_of(POSITIONS, st.sampled_from(["0", "V", "V0", "z" * 64]))),
    seed=st.integers(0, 2**32),
)
def test_any_sequence_of_moves_is_that_of_a_list(
    auth: Callable[[], Account], positions: list[str], seed: int
) -> None:
    """Whatever positions clients brought; nothing is lost or doubled when runs are written anew."""
    someone, choice = auth(), random.Random(seed)
    tasks = [someone.create_task(title=str(n), position=p) for n, p in enumerate(positions)]
    tasks += created(someone, "new")
    expected = sorted(tasks, key=lambda task: (task["position"], task["id"]))
    for _ in range(12):
        task = choice.choice(expected)
        rest = [each for each in expected if each is not task]
        place = choice.choice(["start", "end", *(["after", "before"] if rest else [])])
        if place in ("start", "end"):
            moved(someone, task, to=place)
            index = 0 if place == "start" else len(rest)
        else:
            index = choice.randrange(len(rest))
            moved(someone, task, **{place: rest[index]["id"]})
            index += place == "after"
        expected = [*rest[:index], task, *rest[index:]]
        found = in_order(someone)
        assert [each["id"] for each in found] == [each["id"] for each in expected]
        assert all(1 <= len(each["position"]) <= 64 for each in found)


def test_ten_clients_that_move_at_once_never_share_a_place(alice: Account) -> None:
    tasks = created(alice, *"abcdefghij")
    anchor = alice.create_task(title="anchor")
    answers = at_once(
        [lambda task=task: move(alice, task, json={"after": anchor["id"]}) for task in tasks]
    )
    assert {answer.status_code for answer in answers} == {200}
    found = in_order(alice)
    assert len({task["position"] for task in found}) == 11
    assert found[0]["title"] == "anchor"


def test_a_batch_moves_what_it_has_just_created(alice: Account) -> None:
    a, b = created(alice, "a", "b")
    new = new_id()
    response = alice.post(
        "/v1/batch",
        json={
            "operations": [
                {"op": "create", "type": "task", "id": new, "body": {"title": "new"}},
                {"op": "move", "type": "task", "id": new, "body": {"to": "start"}},
                {"op": "move", "type": "task", "id": a["id"], "body": {"after": b["id"]}},
            ]
        },
    )
    assert response.status_code == 200, response.text
    assert [result["status"] for result in response.json["results"]] == [201, 200, 200]
    assert titles(alice) == ["new", "b", "a"]


def test_a_batch_with_a_move_to_nowhere_does_nothing(alice: Account) -> None:
    a, b = created(alice, "a", "b")
    operations = [
        {"op": "move", "type": "task", "id": a["id"], "body": {"after": b["id"]}},
        {"op": "move", "type": "task", "id": a["id"], "body": {"after": new_id()}},
    ]
    response = alice.post("/v1/batch", json={"operations": operations})
    assert refused(response, "unknown_reference", pointer="/operations/1/body/after")
    operations[1] |= {"body": {"to": "end"}, "if_match": '"1"'}
    failed = alice.post("/v1/batch", json={"operations": operations})
    assert failed.status_code == 409, failed.text
    assert titles(alice) == ["a", "b"]
    operations[1] = {"op": "move", "type": "category", "id": a["id"], "body": {"to": "end"}}
    response = alice.post("/v1/batch", json={"operations": operations})
    assert refused(response, "unsupported", pointer="/operations/1/op")


def test_an_import_keeps_positions_and_puts_tasks_without_one_behind(
    alice: Account, bob: Account
) -> None:
    a, b, _ = created(alice, "a", "b", "c")
    moved(alice, b, before=a["id"])
    created(bob, "mine")
    assert send(bob, exported(alice)).json["refused"] == 0
    assert titles(bob) == ["b", "a", "c", "mine"]
    report = imported(bob, *(task(title=str(n)) for n in range(3)))
    assert (report["created"], report["refused"]) == (3, 0)
    assert titles(bob) == ["b", "a", "c", "mine", "0", "1", "2"]
    again = task(id=walk(bob)[0]["id"], title="same id twice")
    assert send(bob, jsonl(again, again | {"type": "task"})).json["refused"] == 0
    assert titles(bob) == ["b", "a", "c", "mine", "0", "1", "same id twice"]
