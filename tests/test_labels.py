"""Labels: names that tasks have, any number of them; two clients lose nothing to each other."""

import csv
import io
from typing import Any

import pytest

from app.core.ids import new_id
from tests.assertions import refused
from tests.conftest import Account
from tests.lines import counts, exported, imported, parsed, reasons, send, task
from tests.parallel import at_once, callers
from tests.walking import ids, walk

NOBODYS = "01981d2c-7f3a-7d40-8a3e-2f6b9c1d0e99"


def label(account: Account, name: str) -> str:
    """The id of a new label."""
    return str(account.create_label(name=name)["id"])


def path(task: dict[str, Any], label_id: str = "") -> str:
    return f"/v1/tasks/{task['id']}" + (f"/labels/{label_id}" if label_id else "")


def test_a_new_label_has_every_field(alice: Account) -> None:
    response = alice.post("/v1/labels", json={"name": "Urgent", "color": "#C62828"})
    made = response.json
    assert response.status_code == 201
    assert response.headers["Location"] == f"/v1/labels/{made['id']}"
    assert made == {
        "id": made["id"],
        "user_id": alice.user_id,
        "name": "Urgent",
        "color": "#c62828",
        "version": 1,
        "created_at": made["created_at"],
        "updated_at": made["created_at"],
    }
    assert walk(alice, "/v1/labels") == [made]


def test_a_name_is_taken_in_any_letter_case(alice: Account, bob: Account) -> None:
    label(alice, "Urgent")
    response = alice.post("/v1/labels", json={"name": "URGENT"})
    assert (response.status_code, response.json["type"]) == (409, "/problems/conflict")
    assert label(bob, "urgent")


def test_a_task_has_its_labels_sorted_and_each_once(alice: Account) -> None:
    a, b = sorted([label(alice, "a"), label(alice, "b")])
    made = alice.create_task(label_ids=[b, a.upper(), b])
    assert made["label_ids"] == [a, b]
    assert alice.create_task()["label_ids"] == []
    same = alice.patch(path(made), json={"label_ids": [a, b]}).json
    assert same == made
    assert alice.patch(path(made), json={"label_ids": [b]}).json["label_ids"] == [b]
    assert alice.put(path(made), json={"title": "x"}).json["label_ids"] == []


@pytest.mark.parametrize(
    ("value", "code", "pointer"),
    [
        (None, "list_type", "/label_ids"),
        ("x", "list_type", "/label_ids"),
        (["x"], "uuid", "/label_ids/0"),
        ([7], "string_type", "/label_ids/0"),
        ([new_id()], "unknown_reference", "/label_ids"),
    ],
)
def test_what_is_no_list_of_labels_is_refused_by_every_write(
    alice: Account, value: object, code: str, pointer: str
) -> None:
    made = alice.create_task()
    body = {"title": "x", "label_ids": value}
    for response in (
        alice.post("/v1/tasks", json=body),
        alice.put(path(made), json=body),
        alice.patch(path(made), json={"label_ids": value}),
    ):
        assert refused(response, code, pointer=pointer)
    assert walk(alice) == [made]


def test_a_task_has_at_most_fifty_labels(alice: Account) -> None:
    names = [f"n{n}" for n in range(51)]
    made = alice.post(
        "/v1/batch",
        json={
            "operations": [
                {"op": "create", "type": "label", "id": new_id(), "body": {"name": name}}
                for name in names
            ]
        },
    ).json
    labels = [result["body"]["id"] for result in made["results"]]
    full = alice.create_task(label_ids=labels[:50])
    assert len(full["label_ids"]) == 50
    assert refused(
        alice.patch(path(full), json={"label_ids": labels}), "too_long", pointer="/label_ids"
    )
    assert refused(alice.put(path(full, labels[50])), "too_long", parameter="label_id")
    assert alice.put(path(full, labels[0])).json == full
    alice.delete(path(full, labels[0]))
    assert alice.put(path(full, labels[50])).status_code == 200


