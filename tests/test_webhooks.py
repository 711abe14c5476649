"""Webhooks: what users set, and what the worker tells."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from standardwebhooks import Webhook

from app.core.ids import new_id
from app.ops.hooks import dispatcher, queries
from tests.conftest import Account
from tests.hooks import Hooks, hook, state
from tests.lines import jsonl, send
from tests.lines import task as line
from tests.locks import until
from tests.rig.receiver import Receiver, is_signed


@pytest.fixture
def hooks(own_url: str) -> Iterator[Hooks]:
    made = Hooks(own_url)
    yield made
    made.ask("delete from users")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


@pytest.fixture
def alice(hooks: Hooks) -> Account:
    return hooks.alice


def failing(status: int, **headers: str) -> Any:
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _message: (status, fields, b"no")


# What is told


def test_changes_are_told_up_to_a_version_and_signed(
    hooks: Hooks, alice: Account, receiver: Receiver
) -> None:
    made = hook(alice, receiver.url("/tasks?from=us"))
    hooks.call()
    assert receiver.received == []
    task = alice.create_task()
    hooks.call()
    [message] = receiver.received
    assert message.path == "/tasks?from=us"
    assert message.content == {
        "type": "changes",
        "timestamp": message.content["timestamp"],
        "data": {"until": task["version"]},
    }
    assert datetime.fromisoformat(message.content["timestamp"]).tzinfo == UTC
    assert message.headers["content-type"] == "application/json"
    assert message.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert is_signed(message, made["secret"])
    assert Webhook(made["secret"]).verify(message.body, message.headers) == message.content
    now = state(alice, made)
    assert (now["last_status"], now["last_error"], now["next_attempt_at"]) == (204, None, None)
    assert now["last_attempt_at"] is not None
    assert now["version"] == made["version"]


def test_any_number_of_changes_is_one_message(
    hooks: Hooks, alice: Account, receiver: Receiver
) -> None:
    hook(alice, receiver.url())
    versions = [alice.create_task()["version"] for _ in range(5)]
    hooks.call()
    assert [each.content["data"]["until"] for each in receiver.received] == [versions[-1]]


def test_every_kind_of_write_is_told(hooks: Hooks, alice: Account, receiver: Receiver) -> None:
    hook(alice, receiver.url())
    task = alice.create_task()
    operation = {"op": "create", "type": "label", "id": new_id(), "body": {"name": "Bread"}}
    for write in (
        lambda: alice.patch(f"/v1/tasks/{task['id']}", json={"title": "Bread"}),
        lambda: alice.put(f"/v1/tasks/{task['id']}", json={"title": "Butter"}),
        lambda: alice.post("/v1/batch", json={"operations": [operation]}),
        lambda: send(alice, jsonl(line())),
        lambda: alice.delete(f"/v1/tasks/{task['id']}"),
        lambda: alice.post(f"/v1/tasks/{task['id']}/restore"),
        lambda: alice.create_category(),
        lambda: alice.create_label(),
    ):
        hooks.call()
        before = len(receiver.received)
        answer = write()
        assert getattr(answer, "status_code", 200) < 300, answer.text
        hooks.call()
        assert len(receiver.received) == before + 1


def test_others_are_not_told(hooks: Hooks, alice: Account, receiver: Receiver) -> None:
    hook(alice, receiver.url())
    hooks.user().create_task()
    hooks.call()
    assert receiver.received == []


def test_reminders_are_told_one_by_one(hooks: Hooks, alice: Account, receiver: Receiver) -> None:
    hook(alice, receiver.url(), "reminder")
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    tasks = {alice.create_task(reminders=[{"at": later}])["id"] for _ in range(3)}
    done = alice.create_task(reminders=[{"at": later}])["id"]
    alice.patch(f"/v1/tasks/{done}", json={"complete": True})
    hooks.call()
    assert receiver.received == []
    hooks.ring(alice)
    hooks.call()
    assert {each.content["data"]["task_id"] for each in receiver.received} == tasks
    assert {each.content["type"] for each in receiver.received} == {"reminder"}
    assert len({each.headers["webhook-id"] for each in receiver.received}) == 3
    hooks.call()
    assert len(receiver.received) == 3


def test_a_message_that_is_repeated_has_its_id_and_one_that_tells_more_another(
    hooks: Hooks, alice: Account, receiver: Receiver
) -> None:
    made = hook(alice, receiver.url())
    receiver.reply = failing(500)
    alice.create_task()
    hooks.call()
    hooks.let_time_pass()
    hooks.call()
    alice.create_task()
    hooks.let_time_pass()
    receiver.reply = lambda _: (200, {}, b"ok")
    hooks.call()
    first, second, third = receiver.received
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.body == second.body
    assert third.headers["webhook-id"] != first.headers["webhook-id"]
    assert third.content["data"]["until"] > first.content["data"]["until"]
    assert state(alice, made)["last_status"] == 200


# When it fails


def test_pauses_grow_until_the_webhook_is_disabled_and_resumed(
    hooks: Hooks, alice: Account, receiver: Receiver
) -> None:
    made = hook(alice, receiver.url())
    receiver.reply = failing(503)
    task = alice.create_task()
    schedule = [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400]
    for pause in schedule:
        hooks.call()
        now = state(alice, made)
        assert (now["last_status"], now["last_error"], now["disabled_at"]) == (503, "Status", None)
        waits = datetime.fromisoformat(now["next_attempt_at"]) - datetime.now(UTC)
        assert 0.9 * pause - 3 < waits.total_seconds() < 1.1 * pause + 3
        hooks.let_time_pass()
    hooks.call()
    now = state(alice, made)
    assert now["disabled_at"]
    assert now["next_attempt_at"] is None
    assert len(receiver.received) == 10
    alice.create_task()
    hooks.call()
    assert len(receiver.received) == 10
    receiver.reply = lambda _: (200, {}, b"")
    resumed = alice.post(f"/v1/webhooks/{made['id']}/resume")
    assert (resumed.status_code, resumed.json["disabled_at"]) == (200, None)
    hooks.call()
    assert receiver.received[-1].content["data"]["until"] > task["version"]
    assert state(alice, made)["last_error"] is None


def test_410_disables_at_once(hooks: Hooks, alice: Account, receiver: Receiver) -> None:
    made = hook(alice, receiver.url())
    receiver.reply = failing(410)
    alice.create_task()
    hooks.call()
    assert state(alice, made)["disabled_at"]


@pytest.mark.parametrize(
    "given",
    ["120", lambda: (datetime.now(UTC) + timedelta(seconds=120)).strftime("%a, %d %b %Y %T GMT")],
)
def test_retry_after_is_honoured(
    hooks: Hooks, alice: Account, receiver: Receiver, given: Any
) -> None:
    made = hook(alice, receiver.url())
    receiver.reply = failing(429, Retry_After=given if isinstance(given, str) else given())
    alice.create_task()
    hooks.call()
    next_at = datetime.fromisoformat(state(alice, made)["next_attempt_at"])
    assert 100 < (next_at - datetime.now(UTC)).total_seconds() < 121


def test_a_redirect_is_not_followed(hooks: Hooks, alice: Account, receiver: Receiver) -> None:
    made = hook(alice, receiver.url("/first"))
    receiver.reply = failing(307, Location=receiver.url("/second"))
    alice.create_task()
    hooks.call()
    assert [each.path for each in receiver.received] == ["/first"]
    assert state(alice, made)["last_error"] == "Redirect"


def test_nothing_is_told_of_a_disabled_account(
    hooks: Hooks, alice: Account, receiver: Receiver
) -> None:
    hook(alice, receiver.url())
    alice.create_task()
    hooks.ask("update users set disabled_at = now() where id = %s", alice.user_id)
    hooks.call()
    assert receiver.received == []
    hooks.ask("update users set disabled_at = null where id = %s", alice.user_id)
    hooks.let_time_pass()
    hooks.call()
    assert len(receiver.received) == 1


def test_a_long_answer_is_read_in_part_and_counts_by_its_status(
    hooks: Hooks, alice: Account, receiver: Receiver
) -> None:
    made = hook(alice, receiver.url())
    receiver.reply = lambda _: (200, {}, b"x" * 10_000_000)
    alice.create_task()
    hooks.call()
    assert state(alice, made)["last_status"] == 200


# Tests, secrets


def test_a_test_is_sent_once_and_also_to_a_webhook_that_is_disabled(
    hooks: Hooks, alice: Account, receiver: Receiver
) -> None:
    made = hook(alice, receiver.url())
    receiver.reply = failing(410)
    alice.create_task()
    hooks.call()
    receiver.received.clear()
    assert alice.post(f"/v1/webhooks/{made['id']}/test").status_code == 202
    hooks.call()
    [message] = receiver.received
    assert (message.content["type"], message.content["data"]) == ("test", {})
    now = state(alice, made)
    assert (now["last_status"], now["last_error"]) == (410, "Status")
    assert now["disabled_at"]


def test_both_secrets_sign_for_a_day(hooks: Hooks, alice: Account, receiver: Receiver) -> None:
    made = hook(alice, receiver.url())
    rotated = alice.post(f"/v1/webhooks/{made['id']}/rotate-secret").json
    assert rotated["secret"] != made["secret"]
    assert rotated["version"] > made["version"]
    alice.create_task()
    hooks.call()
    [message] = receiver.received
    for secret in (made["secret"], rotated["secret"]):
        assert is_signed(message, secret)
        assert Webhook(secret).verify(message.body, message.headers)
    hooks.ask("update webhooks set old_secret_until = now() - interval '1 second'")
    alice.create_task()
    hooks.call()
    message = receiver.received[-1]
    assert is_signed(message, rotated["secret"])
    assert not is_signed(message, made["secret"])
    assert hooks.ask("select old_secret, old_secret_until from webhooks") == [(None, None)]


def test_a_repeated_request_makes_one_webhook_and_one_secret(alice: Account) -> None:
    headers = {"Idempotency-Key": "once"}
    body = {"url": "https://hooks.example.com/a", "events": ["changes"]}
    first, second = (alice.post("/v1/webhooks", json=body, headers=headers) for _ in range(2))
    assert first.json == second.json
    assert second.headers["Idempotency-Replayed"] == "true"
    path = f"/v1/webhooks/{first.json['id']}/rotate-secret"
    first, second = (alice.post(path, headers=headers) for _ in range(2))
    assert (first.status_code, second.status_code) == (200, 200)
    assert first.json == second.json
    assert second.headers["Idempotency-Replayed"] == "true"


def test_no_secret_is_stored_as_it_is(hooks: Hooks, alice: Account) -> None:
    made = hook(alice, "https://hooks.example.com/a", headers={"Idempotency-Key": "key"})
    [(row,)] = hooks.ask("select to_jsonb(webhooks)::text from webhooks")
    [(kept,)] = hooks.ask("select answer::text from idempotency_keys")
    assert made["secret"][6:20] not in row + kept


def test_messages_of_one_webhook_keep_their_pace(
    hooks: Hooks, alice: Account, receiver: Receiver
) -> None:
    """Whoever may enter any URL must not be able to flood it."""
    made = hook(alice, receiver.url(), "changes", "reminder")
    alice.create_task()
    hooks.call()
    hooks.ask("update webhooks set last_attempt_at = now()")
    later = "select due_at > last_attempt_at + interval '%s seconds' from webhooks"
    alice.create_task()
    assert hooks.ask(later % 0.99) == [(True,)]
    alice.post(f"/v1/webhooks/{made['id']}/test")
    assert hooks.ask(later % 0.99) == [(True,)]
    hooks.call()
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    alice.create_task(reminders=[{"at": soon}])
    hooks.call()
    hooks.ask("update webhooks set last_attempt_at = now()")
    hooks.ring(alice)
    assert hooks.ask(later % 0.09) == [(True,)]


def test_of_several_writes_of_a_transaction_the_last_is_noted(
    hooks: Hooks, alice: Account, receiver: Receiver
) -> None:
    hook(alice, receiver.url())
    bump = "update users set change_seq = change_seq + 1 where id = %s;"
    hooks.ask(f"begin; {bump * 3} commit", *[alice.user_id] * 3)
    [(noted,)] = hooks.ask(
        "select latest_version = change_seq from webhooks join users on users.id = user_id"
    )
    assert noted


@pytest.mark.parametrize(
    "given",
    [
        "1 Jan 99999999999 00:00:00 GMT",
        "1 Jan 2020 00:00:00 -999999999999999999",
        "Thu, 01 Jan 1970",
        "-1",
        "1e9",
        "9" * 60,
        "soon",
        "",
    ],
)
def test_a_retry_after_that_is_none_is_as_if_there_were_none(
    hooks: Hooks, alice: Account, receiver: Receiver, given: str
) -> None:
    made = hook(alice, receiver.url())
    receiver.reply = failing(503, Retry_After=given)
    alice.create_task()
    hooks.call()
    now = state(alice, made)
    assert now["last_status"] == 503
    waits = datetime.fromisoformat(now["next_attempt_at"]) - datetime.now(UTC)
    assert waits.total_seconds() < 86_401


@pytest.mark.parametrize("status", [500, 410])
def test_what_the_old_url_answers_does_not_count_for_the_new_one(
    hooks: Hooks, alice: Account, receiver: Receiver, status: int
) -> None:
    made = hook(alice, receiver.url("/old"))

    def reply(message: Any) -> Any:
        if message.path == "/new":
            return 204, {}, b""
        change = {"url": receiver.url("/new")}
        assert alice.patch(f"/v1/webhooks/{made['id']}", json=change).status_code == 200
        return status, {}, b""

    receiver.reply = reply
    hooks.ask("update webhooks set attempts = 9")
    alice.create_task()
    hooks.call()
    assert [each.path for each in receiver.received] == ["/old", "/new"]
    now = state(alice, made)
    assert (now["last_status"], now["disabled_at"], now["next_attempt_at"]) == (204, None, None)


def test_a_position_never_goes_back(hooks: Hooks, alice: Account, receiver: Receiver) -> None:
    made = hook(alice, receiver.url(), "reminder")
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    for _ in range(3):
        alice.create_task(reminders=[{"at": later}])
    path = f"/v1/webhooks/{made['id']}"

    def reply(_message: Any) -> Any:
        for events in (["changes"], ["reminder"]):
            assert alice.patch(path, json={"events": events}).status_code == 200
        return 204, {}, b""

    receiver.reply = reply
    hooks.ring(alice)
    hooks.call()
    assert len(receiver.received) == 1
    [(told,)] = hooks.ask("select told_reminder_at >= updated_at from webhooks")
    assert told


def test_who_is_slow_has_the_places_of_those_that_fail(
    hooks: Hooks, alice: Account, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook(alice, receiver.url())
    monkeypatch.setattr(dispatcher, "SLOW_SECONDS", 0.0)
    alice.create_task()
    hooks.call()
    assert hooks.ask("select slow, attempts from webhooks") == [(True, 0)]
    monkeypatch.setattr(dispatcher, "SLOW_SECONDS", 60.0)
    alice.create_task()
    with hooks.app.app_context():
        hooks.begin()
        [claimed] = queries.claim(0, 1)
        queries.release(claimed)
    hooks.call()
    assert hooks.ask("select slow, attempts from webhooks") == [(False, 0)]


def test_one_user_has_few_calls_at_once(hooks: Hooks, alice: Account, receiver: Receiver) -> None:
    for n in range(10):
        hook(alice, receiver.url(f"/{n}"))
    receiver.reply = lambda _: None
    alice.create_task()
    with hooks.app.app_context():
        hooks.dispatcher.turn()
        assert len(hooks.dispatcher.calls) == dispatcher.MOST_OF_USER
        receiver.free.set()
    receiver.reply = lambda _: (204, {}, b"")
    hooks.let_time_pass()
    until(lambda: hooks.call() or len(receiver.by_path()) == 10)
