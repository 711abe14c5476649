"""Subtasks: trees of five levels, which go to the trash and come back as one."""

import csv
import io
from collections.abc import Callable
from itertools import pairwise
from random import Random
from typing import Any
from uuid import UUID

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from app.core.ids import new_id
from tests.assertions import refused
from tests.conftest import Account
from tests.lines import counts, exported, imported, parsed, reasons, send, task
from tests.walking import ids, walk


def path(task: dict[str, Any]) -> str:
    return f"/v1/tasks/{task['id']}"


def below(account: Account, parent: dict[str, Any] | None, title: str) -> dict[str, Any]:
    return account.create_task(title=title, parent_id=parent and parent["id"])


def chain(account: Account, levels: int) -> list[dict[str, Any]]:
    """Tasks each of which is below the one before."""
    made: list[dict[str, Any]] = []
    for level in range(levels):
        made.append(below(account, made[-1] if made else None, f"level {level + 1}"))
    return made


def now(account: Account, *tasks: dict[str, Any]) -> list[dict[str, Any]]:
    return [account.get(path(task)).json for task in tasks]


def test_there_are_five_levels(alice: Account) -> None:
    made = chain(alice, 5)
    assert [task["parent_id"] for task in made] == [None, *ids(made)[:-1]]
    body = {"title": "x", "parent_id": made[-1]["id"]}
    assert refused(alice.post("/v1/tasks", json=body), "too_deep", pointer="/parent_id")
    two = chain(alice, 2)
    response = alice.patch(path(two[0]), json={"parent_id": made[3]["id"]})
    assert refused(response, "too_deep", pointer="/parent_id")
    assert alice.patch(path(two[0]), json={"parent_id": made[2]["id"]}).status_code == 200
    assert now(alice, *made) == made


def test_a_task_is_not_below_itself(alice: Account) -> None:
    made = chain(alice, 3)
    for parent in made:
        response = alice.patch(path(made[0]), json={"parent_id": parent["id"]})
        assert refused(response, "cycle", pointer="/parent_id")
    assert now(alice, *made) == made


def test_a_parent_is_live_and_ones_own(alice: Account, bob: Account) -> None:
    made, gone, theirs = alice.create_task(), alice.create_task(), bob.create_task()
    alice.delete(path(gone))
    for parent in (gone["id"], theirs["id"], new_id()):
        for response in (
            alice.post("/v1/tasks", json={"title": "x", "parent_id": parent}),
            alice.put(path(made), json={"title": "x", "parent_id": parent}),
            alice.patch(path(made), json={"parent_id": parent}),
        ):
            assert refused(response, "unknown_reference", pointer="/parent_id")
    assert walk(alice) == [made]


def test_a_new_subtask_gets_the_category_of_its_parent(alice: Account) -> None:
    home, work = alice.create_category(name="Home")["id"], alice.create_category(name="Work")["id"]
    parent = alice.create_task(category_id=home)
    assert below(alice, parent, "x")["category_id"] == home
    own = alice.create_task(parent_id=parent["id"], category_id=work)
    assert own["category_id"] == work
    put = alice.put(f"/v1/tasks/{new_id()}", json={"title": "y", "parent_id": parent["id"]})
    assert put.json["category_id"] == home
    alice.patch(path(parent), json={"category_id": work})
    assert alice.get(f"/v1/tasks/{put.json['id']}").json["category_id"] == home
    none = {"title": "y", "parent_id": parent["id"], "category_id": None}
    cleared = alice.put(path(put.json), json=none).json
    assert cleared["category_id"] is None
    assert alice.put(path(put.json), json=none).json == cleared
    assert alice.post("/v1/tasks", json=none).json["category_id"] is None
    left_out = {"title": "y", "parent_id": parent["id"]}
    again = alice.put(path(put.json), json=left_out).json
    assert again["category_id"] == work
    assert alice.put(path(put.json), json=left_out).json == again