def test_one_label_is_added_and_taken_away(alice: Account) -> None:
    a, b = label(alice, "a"), label(alice, "b")
    made = alice.create_task()
    with_a = alice.put(path(made, a)).json
    assert (with_a["label_ids"], with_a["version"]) == ([a], made["version"] + 1)
    assert alice.put(path(made, a)).json == with_a
    assert alice.delete(path(made, b)).json == with_a
    without = alice.delete(path(made, a)).json
    assert (without["label_ids"], without["version"]) == ([], made["version"] + 2)
    assert alice.delete(path(made, a)).json == without


def test_a_label_that_is_not_ones_own_is_not_there(alice: Account, bob: Account) -> None:
    made, theirs, gone = alice.create_task(), label(bob, "theirs"), label(alice, "gone")
    alice.delete(f"/v1/labels/{gone}")
    for one in (theirs, gone, new_id()):
        assert alice.put(path(made, one)).status_code == 404
        assert refused(
            alice.patch(path(made), json={"label_ids": [one]}),
            "unknown_reference",
            pointer="/label_ids",
        )
    assert bob.put(path(made, theirs)).status_code == 404
    assert alice.get(path(made)).json == made


def test_if_match_is_about_the_task(alice: Account) -> None:
    made, a = alice.create_task(), label(alice, "a")
    stale = {"If-Match": '"999"'}
    assert alice.put(path(made, a), headers=stale).status_code == 412
    assert alice.delete(path(made, a), headers=stale).status_code == 412


def test_clients_that_add_labels_at_once_lose_none(alice: Account) -> None:
    labels = [label(alice, name) for name in "abcdefgh"]
    made = alice.create_task()
    answers = at_once(
        [
            lambda one=one, caller=caller: caller.put(path(made, one))
            for one, caller in zip(labels, callers(alice, len(labels)), strict=True)
        ]
    )
    assert {answer.status_code for answer in answers} == {200}
    after = alice.get(path(made)).json
    assert after["label_ids"] == sorted(labels)
    assert after["version"] == made["version"] + len(labels)


def test_renaming_versions_the_label_alone_and_deleting_every_task_that_had_it(
    alice: Account,
) -> None:
    a, b = label(alice, "a"), label(alice, "b")
    tasks = [alice.create_task(label_ids=each) for each in ([a], [a, b], [b], [])]
    trashed = alice.create_task(label_ids=[a])
    alice.delete(path(trashed))
    alice.patch(f"/v1/labels/{a}", json={"name": "c"})
    assert [alice.get(path(each)).json for each in tasks] == tasks
    assert alice.delete(f"/v1/labels/{a}").status_code == 204
    after = [alice.get(path(each)).json for each in tasks]
    assert [each["label_ids"] for each in after] == [[], [b], [b], []]
    assert [x["version"] == y["version"] for x, y in zip(after, tasks, strict=True)] == [
        False,
        False,
        True,
        True,
    ]
    assert alice.post(f"{path(trashed)}/restore").json["label_ids"] == []
    versions = [item["version"] for item in alice.get("/v1/changes").json["items"]]
    assert len(versions) == len(set(versions))
    restored = alice.post(f"/v1/labels/{a}/restore").json
    assert restored["name"] == "c"
    assert alice.get(f"/v1/tasks?label_id={a}").json["items"] == []


def test_tasks_are_filtered_by_all_of_the_labels(alice: Account) -> None:
    a, b, c = (label(alice, name) for name in "abc")
    only_a, both, neither = (alice.create_task(label_ids=each) for each in ([a], [a, b], []))
    gone = alice.create_task(label_ids=[a, b])
    alice.delete(path(gone))

    def found(query: str) -> list[str]:
        return ids(alice.get(f"/v1/tasks?sort=created_at&{query}").json["items"])

    assert found(f"label_id={a}") == ids([only_a, both])
    assert found(f"label_id={a}&label_id={b}") == ids([both])
    assert found(f"label_id={b}&label_id={a.upper()}&label_id={a}") == ids([both])
    assert found(f"label_id={c}") == found(f"label_id={new_id()}") == []
    assert found("label_id=none") == ids([neither])
    assert found(f"label_id={a}&complete=true") == []
    assert found(f"label_id={a}&q=milk") == ids([only_a, both])
    for sort in ("due", "-position", "title", "-updated_at"):
        query = f"/v1/tasks?sort={sort}&label_id={a}"
        assert {each["id"] for each in alice.get(query).json["items"]} == {*ids([only_a, both])}


