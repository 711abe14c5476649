"""Later exports of the same account: what the user has changed here meanwhile, also while the
import runs, and what cannot be as the file has it.
"""

import time
from collections.abc import Callable
from threading import Thread
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app import create_app
from app.api.transfer import importing
from app.api.transfer.moving import named
from app.api.transfer.moving.conversion import Conversion, Moved
from app.api.transfer.progress import Budget
from tests.assertions import refused
from tests.conftest import Account, settings_for
from tests.lines import counts, exported, imported
from tests.lines import task as task_line
from tests.test_moving_in import move, moved, takeout, titles
from tests.walking import walk

GREEK = ("ΣΑΣ", "σασ")  # noqa: RUF001
"""One name for PostgreSQL, two for Python's `lower`."""

STAYS = "The task was changed or deleted here since, and stays as it is."


def to_do(uid: str, *properties: str) -> str:
    """A task of a calendar; its title is its UID unless there is a SUMMARY."""
    lines = [f"UID:{uid}", *([] if "SUMMARY" in str(properties) else [f"SUMMARY:{uid}"])]
    return "".join(f"{line}\r\n" for line in ("BEGIN:VTODO", *lines, *properties, "END:VTODO"))


def calendar(*to_dos: str, name: str = "Plants") -> bytes:
    """A calendar with these tasks."""
    head = f"BEGIN:VCALENDAR\r\nX-WR-CALNAME:{name}\r\n"
    return f"{head}{''.join(to_dos)}END:VCALENDAR\r\n".encode()


def foretold(account: Account, data: bytes, form: str = "ics") -> dict[str, Any]:
    """The report of an import, which is that of the dry run before."""
    before = account.get("/v1/changes").json, exported(account)
    looked = moved(account, data, form, dry_run="true")
    assert (account.get("/v1/changes").json, exported(account)) == before
    report = moved(account, data, form)
    assert looked == report
    return report


def lost(report: dict[str, Any]) -> list[tuple[str, str]]:
    """What is lost of which field."""
    return [(loss["field"], loss["detail"]) for loss in report["lossy"]]


def elsewhere(action: Callable[[], object]) -> None:
    """Do something as another request would, at the same time."""
    thread = Thread(target=action)
    thread.start()
    thread.join(timeout=30)


