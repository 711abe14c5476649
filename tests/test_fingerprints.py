"""A retry is known for one by the release before and by the one after, while they run together."""

import hmac
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest
from apiflask import APIFlask
from hypothesis import given
from hypothesis import strategies as st
from pydantic import create_model

from app.api.batch.schemas import Batch
from app.api.categories.schemas import CategoryCreate
from app.api.tasks.schemas import TaskCreate
from app.api.tokens.schemas import TokenCreate
from app.api.users.schemas import Credentials, RefreshRequest, Registration
from app.core import secrets
from app.core.ids import new_id
from app.web.fields.inputs import Body
from app.web.idempotency_key import fingerprinted
from tests.conftest import PASSWORD, ROOT, SECRET, Account
from tests.people import give_password

TASK, CATEGORY = "01981d2c-7f3a-7d40-8a3e-2f6b9c1d0e50", "01981d2c-7f3a-7d40-8a3e-2f6b9c1d0e51"


class Sent(NamedTuple):
    """A body, and of what the releases up to 1.0 made its fingerprint."""

    path: str
    body: dict[str, Any]
    earlier: str


SENT = [
    Sent(
        "/v1/tasks",
        {"title": " Buy milk\t"},
        '{"category_id":null,"complete":false,"description":null,"due_at":null,"due_date":null,'
        '"priority":"none","title":"Buy milk"}',
    ),
    Sent(
        "/v1/tasks",
        {
            "priority": "high",
            "title": "\u3000Cafe\u0301 \U0001f95b\u00a0",
            "description": " Cafe\u0301\n",
            "due_at": "2027-01-31T09:30:00.5+02:00",
            "complete": True,
        },
        '{"category_id":null,"complete":true,"description":" Cafe\u0301\\n",'
        '"due_at":"2027-01-31T07:30:00.500000+00:00","due_date":null,"priority":"high",'
        '"title":"Cafe\u0301 \U0001f95b"}',
    ),
    Sent(
        "/v1/tasks",
        {"title": "Buy milk", "due_date": "2027-01-31", "due_at": None},
        '{"category_id":null,"complete":false,"description":null,"due_at":null,'
        '"due_date":"2027-01-31","priority":"none","title":"Buy milk"}',
    ),
    Sent("/v1/categories", {"name": "Gro\u0308n "}, '{"color":null,"name":"Gro\u0308n"}'),
    Sent(
        "/v1/categories",
        {"name": "Home", "color": "#2E7D32"},
        '{"color":"#2e7d32","name":"Home"}',
    ),
    Sent(
        "/v1/tokens",
        {"name": "A script", "scopes": ["tasks:write", "tasks:read"]},
        '{"expires_at":null,"name":"A script","scopes":["tasks:read","tasks:write"]}',
    ),
    Sent(
        "/v1/auth/register",
        {"email": "fingerprint@example.com", "password": " p\u00e4sswo\u0308rd "},
        '{"email":"fingerprint@example.com","name":null,"password":" p\u00e4sswo\u0308rd "}',
    ),
    Sent(
        "/v1/batch",
        {
            "operations": [
                {"op": "create", "type": "category", "id": CATEGORY, "body": {"name": "H\u00e9 "}},
                {"id": TASK.upper(), "type": "task", "op": "replace", "body": {"title": "a"}},
                {"op": "delete", "type": "task", "id": TASK, "if_match": '"2"'},
            ]
        },
        f'{{"operations":[{{"body":{{"name":"H\u00e9 "}},"id":"{CATEGORY}","if_match":null,'
        f'"op":"create","type":"category"}},{{"body":{{"title":"a"}},"id":"{TASK}",'
        f'"if_match":null,"op":"replace","type":"task"}},{{"body":null,"id":"{TASK}",'
        '"if_match":"\\"2\\"","op":"delete","type":"task"}]}',
    ),
]


def fingerprint_of(text: str) -> bytes:
    """The fingerprint that the releases up to 1.0 make of this."""
    return hmac.digest(secrets.Keys.derive(SECRET).fingerprint, text.encode(), sha256)


