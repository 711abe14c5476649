"""The secret is changed under traffic, instance by instance, and no client notices."""

import re
import shlex
import subprocess
import time
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import quote

import jwt
import pytest
from apiflask import APIFlask
from werkzeug.test import TestResponse

from app import create_app
from app.auth.access_tokens import OWN_ISSUER, REQUIRED_CLAIMS
from app.core.ids import new_id
from app.core.secrets import Keys
from tests.conftest import PASSWORD, ROOT, Account, settings_for
from tests.databases import migrate, own_database
from tests.hooks import HERE, Hooks, hook
from tests.people import CHEAP_HASH, any_address, give_password, session, sign_in
from tests.rig.proxy import Proxy
from tests.rig.receiver import Receiver, is_signed

OLD = "kHk9GZpVw3xq1sYb7Rf2Lm8Ta4Ue6Nc0-old"
NEW = "Zt5Xo2Qj8Ei3Wd7Pv1Mg9By6Kr4Sh0Lu-new"

# What each instance is told, from the first step to the last.
BEFORE = {"JWT_SECRET": OLD}
KNOWN = {"JWT_SECRET": OLD, "JWT_SECRETS_ACCEPTED": NEW}
SIGNED = {"JWT_SECRET": NEW, "JWT_SECRETS_ACCEPTED": OLD}
AFTER = {"JWT_SECRET": NEW}

# While a step is rolled out, instances of both sides of it serve; what one gives, the other gets.
SIDE_BY_SIDE = [
    pytest.param(*(sides[::turn]), id=f"step {step}, {'forward' if turn == 1 else 'back'}")
    for step, sides in enumerate([(BEFORE, KNOWN), (KNOWN, SIGNED), (SIGNED, AFTER)], 1)
    for turn in (1, -1)
]
LATER = [pytest.param(BEFORE, SIGNED, id="what was made before, at the end")]

Serve = Callable[..., APIFlask]


class Instance(NamedTuple):
    """One of the instances, and a user who asks it."""

    application: APIFlask
    account: Account

    def as_bearer(self, token: str) -> Account:
        return self.account._replace(token=token, client=self.application.test_client())


@pytest.fixture(scope="module")
def serve(database_url: str) -> Serve:
    """Makes an instance with these settings, or finds it."""
    made: dict[tuple[str, ...], APIFlask] = {}

    def instance(settings: dict[str, str], url: str = database_url) -> APIFlask:
        key = (url, *settings.values())
        if key not in made:
            made[key] = create_app(settings_for(url, **settings))
        return made[key]

    return instance


@pytest.fixture
def one(request: pytest.FixtureRequest, serve: Serve, auth: Any, connection: Any) -> Instance:
    """The instance that makes something for a user."""
    application = serve(request.param)
    account = auth(application)
    give_password(connection, account)
    return Instance(application, account)


@pytest.fixture
def other(request: pytest.FixtureRequest, serve: Serve, one: Instance) -> Instance:
    """The instance that the same user brings it to."""
    application = serve(request.param)
    return Instance(application, one.account._replace(client=application.test_client()))


def signed_in(instance: Instance) -> Any:
    client = instance.application.test_client()
    return session(client, sign_in(client, instance.account.email))


both = pytest.mark.parametrize(("one", "other"), SIDE_BY_SIDE + LATER, indirect=True)
crossing = pytest.mark.parametrize(("one", "other"), SIDE_BY_SIDE[2:4] + LATER, indirect=True)
"""Where one signs with the old secret and the other with the new one."""


@both
def test_whoever_is_signed_in_stays_so(one: Instance, other: Instance) -> None:
    held = signed_in(one)
    assert other.as_bearer(held.access_token).get("/v1/me").status_code == 200
    taken = held._replace(client=other.application.test_client()).refreshed()
    assert taken._replace(client=one.application.test_client()).lives


@both
def test_a_personal_token_goes_on(one: Instance, other: Instance) -> None:
    token = one.account.create_token()["token"]
    assert other.as_bearer(token).get("/v1/tasks").status_code == 200


@both
def test_a_walk_goes_on_where_it_was(one: Instance, other: Instance) -> None:
    made = {one.account.create_task()["id"] for _ in range(3)}
    first = one.account.get("/v1/tasks?limit=2").json
    rest = other.account.get(f"/v1/tasks?limit=2&cursor={quote(first['next_cursor'])}")
    assert rest.status_code == 200, rest.text
    assert {task["id"] for task in first["items"] + rest.json["items"]} == made


