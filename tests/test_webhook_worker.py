"""Webhooks called by `flask work` as processes that are killed, stopped and cut off."""

import json
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from app.api.webhooks import secrets
from app.core.secrets import Keys
from app.db.scope import Role, Scope
from app.ops.hooks import queries
from app.ops.hooks.dispatcher import FRESH
from app.ops.hooks.resealing import reseal
from tests.conftest import SECRET, settings_for
from tests.databases import opened
from tests.hooks import HERE, Hooks, hook, state
from tests.issuer import Issuer
from tests.locks import until
from tests.rig.proxy import Proxy
from tests.rig.receiver import Received, Receiver, is_signed
from tests.webhook_load import campaign

OLD_SECRET = "Zq8vT3xW1mK7pL5rN9sB2dF6gH4jC0yE"


@pytest.fixture
def hooks(own_url: str) -> Iterator[Hooks]:
    made = Hooks(own_url)
    yield made
    made.ask("delete from users")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


def hanging(*paths: str) -> Callable[[Received], Any]:
    """A receiver that hangs on these paths, and accepts on all others."""
    return lambda message: None if message.path in paths else (204, {}, b"")


# Processes


def test_a_worker_tells_what_comes_and_ends_in_order(
    hooks: Hooks, receiver: Receiver, tmp_path: Path
) -> None:
    hook(hooks.alice, receiver.url())
    with hooks.worker(tmp_path / "log") as worker:
        task = hooks.alice.create_task()
        until(lambda: receiver.received)
        assert receiver.received[0].content["data"] == {"until": task["version"]}
        until(lambda: worker.said("a webhook was called"))
        assert worker.end() == 0
    text = (tmp_path / "log").read_text()
    assert receiver.url() not in text
    assert "whsec_" not in text


def test_a_receiver_that_hangs_delays_no_other(
    hooks: Hooks, receiver: Receiver, tmp_path: Path
) -> None:
    slow = [f"/slow/{n}" for n in range(20)]
    receiver.reply = hanging(*slow)
    accounts = [hooks.user() for _ in slow]
    for account, path in zip(accounts, slow, strict=True):
        hook(account, receiver.url(path))
    healthy = hooks.user()
    hook(healthy, receiver.url("/healthy"))
    with hooks.worker(tmp_path / "log"):
        for account in accounts:
            account.create_task()
        until(lambda: {each.path for each in receiver.received} >= {*slow})
        healthy.create_task()
        until(lambda: receiver.received[-1].path == "/healthy")
        assert len(receiver.received) == len(slow) + 1  # all of them hang yet
        receiver.free.set()


def test_a_worker_killed_in_a_call_leaves_it_to_another_with_the_same_id(
    hooks: Hooks, receiver: Receiver, tmp_path: Path
) -> None:
    hook(hooks.alice, receiver.url("/hook"))
    receiver.reply = hanging("/hook")
    with hooks.worker(tmp_path / "first") as worker:
        hooks.alice.create_task()
        until(lambda: receiver.received)
        worker.end(signal.SIGKILL)
    receiver.free.set()
    receiver.reply = lambda _: (204, {}, b"")
    with hooks.worker(tmp_path / "second"):
        hooks.let_time_pass()
        until(lambda: len(receiver.received) == 2)
    first, second = receiver.received
    assert (first.body, first.headers["webhook-id"]) == (second.body, second.headers["webhook-id"])


def test_a_worker_that_ends_gives_back_what_it_is_calling(
    hooks: Hooks, receiver: Receiver, tmp_path: Path
) -> None:
    made = hook(hooks.alice, receiver.url("/hook"))
    receiver.reply = hanging("/hook")
    with hooks.worker(tmp_path / "log", SHUTDOWN_GRACE="0.2") as worker:
        hooks.alice.create_task()
        until(lambda: receiver.received)
        assert worker.end() == 0
    assert hooks.ask("select claimed_until, attempts, due_at <= now() from webhooks") == [
        (None, 0, True)
    ]
    assert state(hooks.alice, made)["last_attempt_at"] is None