def post(account: Account, sent: Sent, key: str, body: dict[str, Any] | None = None) -> Any:
    return account.post(sent.path, json=body or sent.body, headers={"Idempotency-Key": key})


@pytest.fixture(autouse=True)
def address_is_free(connection: Any) -> Iterator[None]:
    """Erases the account that a test has registered."""
    yield
    with connection.cursor() as cursor:
        cursor.execute("delete from users where email = 'fingerprint@example.com'")


@pytest.fixture
def kept(connection: Any) -> Callable[[str], bytes]:
    """Reads the fingerprint that is kept under a key."""

    def read(key: str) -> bytes:
        with connection.cursor() as cursor:
            cursor.execute("select fingerprint from idempotency_keys where key = %s", (key,))
            ((fingerprint,),) = cursor.fetchall()
        return bytes(fingerprint)

    return read


EACH = pytest.mark.parametrize("sent", SENT, ids=lambda sent: sent.path)


# The release before


@EACH
def test_the_release_before_knows_a_request_that_this_one_has_answered(
    alice: Account, kept: Callable[[str], bytes], sent: Sent
) -> None:
    key = new_id()
    assert post(alice, sent, key).status_code < 300
    assert kept(key) == fingerprint_of(sent.earlier)


@EACH
def test_this_release_knows_a_request_that_the_one_before_has_answered(
    alice: Account, connection: Any, sent: Sent
) -> None:
    key, answered = new_id(), new_id()
    first = post(alice, sent, answered)
    with connection.cursor() as cursor:
        cursor.execute(
            "insert into idempotency_keys (user_id, route, key, fingerprint, answer, created_at)"
            " select user_id, route, %s, %s, answer, created_at from idempotency_keys"
            " where key = %s",
            (key, fingerprint_of(sent.earlier), answered),
        )
    again = post(alice, sent, key)
    assert (again.status_code, again.headers["Idempotency-Replayed"]) == (first.status_code, "true")
    assert again.data == first.data
    other = {**sent.body, **({"title": "b"} if "title" in sent.body else {"name": "b"})}
    if sent.path not in {"/v1/batch", "/v1/auth/register"}:
        refused = post(alice, sent, key, other)
        assert refused.json["type"] == "/problems/idempotency-key-reused"


def test_a_sign_in_and_a_refresh_are_known_as_well(
    alice: Account, connection: Any, kept: Callable[[str], bytes]
) -> None:
    give_password(connection, alice)
    credentials = {"password": PASSWORD, "email": alice.email}
    key = new_id()
    pair = alice.post("/v1/auth/token", json=credentials, headers={"Idempotency-Key": key}).json
    assert kept(key) == fingerprint_of(f'{{"email":"{alice.email}","password":"{PASSWORD}"}}')
    token, key = pair["refresh_token"], new_id()
    presented = {"refresh_token": token}
    alice.post("/v1/auth/refresh", json=presented, headers={"Idempotency-Key": key})
    assert kept(key) == fingerprint_of(f'{{"refresh_token":"{token}"}}')


LINES = st.text("aE\u0301\u00e9\u212b\u3000 \t\U0001f95b", min_size=1, max_size=9).filter(str.strip)
TASKS = st.fixed_dictionaries(
    {"title": LINES},
    optional={
        "description": st.none() | st.text("aE\u0301\u00e9\u3000 \t", max_size=9),
        "complete": st.booleans(),
        "priority": st.sampled_from(["none", "low", "medium", "high"]),
    },
)


@given(TASKS)
def test_whatever_a_task_says_is_fingerprinted_as_before(body: dict[str, Any]) -> None:
    absent = {"description": None, "complete": False, "priority": "none", "due_date": None}
    absent |= {"due_at": None, "category_id": None}
    earlier = {**absent, **body, "title": body["title"].strip()}
    expected = orjson.dumps(earlier, option=orjson.OPT_SORT_KEYS)
    assert fingerprinted(TaskCreate.model_validate(body), body) == expected