def test_a_walk_through_tasks_of_labels_keeps_all_labels(alice: Account) -> None:
    a, b = label(alice, "a"), label(alice, "b")
    tasks = [alice.create_task(label_ids=[a, b]) for _ in range(5)]
    alice.create_task(label_ids=[a])
    query, found = f"/v1/tasks?sort=created_at&limit=2&label_id={a}&label_id={b}", []
    while query:
        response = alice.get(query)
        found += response.json["items"]
        link = response.headers.get("Link", "")
        query = link.partition("<")[2].partition(">")[0]
    assert ids(found) == ids(tasks)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("label_id=x", "uuid"),
        ("label_id=", "uuid"),
        (f"label_id=none&label_id={NOBODYS}", "none_alone"),
        ("&".join(f"label_id={NOBODYS[:-2]}{n}" for n in range(10, 21)), "too_long"),
    ],
)
def test_a_filter_that_is_none_is_refused(alice: Account, query: str, code: str) -> None:
    assert refused(alice.get(f"/v1/tasks?{query}"), code, parameter="label_id")
    ten = "&".join(f"label_id={new_id()}" for _ in range(10))
    assert alice.get(f"/v1/tasks?{ten}").status_code == 200


def test_a_batch_labels_what_it_creates(alice: Account) -> None:
    a, new = new_id(), new_id()
    operations = [
        {"op": "create", "type": "label", "id": a, "body": {"name": "a"}},
        {"op": "create", "type": "task", "id": new, "body": {"title": "x", "label_ids": [a]}},
        {"op": "update", "type": "task", "id": new, "body": {"label_ids": []}},
        {"op": "update", "type": "task", "id": new, "body": {"label_ids": [a]}},
    ]
    response = alice.post("/v1/batch", json={"operations": operations})
    assert response.status_code == 200, response.text
    assert alice.get(f"/v1/tasks/{new}").json["label_ids"] == [a]
    operations = [{"op": "delete", "type": "label", "id": a}, operations[3]]
    refusal = alice.post("/v1/batch", json={"operations": operations})
    assert refused(refusal, "unknown_reference", pointer="/operations/1/body/label_ids")
    assert alice.get(f"/v1/labels/{a}").status_code == 200


def test_labels_are_exported_and_imported(alice: Account, bob: Account) -> None:
    a, b = label(alice, "a"), label(alice, "b, with a comma")
    alice.create_task(title="x", label_ids=[a, b])
    data = exported(alice)
    assert send(bob, data).json["refused"] == 0
    same = [line for line in parsed(exported(bob)) if line["type"] != "account"]
    assert same == [line for line in parsed(data) if line["type"] != "account"]
    assert counts(send(bob, data).json)[2] == 4
    [row] = csv.DictReader(io.StringIO(alice.get("/v1/export?format=csv").text.lstrip("\ufeff")))
    assert [*csv.reader([row["labels"]])] == [["a", "b, with a comma"]]
    assert "CATEGORIES:a,b\\, with a comma" in alice.get("/v1/export?format=ics").text


def test_an_import_refuses_a_line_with_an_unknown_label(alice: Account) -> None:
    a = label(alice, "a")
    report = imported(alice, task(label_ids=[a, new_id()]), task(label_ids=[a]))
    assert reasons(report) == [(1, "/data/label_ids", "unknown_reference")]
    assert [each["label_ids"] for each in walk(alice)] == [[a]]


def test_what_a_user_stores_counts_the_labels_of_tasks(alice: Account) -> None:
    a, made = label(alice, "a"), alice.create_task()
    used = alice.get("/v1/me").json["usage"]["bytes"]
    alice.put(path(made, a))
    assert alice.get("/v1/me").json["usage"]["bytes"] > used
    alice.delete(path(made, a))
    assert alice.get("/v1/me").json["usage"]["bytes"] == used