def test_what_somebody_else_is_claiming_holds_nobody_up(hooks: Hooks, receiver: Receiver) -> None:
    accounts = [hooks.user() for _ in range(2)]
    webhooks = [hook(account, receiver.url()) for account in accounts]
    for account in accounts:
        account.create_task()
    keys = [(account.user_id, made["id"]) for account, made in zip(accounts, webhooks, strict=True)]
    with opened(hooks.url) as other, hooks.app.app_context():
        other.execute("begin")
        other.execute("select from webhooks where user_id = %s and id = %s for update", keys[0])
        one_by_one = [queries.claim_one(*key) for key in keys]
        again = "update webhooks set claimed_until = null where user_id = %s and id = %s"
        hooks.ask(again, *keys[1])
        at_once = [*queries.claim(10, 10)]
        other.execute("rollback")
    assert [[each.id for each in found] for found in (*one_by_one, at_once)] == [
        [],
        [webhooks[1]["id"]],
        [webhooks[1]["id"]],
    ]


def test_two_workers_tell_each_of_many_once(
    hooks: Hooks, receiver: Receiver, tmp_path: Path
) -> None:
    accounts = [hooks.user() for _ in range(50)]
    for account in accounts:
        hook(account, receiver.url(f"/{account.user_id}"))
        account.create_task()
    with ExitStack() as stack:
        workers = [stack.enter_context(hooks.worker(tmp_path / f"log{n}")) for n in range(2)]
        until(lambda: len(receiver.received) >= len(accounts))
        assert [worker.end() for worker in workers] == [0, 0]
    assert len(receiver.by_path()) == len(receiver.received) == len(accounts)
    [(total,)] = hooks.ask("select total from worker_totals where name = 'webhooks_delivered'")
    assert total >= len(accounts)


def test_a_worker_goes_on_when_its_database_is_back(
    hooks: Hooks, receiver: Receiver, tmp_path: Path
) -> None:
    hook(hooks.alice, receiver.url())
    with (
        Proxy(hooks.url) as proxy,
        ExitStack() as stack,
    ):
        through = Hooks(proxy.url)
        worker = stack.enter_context(through.worker(tmp_path / "log"))
        proxy.refuse()
        task = hooks.alice.create_task()
        until(lambda: worker.said("the worker waits for the database"))
        assert receiver.received == []
        proxy.accept()
        until(lambda: receiver.received)
        assert receiver.received[0].content["data"] == {"until": task["version"]}
        assert worker.end() == 0


def test_once_calls_what_is_due(hooks: Hooks, receiver: Receiver) -> None:
    hook(hooks.alice, receiver.url())
    hooks.alice.create_task()
    done = hooks.app.test_cli_runner().invoke(args=["work", "--once"])
    assert done.exit_code == 0, done.output
    assert len(receiver.received) == 1


# Whose rows, and which


def test_an_external_users_webhook_is_called(
    own_url: str, issuer: Issuer, receiver: Receiver, hooks: Hooks
) -> None:
    hooks.ask("update users set email = null, password_hash = null")
    hook(hooks.alice, receiver.url())
    hooks.alice.create_task()
    hooks.call()
    assert len(receiver.received) == 1


def test_an_account_without_webhooks_pays_nothing(hooks: Hooks, receiver: Receiver) -> None:
    write = "update users set change_seq = change_seq + 1 where id = %s"
    bump = f"explain (analyze, format json) {write}"
    assert "note_changes" not in fired(hooks, bump)
    made = hook(hooks.alice, receiver.url())
    assert "note_changes" in fired(hooks, bump)
    hooks.alice.delete(f"/v1/webhooks/{made['id']}")
    assert "note_changes" not in fired(hooks, bump)


def fired(hooks: Hooks, statement: str) -> set[str]:
    """The triggers that a statement fires."""
    with opened(hooks.url) as cursor:
        cursor.execute("set constraints all immediate")
        cursor.execute("begin; set constraints all immediate")
        cursor.execute(statement, (hooks.alice.user_id,))
        [(plans,)] = cursor.fetchall()
        cursor.execute("rollback")
    return {trigger["Trigger Name"] for plan in plans for trigger in plan["Triggers"]}


MANY = """
insert into webhooks (user_id, id, url, events, secret, key_id, version, created_at, updated_at,
        latest_version, latest_at, told_version, told_reminder_at)
    select %s, gen_random_uuid(), 'https://hooks.example.com/', '{changes}', '', '', 1, now(),
        now(), 1, now(), 1, now() from generate_series(1, %s)
"""