def test_a_subtree_goes_to_the_trash_and_comes_back_as_one(alice: Account) -> None:
    root, child, grandchild = chain(alice, 3)
    other, before = alice.create_task(title="other"), below(alice, root, "deleted before")
    alice.delete(path(before))
    assert alice.delete(path(root)).status_code == 204
    assert walk(alice) == [other]
    items = [item["data"]["id"] for item in alice.get("/v1/trash").json["items"]]
    assert set(items) == {*ids([root, child, grandchild, before])}
    changes = alice.get("/v1/changes").json["items"]
    assert ids([item["data"] for item in changes]) == [other["id"]]
    restored = alice.post(f"{path(root)}/restore")
    assert restored.status_code == 200, restored.text
    assert {*ids(walk(alice))} == {*ids([root, child, grandchild, other])}
    after = now(alice, root, child, grandchild)
    assert [task["parent_id"] for task in after] == [None, root["id"], child["id"]]
    versions = [task["version"] for task in after]
    assert len(set(versions)) == 3
    assert max(versions) == versions[0] == restored.json["version"]


def test_a_part_whose_parent_is_in_the_trash_becomes_top_level(alice: Account) -> None:
    root, child, grandchild = chain(alice, 3)
    alice.delete(path(root))
    restored = alice.post(f"{path(child)}/restore").json
    assert restored["parent_id"] is None
    assert alice.get(path(grandchild)).json["parent_id"] == child["id"]
    alice.post(f"{path(root)}/restore")
    assert {*ids(walk(alice))} == {*ids([root, child, grandchild])}
    assert alice.get(path(child)).json["parent_id"] is None


def test_completing_a_task_leaves_its_subtasks_or_completes_them(alice: Account) -> None:
    root, child, grandchild = chain(alice, 3)
    done = below(alice, root, "done")
    done = alice.patch(path(done), json={"complete": True}).json
    assert alice.patch(path(child), json={"complete": True}).json["complete"]
    alice.patch(path(child), json={"complete": False})
    kept = alice.post(f"{path(root)}/complete", json={})
    assert (kept.json["task"]["complete"], kept.json["completed"]) == (True, None)
    assert kept.headers["ETag"] == f'"{kept.json["task"]["version"]}"'
    assert [task["complete"] for task in now(alice, child, grandchild)] == [False, False]
    both = alice.post(f"{path(root)}/complete", json={"subtasks": "complete"})
    assert both.status_code == 200, both.text
    after = now(alice, root, child, grandchild)
    assert all(task["complete"] and task["completed_at"] for task in after)
    assert len({task["version"] for task in after}) == 3
    assert after[0]["completed_at"] == kept.json["task"]["completed_at"]
    assert now(alice, done) == [done]
    again = alice.post(f"{path(root)}/complete", json={"subtasks": "complete"})
    assert again.json["task"] == after[0]


def test_completing_is_done_once_with_a_key(alice: Account) -> None:
    root, child = chain(alice, 2)
    key = {"Idempotency-Key": "once"}
    first = alice.post(f"{path(root)}/complete", json={"subtasks": "complete"}, headers=key)
    alice.patch(path(child), json={"complete": False})
    again = alice.post(f"{path(root)}/complete", json={"subtasks": "complete"}, headers=key)
    assert again.json == first.json
    assert again.headers["Idempotency-Replayed"] == "true"
    assert alice.get(path(child)).json["complete"] is False


def test_a_batch_completes_what_it_has_just_created(alice: Account) -> None:
    a, b = new_id(), new_id()
    operations = [
        {"op": "create", "type": "task", "id": a, "body": {"title": "a"}},
        {"op": "create", "type": "task", "id": b, "body": {"title": "b", "parent_id": a}},
        {"op": "complete", "type": "task", "id": a, "body": {"subtasks": "complete"}},
        {"op": "complete", "type": "task", "id": a, "if_match": '"4"', "body": {}},
    ]
    response = alice.post("/v1/batch", json={"operations": operations})
    assert response.status_code == 200, response.text
    assert [result["etag"] for result in response.json["results"]] == ['"1"', '"2"', '"4"', '"4"']
    assert [alice.get(f"/v1/tasks/{each}").json["complete"] for each in (a, b)] == [True, True]
    operations[3]["if_match"] = '"3"'
    operations[3]["id"] = a
    response = alice.post("/v1/batch", json={"operations": operations[3:]})
    assert (response.status_code, response.json["operation"]) == (409, 0)
    operations[3]["body"] = {"subtasks": "some"}
    response = alice.post("/v1/batch", json={"operations": operations[3:]})
    assert refused(response, "literal_error", pointer="/operations/0/body/subtasks")


