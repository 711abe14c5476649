"""The feed of changes: nothing is missed and nothing comes twice."""

import random
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any

import pytest
from apiflask import APIFlask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app import create_app
from app.api.changes import position
from app.api.changes.position import Position
from app.api.changes.queries import PAGE_BYTES
from app.core import lifecycle
from app.core.config import Settings
from app.core.ids import new_id
from app.core.places import POLLS, for_polls
from app.db.base import db
from tests.conftest import PASSWORD, Account, settings_for
from tests.databases import migrate, opened, own_database, user_of
from tests.locks import until
from tests.parallel import callers
from tests.syncing import Copy, page

Purge = Callable[[], None]


@pytest.fixture
def own(cluster: str) -> Iterator[tuple[Account, Any, Purge]]:
    """A database of its own with one user, a cursor into it, and what purges it."""
    with own_database(cluster) as url, opened(url) as cursor:
        migrate(url)
        alice = user_of(url)

        def purge() -> None:
            result = alice.client.application.test_cli_runner().invoke(
                args=["purge", "--days", "0"]
            )
            assert result.exit_code == 0, result.output

        yield alice, cursor, purge


def versions(changes: dict[str, Any]) -> list[int]:
    return [item["version"] for item in changes["items"]]


# The first copy


def test_a_first_copy_is_all_that_is_live_in_the_order_of_versions(alice: Account) -> None:
    category = alice.create_category()
    task = alice.create_task(category_id=category["id"])
    gone = alice.create_task()
    alice.delete(f"/v1/tasks/{gone['id']}")
    changed = alice.patch(f"/v1/categories/{category['id']}", json={"color": "#112233"}).json
    assert page(alice)["items"] == [
        {"type": "task", "id": task["id"], "version": 2, "deleted": False, "data": task},
        {"type": "category", "id": category["id"], "version": 5, "deleted": False, "data": changed},
    ]


