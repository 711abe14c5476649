"""What PostgreSQL logs of requests that fail: nothing of what users wrote."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from app import create_app
from app.core.ids import new_id
from app.dev.embedded import throwaway
from tests.conftest import ROOT, Account, settings_for
from tests.databases import migrate, opened
from tests.lines import category as category_line
from tests.lines import jsonl, send
from tests.locks import held
from tests.people import give_password, sign_in

SECRET_TEXT = "zirconium"
"""Stands in everything that users write here, and nowhere else."""

TALKATIVE = "-c log_min_error_statement=error -c log_error_verbosity=default"
"""PostgreSQL's own defaults."""


SECURITY = (ROOT / "docs" / "security.md").read_text()


class Logged:
    """A server of its own, a user of it, and what the server has logged."""

    def __init__(self, url: str, cursor: Any) -> None:
        self.url, self.cursor = url, cursor
        cursor.execute("show data_directory")
        self.path = Path(cursor.fetchone()[0]) / "server.log"
        application = create_app(settings_for(url, DB_STATEMENT_TIMEOUT="0.2"))
        user_id, email = new_id(), f"{SECRET_TEXT}@example.com"
        insert = "insert into users (id, email, password_hash) values (%s, %s, 'none')"
        cursor.execute(insert, (user_id, email))
        token = application.extensions["token_verifier"].issue(user_id)
        self.user = Account(user_id, email, token, application.test_client())

    @property
    def text(self) -> str:
        """All that was logged."""
        return self.path.read_text()

    def marked(self) -> None:
        """Make sure that what is logged gets here: an error that is looked for."""
        with pytest.raises(psycopg2.errors.DivisionByZero):
            self.cursor.execute("select 1 / 0")
        assert "division by zero" in self.text


@pytest.fixture(scope="module")
def quiet() -> Iterator[Logged]:
    """As the embedded server is."""
    yield from logged("")


@pytest.fixture(scope="module")
def talkative() -> Iterator[Logged]:
    """As PostgreSQL is by default."""
    yield from logged(TALKATIVE)


@pytest.fixture(scope="module")
def advised() -> Iterator[Logged]:
    """As one that logs slow statements too, but for what docs/security.md says."""
    (statements,) = re.findall(r"^```sql\n(.*?)^```", SECURITY, re.M | re.S)
    options = f"{TALKATIVE} -c log_min_duration_statement=0"
    yield from logged(options, statements.replace("database tasks", "database postgres"))


def logged(options: str, settings: str = "") -> Iterator[Logged]:
    """A server with these options, and with these statements of a superuser, one a line."""
    with throwaway(options) as url:
        with opened(url) as cursor:
            for setting in settings.splitlines():
                cursor.execute(setting)
        migrate(url)
        with opened(url) as cursor:
            yield Logged(url, cursor)


def name() -> str:
    return f"{SECRET_TEXT} {new_id()}"


def taken_by_batch(server: Logged) -> int:
    category = server.user.create_category(name=name())
    operations = [
        {"op": "create", "type": "task", "id": new_id(), "body": {"title": name()}},
        {
            "op": "create",
            "type": "category",
            "id": new_id(),
            "body": {"name": category["name"].upper()},
        },
    ]
    return server.user.post("/v1/batch", json={"operations": operations}).status_code


def two_due_times_by_batch(server: Logged) -> int:
    task = server.user.create_task(title=name(), due_date="2027-01-31")
    body = {"title": name(), "due_at": "2027-01-31T09:30:00Z"}
    step = {"op": "update", "type": "task", "id": task["id"], "body": body}
    return server.user.post("/v1/batch", json={"operations": [step]}).status_code


def taken(server: Logged) -> int:
    category = server.user.create_category(name=name())
    return server.user.post("/v1/categories", json={"name": category["name"]}).status_code


def taken_by_put(server: Logged) -> int:
    category = server.user.create_category(name=name())
    path = f"/v1/categories/{new_id()}"
    return server.user.put(path, json={"name": category["name"]}).status_code