def test_tasks_are_filtered_by_their_parent(alice: Account) -> None:
    root, child, grandchild = chain(alice, 3)

    def found(query: str) -> list[str]:
        return ids(alice.get(f"/v1/tasks?{query}").json["items"])

    assert found(f"parent_id={root['id']}") == ids([child])
    assert found(f"parent_id={child['id']}&sort=position") == ids([grandchild])
    assert found("parent_id=none") == ids([root])
    assert found(f"parent_id={new_id()}") == []
    assert refused(alice.get("/v1/tasks?parent_id=x"), "uuid", parameter="parent_id")


@pytest.mark.parametrize("op", ["create", "replace"])
def test_a_batch_makes_a_tree_and_refuses_what_is_none(alice: Account, op: str) -> None:
    a, b = new_id(), new_id()
    operations = [
        {"op": op, "type": "task", "id": a, "body": {"title": "a"}},
        {"op": op, "type": "task", "id": b, "body": {"title": "b", "parent_id": a}},
    ]
    response = alice.post("/v1/batch", json={"operations": operations})
    assert response.status_code == 200, response.text
    operations = [
        {"op": "update", "type": "task", "id": a, "body": {"title": "c"}},
        {"op": "update", "type": "task", "id": a, "body": {"parent_id": b}},
    ]
    response = alice.post("/v1/batch", json={"operations": operations})
    assert refused(response, "cycle", pointer="/operations/1/body/parent_id")
    assert alice.get(f"/v1/tasks/{a}").json["title"] == "a"
    delete = [{"op": "delete", "type": "task", "id": a}]
    assert alice.post("/v1/batch", json={"operations": delete}).status_code == 200
    assert walk(alice) == []


def test_a_tree_is_exported_and_imported(alice: Account, bob: Account) -> None:
    chain(alice, 5)
    data = exported(alice)
    report = send(bob, data).json
    assert report["refused"] == 0, report
    same = [line for line in parsed(exported(bob)) if line["type"] != "account"]
    assert same == [line for line in parsed(data) if line["type"] != "account"]


@settings(max_examples=25)
@given(choice=st.randoms(use_true_random=False), many=st.integers(1, 12))
def test_trees_with_order_and_labels_are_the_same_in_the_account_they_are_imported_into(
    auth: Callable[[], Account], choice: Random, many: int
) -> None:
    one, other = auth(), auth()
    labels = [one.create_label()["id"] for _ in range(3)]
    level: dict[str, int] = {}
    for number in range(many):
        parents = [each for each, depth in level.items() if depth < 5]
        parent = choice.choice([None, *parents])
        chosen = choice.sample(labels, choice.randrange(4))
        # Ids of their own, so that a parent may come behind its subtasks.
        place = f"/v1/tasks/{UUID(int=choice.getrandbits(32) << 96 | number, version=4)}"
        body = {"title": "x", "parent_id": parent, "label_ids": chosen}
        made = one.put(place, json=body).json["id"]
        level[made] = level.get(parent, 0) + 1
        to = {choice.choice(["after", "before"]): choice.choice([*level])}
        one.post(f"{place}/move", json=to if made not in to.values() else {"to": "start"})
    one.delete(f"/v1/tasks/{choice.choice([*level])}")
    data = exported(one)
    assert send(other, data).json["refused"] == 0
    same = [line for line in parsed(exported(other)) if line["type"] != "account"]
    assert same == [line for line in parsed(data) if line["type"] != "account"]
    order = [walk(each, sort="position") for each in (one, other)]
    assert ids(order[0]) == ids(order[1])


def test_spreadsheets_and_calendars_name_the_parent(alice: Account) -> None:
    root, child = chain(alice, 2)
    rows = csv.DictReader(io.StringIO(alice.get("/v1/export?format=csv").text.lstrip("\ufeff")))
    assert {row["title"]: row["parent"] for row in rows} == {"level 1": "", "level 2": "level 1"}
    calendar = alice.get("/v1/export?format=ics").text.replace("\r\n ", "")
    assert f"UID:{child['id']}" in calendar
    assert f"RELATED-TO:{root['id']}" in calendar