@both
def test_a_copy_is_kept_up_from_where_it_was(one: Instance, other: Instance) -> None:
    one.account.create_task()
    read = one.account.get("/v1/changes").json
    changed = one.account.create_task()["id"]
    since = other.account.get(f"/v1/changes?since={quote(read['next_token'])}")
    assert since.status_code == 200, since.text
    assert changed in since.text


def lines(task_id: str) -> bytes:
    return f'{{"type": "task", "data": {{"id": "{task_id}", "title": "Buy milk"}}}}\n'.encode()


def requests(account: Account) -> dict[str, dict[str, Any]]:
    """A request of each kind that keeps an answer under its key."""
    credentials = {"email": account.email, "password": PASSWORD}
    email = f"{new_id()}@example.com"
    task = {"op": "create", "type": "task", "id": new_id(), "body": {"title": "Buy milk"}}
    return {
        "/v1/tasks": {"json": {"title": "Buy milk"}},
        "/v1/categories": {"json": {"name": "Home"}},
        "/v1/tokens": {"json": {"name": "A script", "scopes": ["tasks:read"]}},
        "/v1/auth/token": {"json": credentials},
        "/v1/auth/register": {"json": {"email": email, "password": PASSWORD}},
        "/v1/batch": {"json": {"operations": [task]}},
        "/v1/import": {"data": lines(new_id()), "content_type": "application/x-ndjson"},
    }


def keyed(account: Account, path: str, options: dict[str, Any]) -> TestResponse:
    headers = {"Idempotency-Key": f"key-{path}"}
    address = {"REMOTE_ADDR": any_address()}
    return account.post(path, headers=headers, environ_overrides=address, **options)