@pytest.fixture
def once_read(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Sets what happens between the reading of a file and the writing of its tasks."""

    def set_action(action: Callable[[], object]) -> None:
        real = Conversion.run

        def run(conversion: Conversion, *given: Any) -> Moved:
            found = real(conversion, *given)
            elsewhere(action)
            return found

        monkeypatch.setattr(Conversion, "run", run)

    return set_action


@pytest.fixture
def after_each_task(
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[Callable[[Budget], object]], None]:
    """Sets what happens once a task is written; they are written one by one."""
    monkeypatch.setattr(importing, "CHUNK_LINES", 1)

    def set_action(action: Callable[[Budget], object]) -> None:
        real = Budget.finish_chunk

        def finish_chunk(budget: Budget, number: int) -> None:
            real(budget, number)
            action(budget)

        monkeypatch.setattr(Budget, "finish_chunk", finish_chunk)

    return set_action


# While the import runs


def test_what_is_changed_or_deleted_while_the_file_is_read_stays_so(
    alice: Account, once_read: Callable[[Callable[[], object]], None]
) -> None:
    old, newer = (
        calendar(*(to_do(uid, f"DESCRIPTION:{text}") for uid in "abc")) for text in ("old", "new")
    )
    moved(alice, old, "ics")
    ids = {title: task["id"] for title, task in titles(alice).items()}

    def act() -> None:
        alice.patch(f"/v1/tasks/{ids['a']}", json={"title": "mine"})
        alice.delete(f"/v1/tasks/{ids['b']}")

    once_read(act)
    report = moved(alice, newer, "ics")
    assert counts(report) == (0, 1, 2, 0)
    assert lost(report) == [("", STAYS)] * 2
    assert {title: task["description"] for title, task in titles(alice).items()} == {
        "mine": "old",
        "c": "new",
    }


def test_a_file_that_another_process_imports_meanwhile_is_written_once(
    alice: Account, database_url: str, once_read: Callable[[Callable[[], object]], None]
) -> None:
    data = calendar(to_do("a"), to_do("b"))
    there = alice._replace(client=create_app(settings_for(database_url)).test_client())
    begun: list[bool] = []

    def act() -> None:
        if not begun:
            begun.append(True)
            assert counts(moved(there, data, "ics")) == (3, 0, 0, 0)

    once_read(act)
    report = moved(alice, data, "ics")
    assert counts(report) == (0, 0, 3, 0)
    assert lost(report) == []


def test_a_change_that_comes_right_after_its_task_was_written_is_the_users(
    alice: Account, after_each_task: Callable[[Callable[[Budget], object]], None]
) -> None:
    acted: list[str] = []

    def act(_budget: Budget) -> None:
        def patch() -> None:
            if not acted and (found := titles(alice)):
                acted.append(found["a"]["id"])
                assert alice.patch(f"/v1/tasks/{acted[0]}", json={"title": "mine"}).status_code

        elsewhere(patch)

    after_each_task(act)
    moved(alice, calendar(to_do("a"), to_do("b")), "ics")
    assert acted
    report = moved(alice, calendar(to_do("a", "DESCRIPTION:x"), to_do("b")), "ics")
    assert counts(report) == (0, 0, 2, 0)
    assert lost(report) == [("", STAYS)]
    assert set(titles(alice)) == {"mine", "b"}


def test_what_an_interrupted_import_has_written_is_changed_by_the_next_file(
    alice: Account,
    after_each_task: Callable[[Callable[[Budget], object]], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def act(budget: Budget) -> None:
        if titles(alice):
            budget.end = time.monotonic() - 1

    old, newer = (
        calendar(*(to_do(uid, f"DESCRIPTION:{text}") for uid in "ab")) for text in ("old", "new")
    )
    after_each_task(lambda budget: elsewhere(lambda: act(budget)))
    answer = move(alice, old, "ics")
    assert (answer.status_code, answer.json["type"]) == (503, "/problems/import-interrupted")
    monkeypatch.undo()
    assert set(titles(alice)) == {"a"}
    assert counts(foretold(alice, newer)) == (1, 1, 0, 0)
    assert {task["description"] for task in walk(alice)} == {"new"}


def test_what_an_import_has_written_before_a_quota_is_changed_by_the_next_file(
    alice: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, newer = (
        calendar(*(to_do(uid, f"DESCRIPTION:{text}") for uid in "abcdefg"))
        for text in ("old", "new")
    )
    with monkeypatch.context() as patch:
        patch.setitem(alice.client.application.config["QUOTA"], "quota_rows", 5)
        answer = move(alice, old, "ics")
        assert (answer.status_code, answer.json["type"]) == (409, "/problems/quota-exceeded")
    before = len(walk(alice))
    assert 0 < before < 7
    assert counts(foretold(alice, newer)) == (7 - before, before, 0, 0)


# Tasks without a note


def test_tasks_that_came_in_another_way_stay_and_the_report_says_so(
    alice: Account, bob: Account
) -> None:
    moved(alice, calendar(to_do("a")), "ics")
    rows = [task_line(id=task["id"], title=task["title"], category_id=None) for task in walk(alice)]
    imported(bob, *rows)
    report = foretold(bob, calendar(to_do("a", "DESCRIPTION:x"), to_do("b")))
    assert counts(report) == (2, 0, 1, 0)
    assert lost(report) == [("", "The task was here before, and stays as it is.")]


# Names


@pytest.mark.parametrize("name", ["ΟΔΟΣ", "İstanbul", "ẞtraße", "ǅ"])
def test_names_are_compared_as_the_database_does(alice: Account, name: str) -> None:
    categories, labels = "/v1/categories", "/v1/labels"
    category, label = alice.create_category(name=name), alice.create_label(name=name)
    data = calendar(to_do("a", f"CATEGORIES:{name}"), name=name)
    assert counts(foretold(alice, data)) == (1, 0, 0, 0)
    task = titles(alice)["a"]
    assert (task["category_id"], task["label_ids"]) == (category["id"], [label["id"]])
    assert len(walk(alice, categories)) == len(walk(alice, labels)) == 1


def test_names_of_a_file_that_the_database_takes_for_one_are_one(alice: Account) -> None:
    data = calendar(
        to_do("a", f"CATEGORIES:{GREEK[0]},{GREEK[1]}"), to_do("b", f"CATEGORIES:{GREEK[1]}")
    )
    assert counts(foretold(alice, data)) == (2 + 2, 0, 0, 0)
    [label] = walk(alice, "/v1/labels")
    assert label["name"] == GREEK[0]
    assert {tuple(task["label_ids"]) for task in walk(alice)} == {(label["id"],)}
    assert counts(foretold(alice, data)) == (0, 0, 2, 0)


def test_what_was_deleted_here_is_made_again_only_if_a_task_needs_it(alice: Account) -> None:
    data = calendar(to_do("a", "CATEGORIES:green"))
    moved(alice, data, "ics")
    for kind in ("categories", "labels"):
        [row] = walk(alice, f"/v1/{kind}")
        alice.delete(f"/v1/{kind}/{row['id']}")
    for _ in range(2):
        assert counts(foretold(alice, data)) == (0, 0, 1, 0)
        assert walk(alice, "/v1/categories") == walk(alice, "/v1/labels") == []
    assert counts(foretold(alice, calendar(to_do("b", "CATEGORIES:green")))) == (3, 0, 0, 0)


def test_one_that_was_made_again_and_renamed_keeps_its_name(alice: Account) -> None:
    for uid, change in (
        ("a", lambda row: alice.delete(row)),
        ("b", lambda row: alice.patch(row, json={"name": "Mine"})),
        ("c", lambda row: alice.get(row)),
    ):
        moved(alice, calendar(to_do(uid)), "ics")
        [row] = walk(alice, "/v1/categories")
        change(f"/v1/categories/{row['id']}")
    assert [row["name"] for row in walk(alice, "/v1/categories")] == ["Mine"]


def test_another_category_of_the_old_name_changes_no_task(alice: Account) -> None:
    data = calendar(to_do("a"), to_do("b"))
    moved(alice, data, "ics")
    [old] = walk(alice, "/v1/categories")
    alice.patch(f"/v1/categories/{old['id']}", json={"name": "Yard"})
    other = alice.create_category(name="PLANTS")
    assert counts(foretold(alice, data)) == (0, 0, 2, 0)
    assert counts(foretold(alice, calendar(to_do("a"), to_do("b", "DESCRIPTION:x")))) == (
        0,
        1,
        1,
        0,
    )
    assert titles(alice)["a"]["category_id"] == old["id"]
    assert titles(alice)["b"]["category_id"] == other["id"]


def test_a_file_of_too_many_names_is_refused(
    alice: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(named, "MOST_NAMES", 2)
    answer = move(alice, calendar(to_do("a", "CATEGORIES:x,y,z")), "ics")
    assert refused(answer, "format", parameter="format")
    assert "more than 2 different labels" in answer.json["errors"][0]["detail"]


# Rules


def test_a_rule_without_an_occurrence_is_in_the_description_and_its_tree_is_taken(
    alice: Account,
) -> None:
    ended = ("DUE:20260601T070000Z", "RRULE:FREQ=DAILY;UNTIL=20260530T220000Z")
    never = ("DUE:20260601T070000Z", "RRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30")
    data = calendar(
        to_do("ended", *ended, "DESCRIPTION:Mine"),
        to_do("below", "RELATED-TO:ended"),
        to_do("never", *never),
        to_do("daily", "DUE:20260601T070000Z", "RRULE:FREQ=DAILY"),
        to_do("long", *never, f"DESCRIPTION:{'x' * 5000}"),
    )
    report = foretold(alice, data)
    assert counts(report) == (6, 0, 0, 0)
    assert len(report["lossy"]) == 3
    found = titles(alice)
    assert found["ended"]["description"] == "Mine\nRepeats: FREQ=DAILY;UNTIL=20260530T220000Z"
    assert found["ended"]["recurrence"] is found["never"]["recurrence"] is None
    assert found["daily"]["recurrence"]["rule"] == "FREQ=DAILY"
    assert found["below"]["parent_id"] == found["ended"]["id"]
    assert found["long"]["description"].endswith("x\nRepeats: FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30")
    assert len(found["long"]["description"]) == 5000
    assert counts(foretold(alice, data)) == (0, 0, 5, 0)


# Trees


def test_a_new_task_below_one_that_was_deleted_is_taken_without_a_parent(alice: Account) -> None:
    moved(alice, calendar(to_do("a"), to_do("c")), "ics")
    alice.delete(f"/v1/tasks/{titles(alice)['a']['id']}")
    data = calendar(to_do("a"), to_do("b", "RELATED-TO:a"), to_do("c", "RELATED-TO:a"))
    report = foretold(alice, data)
    assert counts(report) == (1, 0, 2, 0)
    assert sorted(lost(report)) == [
        ("parent", "Its parent is not here, or was deleted; it has none."),
        ("parent", "Its parent is not here, or was deleted; it stays where it is."),
    ]
    assert [task["parent_id"] for task in walk(alice)] == [None, None]
    assert counts(foretold(alice, data)) == (0, 0, 3, 0)


def test_a_parent_that_is_deleted_while_the_file_is_read_takes_no_task_along(
    alice: Account, once_read: Callable[[Callable[[], object]], None]
) -> None:
    moved(alice, calendar(to_do("a")), "ics")
    row = titles(alice)["a"]["id"]
    once_read(lambda: alice.delete(f"/v1/tasks/{row}"))
    report = moved(alice, calendar(to_do("a"), to_do("b", "RELATED-TO:a")), "ics")
    assert counts(report) == (1, 0, 1, 0)
    assert titles(alice)["b"]["parent_id"] is None


def test_what_would_be_a_circle_here_stays_where_it_is(alice: Account) -> None:
    moved(alice, calendar(to_do("a"), to_do("b")), "ics")
    found = titles(alice)
    alice.patch(f"/v1/tasks/{found['a']['id']}", json={"parent_id": found["b"]["id"]})
    data = calendar(to_do("a"), to_do("b", "RELATED-TO:a", "DESCRIPTION:x"))
    report = foretold(alice, data)
    assert counts(report) == (0, 1, 1, 0)
    detail = "As tasks were moved here, it cannot be below its parent; it stays where it is."
    assert ("parent", detail) in lost(report)
    found = titles(alice)
    assert (found["b"]["parent_id"], found["b"]["description"]) == (None, "x")
    assert counts(foretold(alice, data)) == (0, 0, 2, 0)


def test_what_would_be_too_deep_here_has_no_parent(alice: Account) -> None:
    moved(alice, calendar(to_do("a"), to_do("b", "RELATED-TO:a")), "ics")
    parent = None
    for n in range(3):
        parent = alice.create_task(title=f"{n}", parent_id=parent)["id"]
    alice.patch(f"/v1/tasks/{titles(alice)['a']['id']}", json={"parent_id": parent})
    data = calendar(
        to_do("a"),
        to_do("b", "RELATED-TO:a"),
        to_do("c", "RELATED-TO:b"),
        to_do("d", "RELATED-TO:c"),
    )
    report = foretold(alice, data)
    assert counts(report) == (2, 0, 2, 0)
    detail = "As tasks were moved here, it cannot be below its parent; it has none."
    assert lost(report) == [("parent", detail)]
    found = titles(alice)
    assert (found["c"]["parent_id"], found["d"]["parent_id"]) == (None, found["c"]["id"])


# Whatever there is, and whatever comes

UIDS = "abcde"
TO_DOS = st.lists(
    st.builds(
        lambda uid, parent, more: (uid, [*([f"RELATED-TO:{parent}"] if parent else []), *more]),
        st.sampled_from(UIDS),
        st.sampled_from([None, *UIDS]),
        st.sampled_from(
            [
                [],
                ["DESCRIPTION:x"],
                [f"CATEGORIES:{GREEK[0]},{GREEK[1]}"],
                ["DUE:20260601T070000Z", "RRULE:FREQ=DAILY"],
                ["DUE:20260601T070000Z", "RRULE:FREQ=DAILY;UNTIL=20260530T220000Z"],
            ]
        ),
    ),
    max_size=6,
    unique_by=lambda each: each[0],
)
ACTS = st.lists(
    st.tuples(
        st.sampled_from(["delete", "rename", "move"]), st.sampled_from(UIDS), st.sampled_from(UIDS)
    ),
    max_size=4,
)


@settings(max_examples=40)
@given(before=TO_DOS, acts=ACTS, after=TO_DOS, chunk=st.sampled_from([1, 2, 200]))
def test_a_dry_run_reports_what_the_import_of_a_later_file_does(
    auth: Callable[[], Account],
    before: list[tuple[str, list[str]]],
    acts: list[tuple[str, str, str]],
    after: list[tuple[str, list[str]]],
    chunk: int,
) -> None:
    alice = auth()
    moved(alice, calendar(*(to_do(uid, *more) for uid, more in before)), "ics")
    ids = {title: task["id"] for title, task in titles(alice).items()}
    for act, uid, other in acts:
        row = f"/v1/tasks/{ids.get(uid)}"
        if act == "delete":
            alice.delete(row)
        else:
            change = {"title": "mine"} if act == "rename" else {"parent_id": ids.get(other)}
            alice.patch(row, json=change)
    data = calendar(*(to_do(uid, *more) for uid, more in after))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importing, "CHUNK_LINES", chunk)
        report = foretold(alice, data)
        assert report["refused"] == 0
        assert counts(foretold(alice, data)) == (0, 0, len(after), 0)


# What it takes


def test_a_chunk_takes_few_statements(alice: Account, sql: Callable[[], Any]) -> None:
    chunks = 3
    rows = [{"title": f"{n}"} for n in range(chunks * importing.CHUNK_LINES)]
    with sql() as statements:
        assert counts(moved(alice, takeout(*rows), "google"))[0] == len(rows) + 1
    assert len(statements) <= 4 * chunks + 12