def test_in_a_batch_a_child_may_come_before_its_parent(alice: Account) -> None:
    a, b, c = new_id(), new_id(), new_id()
    operations = [
        {"op": "create", "type": "task", "id": c, "body": {"title": "c", "parent_id": b}},
        {"op": "create", "type": "task", "id": b, "body": {"title": "b", "parent_id": a.upper()}},
        {"op": "create", "type": "task", "id": a, "body": {"title": "a"}},
    ]
    response = alice.post("/v1/batch", json={"operations": operations})
    assert response.status_code == 200, response.text
    assert [result["body"]["title"] for result in response.json["results"]] == ["c", "b", "a"]
    assert alice.get(f"/v1/tasks/{c}").json["parent_id"] == b
    operations = [
        {"op": "create", "type": "task", "id": new_id(), "body": {"title": "x", "parent_id": a}},
        {"op": "create", "type": "task", "id": a, "body": {"title": "again"}},
    ]
    response = alice.post("/v1/batch", json={"operations": operations})
    assert (response.status_code, response.json["operation"]) == (409, 1)


def test_a_batch_is_done_in_its_order_and_checks_the_trees_at_its_end(alice: Account) -> None:
    def send(*operations: tuple[str, str, dict[str, Any] | None]) -> Any:
        listed = [
            {"op": op, "type": "task", "id": row_id} | ({"body": body} if body is not None else {})
            for op, row_id, body in operations
        ]
        return alice.post("/v1/batch", json={"operations": listed})

    a, b, c, d = (alice.create_task(title=title)["id"] for title in "abcd")
    assert send(("update", b, {"parent_id": a})).status_code == 200
    swapped = send(("update", a, {"parent_id": b}), ("update", b, {"parent_id": None}))
    assert swapped.status_code == 200, swapped.text
    assert alice.get(f"/v1/tasks/{a}").json["parent_id"] == b
    ring = send(("update", b, {"parent_id": c}), ("update", c, {"parent_id": a}))
    assert refused(ring, "cycle", pointer="/operations/0/body/parent_id")
    p, new = new_id(), new_id()
    gone = send(
        ("create", new, {"title": "new", "parent_id": p}),
        ("delete", d, None),
        ("create", p, {"title": "p", "parent_id": d}),
    )
    assert refused(gone, "unknown_reference", pointer="/operations/2/body/parent_id")
    lost = send(("create", new, {"title": "new", "parent_id": p}), ("update", d, {"title": "e"}))
    assert refused(lost, "unknown_reference", pointer="/operations/0/body/parent_id")
    deep = [new_id() for _ in range(6)]
    steps = [("create", low, {"title": "x", "parent_id": up}) for low, up in pairwise(deep)]
    too_deep = send(*steps, ("create", deep[-1], {"title": "top"}))
    assert refused(too_deep, "too_deep", pointer="/operations/0/body/parent_id")
    assert {each["title"] for each in walk(alice)} == {"a", "b", "c", "d"}


def test_in_an_import_a_child_may_come_before_its_parent(alice: Account) -> None:
    """However far: chunks are transactions of their own."""
    names = [new_id() for _ in range(4)]
    parents = [*names[1:], None]
    far = [task(title=str(n)) for n in range(450)]
    tree = [
        {"type": "task", "data": {"id": each, "title": each, "parent_id": parent}}
        for each, parent in zip(names, parents, strict=True)
    ]
    lost = task(parent_id=new_id())
    report = imported(alice, tree[0], lost, tree[1], *far, tree[2], tree[3])
    assert counts(report) == (454, 0, 0, 1)
    assert reasons(report) == [(2, "/data/parent_id", "unknown_reference")]
    found = {each["id"]: each["parent_id"] for each in walk(alice, limit=200)}
    assert [found.get(each, "missing") for each in names] == parents
    again = imported(alice, tree[0], lost, tree[1], *far, tree[2], tree[3])
    assert counts(again) == (0, 0, 454, 1)


def test_an_import_refuses_what_is_no_tree(alice: Account) -> None:
    a, b = new_id(), new_id()
    lines = [
        {"type": "task", "data": {"id": a, "title": "a", "parent_id": b}},
        {"type": "task", "data": {"id": b, "title": "b", "parent_id": a}},
    ]
    report = imported(alice, *lines, task(title="fine"))
    assert counts(report)[0] == 1
    assert [each["title"] for each in walk(alice)] == ["fine"]