@crossing
def test_a_retry_is_known_for_one_and_answered_alike(
    one: Instance, other: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.api.users.routes.generate_password_hash", lambda _: CHEAP_HASH)
    for path, options in requests(one.account).items():
        answers = [keyed(each.account, path, options) for each in (one, other, one)]
        assert answers[0].status_code in {200, 201}, (path, answers[0].text)
        for answer in answers[1:]:
            assert answer.status_code == answers[0].status_code, (path, answer.text)
            assert answer.headers["Idempotency-Replayed"] == "true", path
            assert answer.json == answers[0].json, path


@crossing
def test_the_retry_of_a_refresh_gives_the_token_that_the_database_knows(
    one: Instance, other: Instance
) -> None:
    held = signed_in(one)
    options = {"headers": {"Idempotency-Key": "refresh"}}
    first = held.refresh(**options)
    retried = held._replace(client=other.application.test_client()).refresh(**options)
    assert (retried.status_code, retried.json) == (200, first.json)
    assert session(one.application.test_client(), retried).lives


@crossing
def test_a_key_with_another_body_is_refused_all_the_same(one: Instance, other: Instance) -> None:
    keyed(one.account, "/v1/tasks", {"json": {"title": "Buy milk"}})
    refused = keyed(other.account, "/v1/tasks", {"json": {"title": "Buy bread"}})
    assert refused.status_code == 422
    assert refused.json["type"] == "/problems/idempotency-key-reused"


def test_the_order_of_the_steps_matters(serve: Serve, auth: Any) -> None:
    account = auth(serve(SIGNED))
    unprepared = account._replace(client=serve(BEFORE).test_client())
    assert unprepared.get("/v1/me").status_code == 401


@pytest.mark.parametrize("one", [BEFORE], indirect=True)
@pytest.mark.parametrize("other", [AFTER], indirect=True)
def test_when_a_secret_is_dropped_what_it_signed_ends_and_nobody_is_signed_out(
    one: Instance, other: Instance
) -> None:
    held, token = signed_in(one), one.account.create_token()["token"]
    for _ in range(2):
        one.account.create_task()
    cursor = one.account.get("/v1/tasks?limit=1").json["next_cursor"]
    since = one.account.get("/v1/changes").json["next_token"]
    keyed(one.account, "/v1/tasks", {"json": {"title": "Buy milk"}})

    assert other.as_bearer(held.access_token).get("/v1/me").status_code == 401
    assert held._replace(client=other.application.test_client()).lives
    user = other.as_bearer(token)
    ended = user.get(f"/v1/tasks?limit=1&cursor={quote(cursor)}")
    assert (ended.status_code, ended.json["errors"][0]["parameter"]) == (422, "cursor")
    ended = user.get(f"/v1/changes?since={quote(since)}")
    assert (ended.status_code, ended.json["type"]) == (410, "/problems/changes-gone")
    assert keyed(user, "/v1/tasks", {"json": {"title": "Buy milk"}}).status_code == 422


# kid


def claims(user_id: str) -> dict[str, Any]:
    now = int(time.time())
    made = {"iss": OWN_ISSUER, "aud": OWN_ISSUER, "sub": user_id, "iat": now, "exp": now + 60}
    assert set(made) == set(REQUIRED_CLAIMS)
    return made


def test_the_secret_of_a_webhook_outlives_the_key_that_it_is_sealed_with(cluster: str) -> None:
    with own_database(cluster) as url, Receiver() as receiver:
        migrate(url)
        hooks = Hooks(url, **BEFORE)
        made = hook(hooks.alice, receiver.url())
        work(url, SIGNED)
        assert hooks.ask("select key_id, count(*) from webhooks group by 1") == [
            (Keys.derive(NEW).id, 1)
        ]
        hooks.alice.create_task()
        work(url, AFTER)
        [message] = receiver.received
        assert is_signed(message, made["secret"])


def work(url: str, secrets: dict[str, str]) -> None:
    """Do what is due, the daily purge among it, with these secrets."""
    application = create_app(settings_for(url, **HERE, **secrets))
    done = application.test_cli_runner().invoke(args=["work", "--once"])
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize("secret", [OLD, NEW])
def test_a_token_of_an_earlier_release_names_no_key_and_is_taken(
    serve: Serve, alice: Account, secret: str
) -> None:
    token = jwt.encode(claims(alice.user_id), secret, "HS256")
    account = alice._replace(token=token, client=serve(SIGNED).test_client())
    assert account.get("/v1/me").status_code == 200


@pytest.mark.parametrize(
    ("named", "secret"), [(OLD, NEW), (NEW, OLD), (NEW, f"{NEW}x"), (f"{NEW}x", f"{NEW}x")]
)
def test_a_token_is_taken_of_the_key_that_it_names_alone(
    serve: Serve, alice: Account, named: str, secret: str
) -> None:
    header = {"kid": Keys.derive(named).id}
    token = jwt.encode(claims(alice.user_id), secret, "HS256", header)
    account = alice._replace(token=token, client=serve(SIGNED).test_client())
    assert account.get("/v1/me").status_code == 401


def test_tokens_name_the_key_that_signed_them_and_give_nothing_of_it_away(
    serve: Serve, auth: Any
) -> None:
    names = {}
    for step in (BEFORE, KNOWN, SIGNED, AFTER):
        header = jwt.get_unverified_header(auth(serve(step)).token)
        names.setdefault(step["JWT_SECRET"], set()).add(header["kid"])
    assert {len(kids) for kids in names.values()} == {1}
    assert names[OLD] != names[NEW]
    for secret, kids in names.items():
        assert not any(kid in secret or secret in repr(Keys.derive(secret)) for kid in kids)


@pytest.mark.parametrize("step", [KNOWN, SIGNED])
def test_a_request_is_one_flight_while_the_secret_is_changed(
    database_url: str, auth: Any, serve: Serve, step: dict[str, str]
) -> None:
    with Proxy(database_url) as proxy:
        account = auth(create_app(settings_for(proxy.url, **step)))
        account.get("/v1/tasks")
        before = proxy.flights
        for _ in range(2):
            keyed(account, "/v1/tasks", {"json": {"title": "Buy milk"}})
        assert proxy.flights - before == 2


# The document


DOCUMENT = (ROOT / "docs" / "operations" / "rotating-keys.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", DOCUMENT, re.M | re.S)


def test_the_document_leads_through_the_steps_that_are_tried_here(database_url: str) -> None:
    make, ask = blocks("sh")
    run = subprocess.run(["bash", "-c", make], cwd=ROOT, capture_output=True, text=True, timeout=60)
    secrets = {"OLD": OLD, "NEW": run.stdout.strip()}
    assert (run.returncode, run.stderr, len(secrets["NEW"])) == (0, "", 64)
    names = {Keys.derive(secret).id: f"<{name.lower()}>" for name, secret in secrets.items()}
    printed = []
    for block, step in zip(blocks("env"), (KNOWN, SIGNED, AFTER), strict=True):
        written = dict(pair.split("=", 1) for pair in shlex.split(block))
        told = {name: secrets[value] for name, value in written.items()}
        assert told == {
            name: secrets["NEW" if value == NEW else "OLD"] for name, value in step.items()
        }
        application = create_app(settings_for(database_url, **told))
        result = application.test_cli_runner().invoke(args=shlex.split(ask)[3:])
        printed += [line for line in result.stdout.splitlines() if line.split()[1] == "keys"]
    (shown,) = blocks("text")
    said = re.sub("|".join(names), lambda found: names[found[0]], "\n".join(printed))
    assert said == shown.strip()
