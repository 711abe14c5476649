"""A database with users who have webhooks, and the dispatcher or the workers that call these."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from app.core.ids import new_id
from app.core.secrets import accepted
from app.ops.hooks.dispatcher import Dispatcher
from tests.conftest import Account, insert_user
from tests.databases import opened, user_of
from tests.outbox import Working, working

HERE = {"WEBHOOK_ALLOW_NETWORKS": "127.0.0.0/8"}


class Hooks:
    """Users of a database of their own, who may have webhooks on this host."""

    def __init__(self, url: str, **environment: str) -> None:
        self.url = url
        self.alice = user_of(url, **HERE, **environment)
        self.app: Any = self.alice.client.application
        with self.app.app_context():
            self.dispatcher = Dispatcher(self.app.config["SETTINGS"], accepted())

    def user(self) -> Account:
        """Another user of the same application."""
        user_id = new_id()
        with opened(self.url) as cursor:
            insert_user(cursor, user_id, f"{user_id}@example.com")
        token = self.app.extensions["token_verifier"].issue(user_id)
        return Account(user_id, f"{user_id}@example.com", token, self.app.test_client())

    def ask(self, question: str, *parameters: object) -> list[Any]:
        """The rows that a superuser gets."""
        with opened(self.url) as cursor:
            cursor.execute(question, parameters)
            return cursor.fetchall() if cursor.description else []

    def call(self) -> None:
        """Call all that is due, with all that follows from it, in this process."""
        due = [(True,)]
        while due == [(True,)]:
            self.begin()
            with self.app.app_context():
                while self.dispatcher.turn() or self.dispatcher.calls:
                    pass
            self.begin()
            due = self.ask("select count(*) > 0 from webhooks where due_at <= now()")

    def begin(self) -> None:
        """Let what was told a moment ago be due."""
        self.ask(
            "update webhooks set last_attempt_at = now() - interval '1 second'"
            " where last_attempt_at is not null"
        )

    def let_time_pass(self) -> None:
        """The pauses after attempts that failed, and the claims of dead workers, are over."""
        self.ask("update webhooks set claimed_until = null where claimed_until is not null")
        self.ask("update webhooks set next_attempt_at = now() where next_attempt_at is not null")
        self.begin()

    def ring(self, account: Account) -> None:
        """All reminders of the user that are to come are due now."""
        self.ask("update task_reminders set at = now() where user_id = %s", account.user_id)
        self.ask("update webhooks set updated_at = updated_at where user_id = %s", account.user_id)

    @contextmanager
    def worker(self, log: Path, **environment: str) -> Iterator[Working]:
        """A worker as a process."""
        with working(self.url, log, **HERE, **environment) as found:
            yield found


def hook(account: Account, url: str, *events: str, **options: Any) -> dict[str, Any]:
    """A new webhook of the user, with its secret."""
    body = {"url": url, "events": [*(events or ("changes",))]}
    answer = account.post("/v1/webhooks", json=body, **options)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json
    return found


def state(account: Account, webhook: dict[str, Any]) -> dict[str, Any]:
    """The webhook as it now is."""
    found: dict[str, Any] = account.get(f"/v1/webhooks/{webhook['id']}").json
    return found