def test_a_page_of_long_descriptions_ends_early_and_nothing_is_missed(alice: Account) -> None:
    # As long as it may be, and as it is written longest in UTF-8.
    for _ in range(80):
        alice.create_task(description="\U0001f95b" * 5000)
    short = alice.create_task()
    first = page(alice, limit=1000)
    assert (len(first["items"]), first["has_more"]) == (PAGE_BYTES // 20_000 + 1, True)
    second = page(alice, limit=1000, since=first["next_token"])
    assert (len(second["items"]), second["has_more"]) == (81 - len(first["items"]), False)
    assert versions(first) + versions(second) == [*range(1, 82)]
    assert second["items"][-1]["id"] == short["id"]


def test_a_first_copy_resumes_page_by_page(alice: Account) -> None:
    ids = [alice.create_task()["id"] for _ in range(7)]
    first = page(alice, limit=3)
    second = page(alice, limit=3, since=first["next_token"])
    third = page(alice, limit=3, since=second["next_token"])
    assert [first["has_more"], second["has_more"], third["has_more"]] == [True, True, False]
    found = [item["id"] for part in (first, second, third) for item in part["items"]]
    assert found == ids
    assert page(alice, since=third["next_token"])["items"] == []


def test_a_first_copy_is_told_of_what_is_deleted_while_it_is_read(alice: Account) -> None:
    tasks = [alice.create_task() for _ in range(4)]
    before = alice.create_task()
    alice.delete(f"/v1/tasks/{before['id']}")
    first = page(alice, limit=2)
    for task in (tasks[0], tasks[3]):
        alice.delete(f"/v1/tasks/{task['id']}")
    rest = page(alice, since=first["next_token"])
    assert [(item["id"], item["deleted"]) for item in rest["items"]] == [
        (tasks[2]["id"], False),
        (tasks[0]["id"], True),
        (tasks[3]["id"], True),
    ]


def test_who_has_nothing_gets_a_token_to_go_on_with(alice: Account) -> None:
    nothing = page(alice)
    assert (nothing["items"], nothing["has_more"]) == ([], False)
    task = alice.create_task()
    assert page(alice, since=nothing["next_token"])["items"][0]["data"] == task


def test_another_issuers_user_who_never_wrote_has_nothing_yet(app: APIFlask) -> None:
    user_id = new_id()
    token = app.extensions["token_verifier"].issue(user_id)
    stranger = Account(user_id, "", token, app.test_client())
    nothing = page(stranger)
    assert (nothing["items"], nothing["has_more"]) == ([], False)
    assert page(stranger, since=nothing["next_token"])["items"] == []


# What comes after


def test_what_was_changed_comes_once_as_it_now_is(alice: Account) -> None:
    kept, gone = alice.create_task(), alice.create_task()
    token = page(alice)["next_token"]
    alice.patch(f"/v1/tasks/{kept['id']}", json={"title": "Buy tea"})
    alice.delete(f"/v1/tasks/{gone['id']}")
    last = alice.patch(f"/v1/tasks/{kept['id']}", json={"complete": True}).json
    changes = page(alice, since=token)
    assert changes["items"] == [
        {"type": "task", "id": gone["id"], "version": 4, "deleted": True, "data": None},
        {"type": "task", "id": kept["id"], "version": 5, "deleted": False, "data": last},
    ]
    assert page(alice, since=token) == changes


def test_deleting_a_category_tells_of_each_task_that_was_in_it(alice: Account) -> None:
    category = alice.create_category()
    tasks = [alice.create_task(category_id=category["id"]) for _ in range(3)]
    token = page(alice)["next_token"]
    alice.delete(f"/v1/categories/{category['id']}")
    items = page(alice, since=token)["items"]
    assert {item["id"] for item in items} == {category["id"], *(task["id"] for task in tasks)}
    assert len({item["version"] for item in items}) == 4
    detached = [item["data"]["category_id"] for item in items if item["type"] == "task"]
    assert detached == [None] * 3


def test_what_is_written_again_under_its_id_is_live_again(alice: Account) -> None:
    task = alice.create_task()
    alice.delete(f"/v1/tasks/{task['id']}")
    token = page(alice)["next_token"]
    again = alice.put(f"/v1/tasks/{task['id']}", json={"title": "Buy tea"}).json
    assert [item["data"] for item in page(alice, since=token)["items"]] == [again]


def test_a_write_that_changes_nothing_is_no_change(alice: Account) -> None:
    task = alice.create_task()
    token = page(alice)["next_token"]
    alice.patch(f"/v1/tasks/{task['id']}", json={"title": task["title"]})
    assert page(alice, since=token)["items"] == []


def test_nobody_sees_anothers_changes(alice: Account, bob: Account) -> None:
    alice.create_task()
    assert page(bob)["items"] == []


# Tokens


def gone(response: TestResponse) -> bool:
    """Whether the client is told to start over."""
    return (response.status_code, response.json["type"]) == (410, "/problems/changes-gone")


def test_a_token_is_of_its_user_only_and_another_starts_over(alice: Account, bob: Account) -> None:
    alice.create_task()
    answers = [bob.get(f"/v1/changes?since={page(each)['next_token']}") for each in (alice, bob)]
    assert gone(answers[0])
    assert answers[1].status_code == 200
    # Nothing tells whether there is such an account, or whether it has come so far.
    forged = [gone_token(bob, signature) for signature in (b"x" * 16, b"\0" * 16)]
    told = [bob.get(f"/v1/changes?since={token}").json for token in forged]
    for problem in (*told, answers[0].json):
        assert problem | {"instance": ""} == answers[0].json | {"instance": ""}


def gone_token(account: Account, signature: bytes) -> str:
    """The account's token with another signature."""
    data = urlsafe_b64decode(f"{page(account)['next_token']}===")
    return urlsafe_b64encode(signature + data[len(signature) :]).decode().rstrip("=")


def test_a_token_of_an_account_that_was_erased_and_made_anew_says_start_over(
    client: FlaskClient,
) -> None:
    def made() -> Account:
        credentials = {"email": "erased.and.anew@example.com", "password": PASSWORD}
        account = client.post("/v1/auth/register", json=credentials)
        pair = client.post("/v1/auth/token", json=credentials)
        return Account(account.json["id"], credentials["email"], pair.json["access_token"], client)

    first = made()
    first.create_task()
    token = page(first)["next_token"]
    assert first.erase().status_code == 204
    anew = made()
    assert gone(anew.get(f"/v1/changes?since={token}"))
    anew.create_task()
    assert gone(anew.get(f"/v1/changes?since={token}"))
    assert len(page(anew)["items"]) == 1


@pytest.mark.parametrize(
    "mend",
    [
        lambda t: t[:-1],
        lambda t: t[1:],
        lambda t: t + "A",
        lambda _: "",
        lambda t: t + "=",
        lambda t: t[:-2] + "!!",
        lambda _: "A" * 200,
        lambda _: urlsafe_b64encode(b"x" * 15).decode().rstrip("="),
        lambda _: urlsafe_b64encode(b"x" * 16 + b"01.0").decode().rstrip("="),
        lambda _: urlsafe_b64encode(b"x" * 16 + b"1.0.0").decode().rstrip("="),
        lambda _: urlsafe_b64encode(b"x" * 16 + b"1" * 20 + b".0").decode().rstrip("="),
        lambda _: urlsafe_b64encode(b"x" * 16 + b"\xff.0").decode().rstrip("="),
        lambda _: urlsafe_b64encode(b"x" * 16 + "\u0661.0".encode()).decode().rstrip("="),
    ],
)
def test_a_token_that_was_tampered_with_is_refused(
    alice: Account, mend: Callable[[str], str]
) -> None:
    response = alice.get(f"/v1/changes?since={mend(page(alice)['next_token'])}")
    assert response.status_code == 422
    assert response.json["errors"][0]["code"] == "token"


def test_a_token_that_is_older_than_what_was_purged_says_start_over(
    own: tuple[Account, Any, Purge],
) -> None:
    alice, _, purge = own
    gone, kept = alice.create_task(), alice.create_task()
    old = page(alice)["next_token"]
    alice.delete(f"/v1/tasks/{gone['id']}")
    new = page(alice, since=old)["next_token"]
    purge()
    response = alice.get(f"/v1/changes?since={old}")
    assert (response.status_code, response.json["type"]) == (410, "/problems/changes-gone")
    assert page(alice, since=new)["items"] == []
    assert [item["id"] for item in page(alice)["items"]] == [kept["id"]]


def test_a_first_copy_outlives_the_purge_of_what_it_need_not_know(
    own: tuple[Account, Any, Purge],
) -> None:
    alice, _, purge = own
    tasks = [alice.create_task() for _ in range(4)]
    alice.delete(f"/v1/tasks/{tasks[3]['id']}")
    first = page(alice, limit=1)
    purge()
    rest = page(alice, since=first["next_token"])
    assert [item["id"] for item in rest["items"]] == [tasks[1]["id"], tasks[2]["id"]]
    alice.delete(f"/v1/tasks/{tasks[1]['id']}")
    purge()
    assert alice.get(f"/v1/changes?since={first['next_token']}").status_code == 410


def test_a_token_from_before_the_database_was_set_back_says_start_over(
    app: APIFlask, alice: Account
) -> None:
    alice.create_task()
    with app.app_context():
        token = position.encode(Position(2, 0), alice.user_id)
    assert alice.get(f"/v1/changes?since={token}").status_code == 410


# Waiting

POLLING = for_polls(Settings().web_threads)


def test_a_wait_ends_with_the_change_and_holds_no_connection(app: APIFlask, alice: Account) -> None:
    token = page(alice)["next_token"]
    answers: list[dict[str, Any]] = []
    [waiting] = callers(alice, 1)
    thread = Thread(target=lambda: answers.append(page(waiting, since=token, wait=25)))
    started = time.monotonic()
    thread.start()
    with app.app_context():
        until(lambda: app.extensions[POLLS].free == POLLING - 1)
        until(lambda: db.engine.pool.checkedout() == 0)
    task = alice.create_task()
    thread.join(timeout=30)
    assert [item["data"] for item in answers[0]["items"]] == [task]
    assert time.monotonic() - started < 25
    assert app.extensions[POLLS].free == POLLING


def test_a_wait_without_a_change_is_answered_in_the_end(alice: Account) -> None:
    token = page(alice)["next_token"]
    started = time.monotonic()
    assert page(alice, since=token, wait=1)["items"] == []
    assert time.monotonic() - started >= 1


def test_a_wait_may_be_longer_than_a_request(
    database_url: str, auth: Callable[..., Account]
) -> None:
    alice = auth(create_app(settings_for(database_url, REQUEST_DEADLINE="0.5")))
    token = page(alice)["next_token"]
    assert page(alice, since=token, wait=2)["items"] == []


@pytest.mark.parametrize("why", ["no place is free", "the process ends"])
def test_nobody_waits_where(
    app: APIFlask, alice: Account, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    token = page(alice)["next_token"]
    started = time.monotonic()
    if why == "no place is free":
        monkeypatch.setattr(app.extensions[POLLS], "total", 0)
    else:
        monkeypatch.setattr(lifecycle, "leaving", lambda: True)
    assert page(alice, since=token, wait=25)["items"] == []
    assert time.monotonic() - started < 25


# Many at once


@contextmanager
def slow_commits(cursor: Any) -> Iterator[None]:
    """Each write of a task waits before it is committed, when its version is taken already."""
    cursor.execute(
        """
        create function dawdle() returns trigger language plpgsql as $$
        begin perform pg_sleep(random() * 0.02); return null; end $$;
        create constraint trigger dawdle after insert or update on tasks
            deferrable initially deferred for each row execute function dawdle();
        """
    )
    yield
    cursor.execute("drop trigger dawdle on tasks; drop function dawdle()")


def write(account: Account) -> None:
    for _ in range(5):
        task = account.create_task()
        account.patch(f"/v1/tasks/{task['id']}", json={"complete": True})
        if random.random() < 0.5:
            account.delete(f"/v1/tasks/{task['id']}")


def read(account: Account, written: Event) -> tuple[Copy, list[int]]:
    """A copy kept until all is written, and the versions in the order in which they came."""
    copy, order, last = Copy(account), [], False
    while not last:
        last = written.is_set()
        order += copy.pull(limit=random.randint(1, 20))
        last = last and not copy.has_more
    return copy, order


def test_readers_amid_writers_miss_and_repeat_nothing(own: tuple[Account, Any, Purge]) -> None:
    alice, cursor, _ = own
    people, written = callers(alice, 25), Event()
    with slow_commits(cursor), ThreadPoolExecutor(25) as pool:
        readers = [pool.submit(read, account, written) for account in people[20:]]
        list(pool.map(write, people[:20]))
        written.set()
        results = [reader.result(timeout=120) for reader in readers]
    truth = Copy(alice).pulled().items
    assert len(truth) > 0
    for copy, order in results:
        assert order == sorted(set(order))
        assert copy.items == truth