@pytest.mark.slow
def test_finding_who_has_news_costs_the_same_among_many_as_among_few(
    hooks: Hooks, receiver: Receiver
) -> None:
    """Ten have news; all others have none."""
    due = [hooks.user() for _ in range(10)]
    for account in due:
        hook(account, receiver.url())
    costs = []
    for count in (100, 200_000):
        hooks.ask(MANY, hooks.alice.user_id, count)
        hooks.ask("vacuum analyze webhooks")
        for account in due:
            account.create_task()
        hooks.begin()
        costs.append(pages(hooks))
    few, many = costs
    assert many < 2 * few + 100


def pages(hooks: Hooks) -> int:
    """The pages that a claim of ten reads or finds in the cache, at once or one by one."""
    places, found = {"fresh": FRESH, "again": 16}, []
    with opened(hooks.url) as cursor:
        prefix = Scope(Role.WORKER, presented=None).prefix(60_000)
        for statement in (queries.CLAIM, queries.DUE):
            cursor.execute("begin")
            cursor.execute(prefix)
            explain = f"explain (analyze, buffers, format json) {statement.sql}"
            cursor.execute(explain, places)
            [([explained],)] = cursor.fetchall()
            cursor.execute("rollback")
            plan = explained["Plan"]
            assert plan["Actual Rows"] == 10, json.dumps(plan)
            found.append(int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]))
    return max(found)


# A new JWT_SECRET


def test_secrets_are_sealed_anew_before_the_old_key_is_gone(
    hooks: Hooks, receiver: Receiver
) -> None:
    before = Hooks(hooks.url, JWT_SECRET=OLD_SECRET)
    made = hook(before.alice, receiver.url())
    [(old,)] = hooks.ask("select secret from webhooks")
    changing = Hooks(hooks.url, JWT_SECRETS_ACCEPTED=OLD_SECRET)
    with changing.app.app_context():
        assert reseal() == 1
        assert reseal() == 0
    [(sealed, key_id)] = hooks.ask("select secret, key_id from webhooks")
    new = Keys.derive(SECRET)
    assert (sealed != old, key_id) == (True, new.id)
    assert secrets.unseal(sealed, (new,)) == made["secret"]
    assert hooks.ask("select old_secret from webhooks") == [(None,)]
    before.alice.create_task()
    hooks.call()
    assert is_signed(receiver.received[-1], made["secret"])


def test_a_secret_whose_key_is_gone_is_an_error_of_its_webhook(
    hooks: Hooks, receiver: Receiver
) -> None:
    made = hook(hooks.alice, receiver.url())
    hooks.alice.create_task()
    without = Hooks(hooks.url, JWT_SECRET=OLD_SECRET)
    without.call()
    assert receiver.received == []
    assert state(hooks.alice, made)["last_error"] == "UnknownKey"
    rotated = hooks.alice.post(f"/v1/webhooks/{made['id']}/rotate-secret").json
    hooks.let_time_pass()
    hooks.ask("update webhooks set old_secret = 'sealed with a key that is gone'")
    hooks.call()
    assert is_signed(receiver.received[-1], rotated["secret"])


def test_reminders_that_are_past_are_purged_after_a_week(hooks: Hooks) -> None:
    later = [{"at": "2099-01-01T00:00:00Z"}]
    hooks.alice.create_task(reminders=later)
    for age, left in ((6, 1), (8, 0)):
        hooks.ask("update task_reminders set at = now() - make_interval(days => %s)", age)
        purged = hooks.app.test_cli_runner().invoke(args=["purge"])
        assert purged.exit_code == 0, purged.output
        assert hooks.ask("select count(*) from task_reminders") == [(left,)]


def test_settings_show_the_networks(own_url: str) -> None:
    assert settings_for(own_url, **HERE).masked()["WEBHOOK_ALLOW_NETWORKS"] == "127.0.0.0/8"


@pytest.mark.slow
def test_many_are_told_while_some_fail_and_some_hang() -> None:
    report = campaign(300, failing=0.05, hanging=0.02, seconds=1)
    assert report.missing == []
    assert len(report.delays) == 279