# The release after

MODELS: list[tuple[type[Body], dict[str, Any]]] = [
    (TaskCreate, {"title": "Buy milk"}),
    (CategoryCreate, {"name": "Home"}),
    (TokenCreate, {"name": "A script", "scopes": ["tasks:read"]}),
    (Registration, {"email": "a@example.com", "password": PASSWORD}),
    (Credentials, {"email": "a@example.com", "password": PASSWORD}),
    (RefreshRequest, {"refresh_token": "token"}),
    (Batch, {"operations": [{"op": "delete", "type": "task", "id": TASK}]}),
]


@pytest.mark.parametrize(
    ("model", "body"), MODELS, ids=lambda value: getattr(value, "__name__", "")
)
def test_a_member_that_a_later_release_adds_counts_only_if_it_was_sent(
    model: type[Body], body: dict[str, Any]
) -> None:
    later = create_model("Later", __base__=model, estimate=(int | None, None))
    now = fingerprinted(model.model_validate(body), body)
    assert fingerprinted(later.model_validate(body), body) == now
    more = {**body, "estimate": 5}
    assert fingerprinted(later.model_validate(more), more) != now


EDITS = {
    "app/api/tasks/schemas.py": [
        (
            "    category_id: Id | None = None\n",
            "    category_id: Id | None = None\n    estimate: int | None = None\n",
        ),
        (
            '    """Return the values as the table stores them."""\n',
            '    values = {k: v for k, v in values.items() if k != "estimate"}\n',
        ),
    ]
}
"""What makes a later release of the application: tasks have one more optional member."""

SERVE = """
import json, sys
from app import create_app
from app.core.config import Settings
import os

token, key, body = json.loads(sys.stdin.read())
client = create_app(Settings.from_environment(os.environ)).test_client()
headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": key}
answer = client.post("/v1/tasks", json=body, headers=headers)
print(json.dumps([answer.status_code, answer.headers.get("Idempotency-Replayed"), answer.json]))
"""


@pytest.fixture
def later(tmp_path: Path, database_url: str) -> Callable[..., list[Any]]:
    """Creates a task with the later release: status, whether it was replayed, body."""
    for name in ("app", "migrations"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    for name, edits in EDITS.items():
        text = (tmp_path / name).read_text()
        for before, after in edits:
            assert text.count(before) == 1
            text = text.replace(before, after)
        (tmp_path / name).write_text(text)

    def create(account: Account, key: str, body: dict[str, Any]) -> list[Any]:
        environment = {
            "PATH": os.environ["PATH"],
            "APP_ENV": "test",
            "DATABASE_URL": database_url,
            "JWT_SECRET": SECRET,
            "FLASK_SKIP_DOTENV": "1",
            "LOG_LEVEL": "ERROR",
        }
        done = subprocess.run(
            [sys.executable, "-c", SERVE],
            cwd=tmp_path,
            env=environment,
            input=json.dumps([account.token, key, body]),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return create


@pytest.mark.slow
def test_a_release_that_adds_a_member_knows_the_retries_of_this_one_and_is_known_by_it(
    app: APIFlask, alice: Account, later: Callable[..., list[Any]]
) -> None:
    task = Sent("/v1/tasks", {"title": "Buy milk", "priority": "low"}, "")
    first = post(alice, task, "first-here")
    assert later(alice, "first-here", task.body) == [201, "true", first.json]
    status, replayed, made = later(alice, "first-there", task.body)
    assert (status, replayed) == (201, None)
    again = post(alice, task, "first-there")
    assert (again.status_code, again.json) == (201, made)
    assert again.headers["Idempotency-Replayed"] == "true"
    more = {**task.body, "estimate": 5}
    assert later(alice, "with-more", more)[:2] == [201, None]
    assert later(alice, "with-more", more)[:2] == [201, "true"]
    assert later(alice, "with-more", task.body)[0] == 422