def taken_by_patch(server: Logged) -> int:
    one, other = (server.user.create_category(name=name()) for _ in range(2))
    path = f"/v1/categories/{one['id']}"
    return server.user.patch(path, json={"name": other["name"]}).status_code


def taken_by_restoring(server: Logged) -> int:
    category = server.user.create_category(name=name())
    assert server.user.delete(f"/v1/categories/{category['id']}").status_code == 204
    server.user.create_category(name=category["name"])
    return server.user.post(f"/v1/categories/{category['id']}/restore").status_code


def taken_by_import(server: Logged) -> int:
    existing = server.user.create_category(name=name())
    answer = send(server.user, jsonl([category_line(name=existing["name"])]))
    assert answer.json["refused"] == 1
    return answer.status_code


def two_due_times(server: Logged) -> int:
    task = server.user.create_task(title=name(), due_date="2027-01-31")
    body = {"title": name(), "due_at": "2027-01-31T09:30:00Z"}
    return server.user.patch(f"/v1/tasks/{task['id']}", json=body).status_code


def expired_token(server: Logged) -> int:
    body = {"name": name(), "scopes": ["tasks:read"], "expires_at": "2020-01-01T00:00:00Z"}
    return server.user.post("/v1/tokens", json=body).status_code


def revoked_token(server: Logged) -> int:
    token = server.user.create_token(name=name())
    holder = server.user._replace(token=token["token"])
    holder.create_task(title=name())
    assert server.user.delete(f"/v1/tokens/{token['id']}").status_code == 204
    return holder.post("/v1/tasks", json={"title": name()}).status_code


def ended_session(server: Logged) -> int:
    give_password(server.cursor.connection, server.user)
    signed_in = sign_in(server.user.client, server.user.email).json
    holder = server.user._replace(token=signed_in["access_token"])
    assert holder.delete("/v1/sessions").status_code == 204
    holder.create_task(title=name())
    assert server.user.delete("/v1/sessions").status_code == 204
    return holder.post("/v1/tasks", json={"title": name()}).status_code


def taken_address(server: Logged) -> int:
    body = {"email": server.user.email, "password": name()}
    return server.user.client.post("/v1/auth/register", json=body).status_code


def too_slow(server: Logged) -> int:
    with held(server.cursor.connection, server.user.user_id):
        return server.user.post("/v1/tasks", json={"title": name()}).status_code


def too_slow_batch(server: Logged) -> int:
    step = {"op": "create", "type": "task", "id": new_id(), "body": {"title": name()}}
    with held(server.cursor.connection, server.user.user_id):
        return server.user.post("/v1/batch", json={"operations": [step]}).status_code


Failing = Callable[[Logged], int]

FAILING: list[tuple[Failing, int]] = [
    (taken, 409),
    (taken_by_put, 409),
    (taken_by_patch, 409),
    (taken_by_restoring, 409),
    (taken_by_import, 200),
    (two_due_times, 422),
    (expired_token, 422),
    (revoked_token, 401),
    (ended_session, 401),
    (taken_address, 409),
    (too_slow, 503),
    (too_slow_batch, 503),
]
BATCHES: list[tuple[Failing, int]] = [(taken_by_batch, 409), (two_due_times_by_batch, 422)]


@pytest.mark.parametrize(("fail", "status"), [*FAILING, *BATCHES])
def test_a_request_that_fails_leaves_nothing_of_the_user_in_the_log_of_our_server(
    quiet: Logged, fail: Failing, status: int
) -> None:
    assert fail(quiet) == status
    quiet.marked()
    assert SECRET_TEXT not in quiet.text


@pytest.mark.parametrize(("fail", "status"), BATCHES)
def test_a_batch_that_fails_is_no_error_to_any_server(
    talkative: Logged, fail: Failing, status: int
) -> None:
    assert fail(talkative) == status
    talkative.marked()
    assert SECRET_TEXT not in talkative.text


@pytest.mark.parametrize(("fail", "status"), FAILING)
def test_the_setting_that_operators_are_told_of_keeps_it_out_of_any_log(
    advised: Logged, fail: Failing, status: int
) -> None:
    assert fail(advised) == status
    advised.marked()
    assert SECRET_TEXT not in advised.text
