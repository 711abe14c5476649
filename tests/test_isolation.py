"""One user's rows are out of another's reach, even if a query forgets whose they are."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import psycopg2
import pytest
from apiflask import APIFlask
from psycopg2.errors import FeatureNotSupported, InsufficientPrivilege
from sqlalchemy import make_url
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from app import create_app
from app.api.kinds import KINDS
from app.api.users.queries import FIND_OWN_LOGIN
from app.auth.mail_kinds import MailKind
from app.auth.mail_tokens import MailToken
from app.auth.policies import EMPTY
from app.auth.refresh_tokens import RefreshToken
from app.core.ids import new_id
from app.core.secrets import Keys
from app.db.base import db
from app.db.scope import Role
from app.ops.doctor.rights import owned_tables
from app.rows.kind import Kind
from tests.assertions import refused
from tests.conftest import PASSWORD, SECRET, Account, sending, settings_for
from tests.contract import LINES
from tests.hooks import hook
from tests.moved import move_in
from tests.people import give_password, sign_in
from tests.roles import act_as
from tests.walking import ids, page, walk

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z")
RANDOM = re.compile(
    r'(?<=tasks_pat_)\w+|(?<=whsec_)[\w+/=]+|(?<="last_four":")\w+|(?<="position":")\w+'
)
FIGURE = re.compile(r'"(\w+_ms|open|in_use)":[\d.]+')

OWNED = {table: "id" if table == "users" else "user_id" for table in owned_tables()}

# A condition on the owner, as SQLAlchemy writes it; with `true` in its place a query forgets him.
OWNERSHIP = (
    r"\b(?!app\.)\w+\.(?:user_id|id) = "
    r"(?:%\(user_id\)s|op\.user_id|'{}'(?:::uuid)?)(?:::UUID)?"
)
IDENTITY = re.compile("app.user_id = '(.*?)'")


def link_of(user_id: str, kind: MailKind) -> str:
    """A token that nobody was sent, of a link of this user."""
    return str(MailToken.derive(user_id, kind, bytes(32), Keys.derive(SECRET)))


BODIES: dict[tuple[str, str], Callable[[str], dict[str, Any] | str]] = {
    ("POST", "/v1/auth/register"): lambda it: {"email": f"{it}@example.org", "password": PASSWORD},
    ("POST", "/v1/auth/token"): lambda it: {"email": f"{it}@example.com", "password": it},
    ("POST", "/v1/auth/refresh"): lambda it: {"refresh_token": str(RefreshToken(it, bytes(32)))},
    ("POST", "/v1/auth/logout"): lambda it: {"refresh_token": str(RefreshToken(it, bytes(32)))},
    ("POST", "/v1/me/password"): lambda it: {"current_password": it, "new_password": it},
    ("POST", "/v1/auth/password-reset"): lambda it: {"email": f"{it}@example.com"},
    ("POST", "/v1/auth/password-reset/confirm"): lambda it: {
        "token": link_of(it, MailKind.PASSWORD_RESET),
        "new_password": "staple battery horse correct",
    },
    ("POST", "/v1/auth/email-verification/confirm"): lambda it: {
        "token": link_of(it, MailKind.EMAIL_VERIFICATION)
    },
    ("POST", "/v1/me/email-verification"): lambda it: {},
    ("POST", "/v1/me/email"): lambda it: {
        "email": f"{it}@example.org",
        "current_password": PASSWORD,
    },
    ("PATCH", "/v1/me"): lambda it: {"name": it, "time_zone": "Europe/Oslo"},
    ("POST", "/v1/batch"): lambda it: {
        "operations": [
            {"op": "create", "type": "task", "id": it, "body": {"title": "Buy milk"}},
            {"op": "update", "type": "task", "id": it, "body": {"category_id": it}},
            {"op": "update", "type": "task", "id": it, "body": {"label_ids": [it]}},
            {"op": "update", "type": "task", "id": it, "body": {"parent_id": it}},
            {"op": "move", "type": "task", "id": it, "body": {"before": it}},
        ]
    },
    ("POST", "/v1/tasks/<id:task_id>/move"): lambda it: {"after": it},
    ("POST", "/v1/tasks/<id:task_id>/complete"): lambda it: {"subtasks": "complete"},
    ("POST", "/v1/tasks/<id:task_id>/skip"): lambda it: {"missed": "keep"},
    ("POST", "/v1/tasks/<id:task_id>/snooze"): lambda _: {"until": "2099-01-01T00:00:00Z"},
    ("POST", "/v1/tokens"): lambda it: {"name": it, "scopes": ["account"]},
    ("POST", "/v1/webhooks"): lambda it: {
        "url": f"https://hooks.example.com/{it}",
        "events": ["changes"],
    },
    ("PATCH", "/v1/webhooks/<id:webhook_id>"): lambda it: {"description": it},
    ("POST", "/v1/import"): lambda it: "\n".join(
        json.dumps({"type": kind, "data": {"id": name, **values}})
        for name, kind, values in (
            (it, "category", {"name": it}),
            (it, "task", {"title": it}),
            (new_id(), "task", {"title": it, "category_id": it}),
            (it, "task", {"title": it, "category_id": new_id()}),
            (it, "label", {"name": it}),
            (new_id(), "task", {"title": it, "label_ids": [it]}),
            (new_id(), "task", {"title": it, "parent_id": it}),
        )
    ),
}
"""A body for every route that takes one, with an id wherever it has a place for one."""


def rows_bodies(kind: Kind) -> dict[tuple[str, str], Callable[[str], dict[str, Any]]]:
    """Those of the routes of a kind of row: its example, with the id as text and as reference."""
    example = kind.replace.model_config["json_schema_extra"]["examples"][0]
    fields = kind.replace.model_fields
    texts = [name for name in kind.writes.texts if name in fields and fields[name].is_required()]

    def body(it: str) -> dict[str, Any]:
        references = {n: [it] if n.endswith("ids") else it for n in kind.references}
        return {**example, **dict.fromkeys(texts, it), **references}

    one = f"/v1/{kind.plural}/<id:{kind.name}_id>"
    return dict.fromkeys([("POST", f"/v1/{kind.plural}"), ("PUT", one), ("PATCH", one)], body)


for each in KINDS.values():
    BODIES |= rows_bodies(each)


NAMED = [
    "task_id",
    "category_id",
    "label_id",
    "trashed_id",
    "token_id",
    "webhook_id",
    "session_id",
    "user_id",
]


class Owner(NamedTuple):
    """A user with something of everything, and the ids of it."""

    account: Account
    task_id: str
    category_id: str
    label_id: str
    trashed_id: str
    token_id: str
    webhook_id: str
    session_id: str
    refresh_token: str
    cursor: str

    @property
    def user_id(self) -> str:
        return self.account.user_id


class Intruder(NamedTuple):
    """A user with one task, category, label, task in the trash, token, webhook and session."""

    account: Account
    task_id: str
    category_id: str
    label_id: str
    trashed_id: str
    token_id: str
    webhook_id: str
    session_id: str


class Attempt(NamedTuple):
    """A request that names an id."""

    method: str
    path: str
    options: dict[str, Any]


@pytest.fixture
def owner(alice: Account, connection: Any) -> Owner:
    give_password(connection, alice)
    credentials = {"email": alice.email, "password": PASSWORD}
    tokens = alice.post("/v1/auth/token", json=credentials).json
    category_id = alice.create_category(name="Home")["id"]
    label_id = alice.create_label(name="Urgent")["id"]
    reminders = {"reminders": [{"at": "2099-01-01T00:00:00Z"}]}
    task = {"title": "Buy milk", "category_id": category_id, "label_ids": [label_id], **reminders}
    made = alice.post("/v1/tasks", json=task, headers={"Idempotency-Key": "once"}).json
    deleted = alice.create_task()["id"]
    alice.create_task(parent_id=made["id"])
    assert alice.delete(f"/v1/tasks/{deleted}").status_code == 204
    cursor = page(alice, "/v1/tasks", limit=1)["next_cursor"]
    token_id, session_id = alice.create_token()["id"], session_of(alice)
    refresh = tokens["refresh_token"]
    webhook_id = hook(alice, "https://hooks.example.com/")["id"]
    move_in(alice)
    rows = (made["id"], category_id, label_id, deleted, token_id, webhook_id, session_id)
    return Owner(alice, *rows, refresh, cursor)


def session_of(account: Account) -> str:
    """The id of the account's only session."""
    [session] = account.get("/v1/sessions").json["items"]
    return str(session["id"])


@pytest.fixture
def intruder(auth: Callable[..., Account], connection: Any) -> Callable[[APIFlask], Intruder]:
    """Makes users who call the application; each is as new as the other."""

    def make(application: APIFlask) -> Intruder:
        account, category_id, label_id = auth(application), new_id(), new_id()
        trashed_id, task_id = new_id(), new_id()
        operations = [
            {"op": "create", "type": "category", "id": category_id, "body": {"name": "Work"}},
            {"op": "create", "type": "label", "id": label_id, "body": {"name": "Soon"}},
            {"op": "create", "type": "task", "id": trashed_id, "body": {"title": "Buy milk"}},
            {"op": "delete", "type": "task", "id": trashed_id},
            {"op": "create", "type": "task", "id": task_id, "body": {"title": "Buy milk"}},
        ]
        assert account.post("/v1/batch", json={"operations": operations}).status_code == 200
        token_id = account.create_token()["id"]
        give_password(connection, account)
        signed_in = sign_in(account.client, account.email, address="192.0.2.9")
        assert signed_in.status_code == 200
        webhook_id = hook(account, "https://hooks.example.com/")["id"]
        rows = (task_id, category_id, label_id, trashed_id, token_id, webhook_id)
        return Intruder(account, *rows, session_of(account))

    return make


@pytest.fixture
def intact(database_url: str) -> APIFlask:
    """The application as it is; failed sign-ins here do not count elsewhere."""
    return create_app(settings_for(database_url))


class Sent(NamedTuple):
    """A statement as it was sent, and how many conditions on the owner were taken out of it."""

    sql: str
    forgotten: int


@pytest.fixture
def sent() -> list[Sent]:
    return []


@pytest.fixture
def careless(database_url: str, sent: list[Sent]) -> Iterator[APIFlask]:
    """The application with the owner forgotten in every query, but not in the scope."""
    application = create_app(settings_for(database_url))
    owner = ""

    def forget(sql: str) -> str:
        nonlocal owner  # what follows in a transaction does not name it again
        owner = found[1] if (found := IDENTITY.search(sql)) else owner
        if FIND_OWN_LOGIN.sql in sql:
            # Signing in sees every login, by its policy: which one comes first would be chance, and
            # with it whether the password fits.
            sent.append(Sent(sql, 0))
            return sql
        careless, count = re.subn(OWNERSHIP.format(owner), "true", sql)
        sent.append(Sent(careless, count))
        return careless

    with sending(application, forget):
        yield application


def rows_of(connection: Any, account: Account) -> list[Any]:
    """All rows of the account, as a superuser sees them."""
    rows = []
    with connection.cursor() as cursor:
        for table, column in OWNED.items():
            sql = f"select to_jsonb(t)::text from {table} t where {column} = %s order by 1"
            cursor.execute(sql, (account.user_id,))
            rows += cursor.fetchall()
    return rows


def routes(application: APIFlask, prefix: str) -> Iterator[tuple[str, Rule]]:
    """Every method of every route below the prefix."""
    for rule in application.url_map.iter_rules():
        if rule.rule.startswith(prefix):
            yield from ((method, rule) for method in sorted(rule.methods or ()))


def attempts(method: str, rule: Rule, intruder: Intruder, it: str) -> Iterator[Attempt]:
    """Every way to name the id to a route: in the path, in the body, in the query."""
    own = {**intruder._asdict(), "item_id": intruder.trashed_id, "user_id": "x"}

    def named(ids: Mapping[str, str]) -> str:
        return re.sub(r"<(?:\w+:)?(\w+)>", lambda place: ids.get(place[1], "x"), rule.rule)

    theirs, mine = named(dict.fromkeys(rule.arguments, it)), named(own)
    takes_one = method in {"POST", "PUT", "PATCH"} and not rule.rule.endswith(
        ("/restore", "/labels/<id:label_id>", "/test", "/rotate-secret", "/resume")
    )
    body = BODIES[method, rule.rule] if takes_one else None
    if len(rule.arguments) > 1:
        for argument in rule.arguments:
            yield Attempt(method, named({**own, argument: it}), {})
    if rule.arguments:
        unnamed = options(body(intruder.category_id)) if body else {}
        yield Attempt(method, theirs, unnamed)
        yield Attempt(method, theirs, {**unnamed, "headers": {"If-Match": "*"}})
    if body:
        yield Attempt(method, mine, options(body(it)))
    else:
        for name in ("category_id", "label_id", "parent_id", "q", "cursor", "user_id"):
            yield Attempt(method, f"{mine}?{name}={it}", {})


def options(body: dict[str, Any] | str) -> dict[str, Any]:
    """How a body is sent."""
    return {"data": body, "content_type": LINES} if isinstance(body, str) else {"json": body}


def told(response: TestResponse, intruder: Intruder, it: str) -> tuple[Any, ...]:
    """All that an answer says, but for ids, times and figures that are never the same."""

    def same(text: str) -> str:
        for value, name in ((it, "<it>"), (intruder.account.user_id, "<me>")):
            text = text.replace(value, name)
        text = RANDOM.sub("<random>", text)
        return FIGURE.sub("<figure>", TIME.sub("<time>", UUID.sub("<id>", text)))

    headers = {name: same(value) for name, value in response.headers if name != "X-Request-ID"}
    # Not every instant is written with its fraction of a second.
    headers.pop("Content-Length", None)
    return response.status_code, same(response.text), headers


def call(intruder: Intruder, attempt: Attempt) -> TestResponse:
    """Send it from an address of its own, as failed sign-ins are counted by address."""
    overrides = {"REMOTE_ADDR": intruder.account.user_id}
    method, path, options = attempt
    return intruder.account.call(method, path, environ_overrides=overrides, **options)


def compare(
    first: APIFlask,
    second: APIFlask,
    intruder: Callable[[APIFlask], Intruder],
    theirs: str,
    random: str,
    prefix: str = "/",
) -> None:
    """Name an id to every route of one application and a random one to every route of the other,
    each write as a new user, and see that nothing tells the two apart.
    """
    readers = intruder(first), intruder(second)
    for method, rule in routes(first, prefix):
        writes = method in {"POST", "PUT", "PATCH", "DELETE"}
        left, right = (intruder(first), intruder(second)) if writes else readers
        pairs = zip(
            attempts(method, rule, left, theirs),
            attempts(method, rule, right, random),
            strict=True,
        )
        for attempt, harmless in pairs:
            answer = told(call(left, attempt), left, theirs)
            assert answer == told(call(right, harmless), right, random), (attempt, harmless)


@pytest.mark.parametrize("kind", NAMED)
def test_a_strangers_id_is_indistinguishable_from_a_random_one_on_every_route(
    intact: APIFlask,
    owner: Owner,
    intruder: Callable[[APIFlask], Intruder],
    connection: Any,
    kind: str,
) -> None:
    before = rows_of(connection, owner.account)
    compare(intact, intact, intruder, getattr(owner, kind), new_id())
    assert rows_of(connection, owner.account) == before


@pytest.mark.parametrize("kind", NAMED)
def test_a_query_that_forgets_the_owner_gives_and_changes_nothing_of_his(
    intact: APIFlask,
    careless: APIFlask,
    sent: list[Sent],
    owner: Owner,
    intruder: Callable[[APIFlask], Intruder],
    connection: Any,
    kind: str,
) -> None:
    before = rows_of(connection, owner.account)
    compare(careless, intact, intruder, getattr(owner, kind), new_id(), prefix="/v1/")
    assert rows_of(connection, owner.account) == before
    for statement in sent:
        nobodys = statement.sql.startswith((f"set local role {Role.AUTH};", "commit", "rollback"))
        assert statement.forgotten or nobodys or statement.sql.endswith(f"; {EMPTY.sql}")
    assert len({statement.sql.split("; ")[-1] for statement in sent if statement.forgotten}) > 15


@pytest.mark.parametrize("application", ["intact", "careless"])
def test_listings_hold_ones_own_and_a_strangers_cursor_leads_nowhere(
    request: pytest.FixtureRequest,
    owner: Owner,
    intruder: Callable[[APIFlask], Intruder],
    application: str,
) -> None:
    it = intruder(request.getfixturevalue(application))
    account = it.account
    more = account.create_task()["id"]
    assert ids(walk(account, limit=1)) == [more, it.task_id]
    assert ids(walk(account, "/v1/categories", limit=1)) == [it.category_id]
    assert ids(walk(account, "/v1/labels", limit=1)) == [it.label_id]
    assert [item["data"]["id"] for item in walk(account, "/v1/trash")] == [it.trashed_id]
    assert walk(account, category_id=owner.category_id) == []
    assert walk(account, label_id=owner.label_id) == []
    assert walk(account, parent_id=owner.task_id) == []
    response = account.get(f"/v1/tasks?limit=1&cursor={owner.cursor}")
    assert refused(response, "cursor", parameter="cursor")


@pytest.mark.parametrize("application", ["intact", "careless"])
def test_a_strangers_idempotency_key_is_an_unused_one(
    request: pytest.FixtureRequest,
    owner: Owner,
    intruder: Callable[[APIFlask], Intruder],
    application: str,
) -> None:
    account = intruder(request.getfixturevalue(application)).account
    for title in ("Buy milk", "Buy milk"):
        response = account.post(
            "/v1/tasks", json={"title": title}, headers={"Idempotency-Key": "once"}
        )
        assert (response.status_code, response.json["user_id"]) == (201, account.user_id)
    assert response.headers["Idempotency-Replayed"] == "true"


@pytest.mark.parametrize("route", ["refresh", "logout"])
@pytest.mark.parametrize("application", ["intact", "careless"])
def test_a_stolen_secret_in_a_token_of_ones_own_ends_and_renews_nothing(
    request: pytest.FixtureRequest,
    owner: Owner,
    intruder: Callable[[APIFlask], Intruder],
    connection: Any,
    application: str,
    route: str,
) -> None:
    account = intruder(request.getfixturevalue(application)).account
    stolen = RefreshToken.parse(owner.refresh_token)
    assert stolen is not None
    before = rows_of(connection, owner.account)
    forged = str(RefreshToken(account.user_id, stolen.secret))
    response = account.post(f"/v1/auth/{route}", json={"refresh_token": forged})
    assert response.status_code == (401 if route == "refresh" else 204)
    assert rows_of(connection, owner.account) == before


# The roles themselves


@pytest.fixture
def as_role(connection: Any) -> Iterator[Callable[..., list[Any]]]:
    """Runs a query as one of the roles, for a user or for none."""
    with connection.cursor() as cursor:

        def run(role: Role, sql: str, user_id: str = "") -> list[Any]:
            cursor.execute("begin")
            try:
                act_as(cursor, role, user_id)
                cursor.execute(sql)
                found: list[Any] = cursor.fetchall()
                cursor.execute("commit")
                return found
            finally:
                cursor.execute("rollback")

        yield run


def test_a_user_without_an_id_has_no_rows(owner: Owner, as_role: Callable[..., list[Any]]) -> None:
    of_tasks = ("task_labels", "task_reminders")
    others = ("idempotency_keys", "webhooks", "moved_tasks")
    for table in ("users", "categories", "labels", "tasks", *of_tasks, *others):
        sql = f"select count(*) from {table}"
        assert as_role(Role.APP, sql) == [(0,)]
        assert as_role(Role.APP, sql, new_id()) == [(0,)]
        assert as_role(Role.APP, sql, owner.user_id)[0][0] > 0


@pytest.mark.parametrize(
    ("role", "sql"),
    [
        (Role.APP, "select token_hash from refresh_tokens"),
        (Role.APP, "update refresh_tokens set spent_at = null returning family_id"),
        (Role.APP, "update users set disabled_at = null returning id"),
        (Role.AUTH, "update users set disabled_at = null returning id"),
        (Role.APP, "select password_hash from users"),
        (Role.APP, "delete from tasks returning id"),
        (Role.APP, "delete from categories returning id"),
        (Role.APP, "delete from labels returning id"),
        (Role.APP, "update task_labels set task_id = task_id returning task_id"),
        (Role.APP, "update users set email = 'x@example.com' returning id"),
        (Role.APP, "insert into users (id, email) values (gen_random_uuid(), 'x') returning id"),
        (Role.APP, "update task_reminders set at = at returning at"),
        (Role.AUTH, "select * from task_reminders"),
        (Role.MAINTENANCE, "insert into task_reminders select * from task_reminders returning at"),
        (Role.WORKER, "delete from task_reminders returning at"),
        (Role.APP, "select secret from webhooks"),
        (Role.APP, "select old_secret from webhooks"),
        (Role.APP, "update webhooks set told_version = 0 returning id"),
        (Role.AUTH, "select id from webhooks"),
        (Role.MAINTENANCE, "select id from webhooks"),
        (Role.WORKER, "delete from webhooks returning id"),
        (Role.WORKER, "update webhooks set url = 'https://example.com/' returning id"),
        (Role.WORKER, "select title from tasks"),
        (Role.WORKER, "select password_hash from users"),
        (Role.APP, "insert into sign_in_addresses values ('x', gen_random_uuid()) returning 1"),
        (Role.APP, "update sign_in_addresses set user_id = user_id returning 1"),
        (Role.AUTH, "delete from sign_in_addresses returning 1"),
        (Role.LINKS, "update sign_in_addresses set user_id = user_id returning 1"),
        (Role.WORKER, "delete from sign_in_addresses returning 1"),
        (Role.MAINTENANCE, "select * from sign_in_addresses"),
        (Role.APP, "select * from find_login('x')"),
        (Role.APP, "delete from moved_tasks returning task_id"),
        (Role.AUTH, "select * from moved_tasks"),
        (Role.AUTH, "select * from tasks"),
        (Role.AUTH, "select * from categories"),
        (Role.AUTH, "select * from labels"),
        (Role.AUTH, "select * from task_labels"),
        (Role.MAINTENANCE, "select * from task_labels"),
        (Role.AUTH, "update users set email = 'x@example.com' returning id"),
        (Role.AUTH, "delete from users returning id"),
        (Role.MAINTENANCE, "select password_hash from users"),
        (Role.MAINTENANCE, "update tasks set title = 'x' returning id"),
        (Role.MAINTENANCE, "insert into tasks (id) values (gen_random_uuid()) returning id"),
    ],
)
def test_a_role_may_not_do_what_its_requests_need_not(
    owner: Owner, as_role: Callable[..., list[Any]], role: Role, sql: str
) -> None:
    with pytest.raises(InsufficientPrivilege):
        as_role(role, sql, owner.user_id)


def test_no_user_writes_a_row_for_another(
    owner: Owner, bob: Account, as_role: Callable[..., list[Any]]
) -> None:
    values = f"'{owner.user_id}', gen_random_uuid(), 'Home', 1, now(), now()"
    columns = "user_id, id, name, version, created_at, updated_at"
    with pytest.raises(InsufficientPrivilege, match="row-level security"):
        as_role(
            Role.APP,
            f"insert into categories ({columns}) values ({values}) returning id",
            bob.user_id,
        )
    given_away = f"update tasks set user_id = '{owner.user_id}' returning id"
    bob.create_task()
    refused = "row-level security|modifying the partition value"  # the latter on a cluster
    with pytest.raises((InsufficientPrivilege, FeatureNotSupported), match=refused):
        as_role(Role.APP, given_away, bob.user_id)


def test_a_user_sees_and_frees_their_own_address_alone(
    owner: Owner, bob: Account, as_role: Callable[..., list[Any]]
) -> None:
    for role in (Role.APP, Role.LINKS):
        for sql in ("select user_id::text from", "delete from"):
            end = f" where user_id <> '{bob.user_id}'"
            end += " returning user_id::text" if sql == "delete from" else ""
            assert as_role(role, f"{sql} sign_in_addresses{end}", bob.user_id) == []
            assert as_role(role, f"{sql} sign_in_addresses{end}") == []
    seen = as_role(Role.APP, "select user_id::text from sign_in_addresses", bob.user_id)
    assert seen == [(bob.user_id,)]


@pytest.mark.parametrize("role", [Role.AUTH, Role.LINKS])
def test_nobody_takes_an_address_for_another(
    owner: Owner, bob: Account, as_role: Callable[..., list[Any]], role: Role
) -> None:
    taken = f"insert into sign_in_addresses values ('{new_id()}', '{owner.user_id}') returning 1"
    with pytest.raises(InsufficientPrivilege, match="row-level security"):
        as_role(role, taken, bob.user_id)


def test_sign_in_sees_the_refresh_tokens_of_its_user_alone(
    owner: Owner, bob: Account, as_role: Callable[..., list[Any]]
) -> None:
    sql = "select distinct user_id::text from refresh_tokens"
    assert as_role(Role.AUTH, sql) == as_role(Role.AUTH, sql, bob.user_id) == []
    assert as_role(Role.AUTH, sql, owner.user_id) == [(owner.user_id,)]


def test_sign_in_writes_the_password_of_its_user_alone(
    owner: Owner, bob: Account, as_role: Callable[..., list[Any]]
) -> None:
    sql = "update users set password_hash = password_hash returning id::text"
    assert as_role(Role.AUTH, sql) == []
    assert as_role(Role.AUTH, sql, bob.user_id) == [(bob.user_id,)]
    others = f"{sql.partition(' returning')[0]} where id = '{owner.user_id}' returning id"
    assert as_role(Role.AUTH, others, bob.user_id) == []


def test_a_request_sees_and_ends_the_sessions_of_its_user_alone(
    owner: Owner, bob: Account, as_role: Callable[..., list[Any]]
) -> None:
    seen = "select family_id::text from refresh_tokens"
    ended = "delete from refresh_tokens returning family_id::text"
    for sql in (seen, ended):
        assert as_role(Role.APP, sql) == as_role(Role.APP, sql, bob.user_id) == []
    assert as_role(Role.APP, seen, owner.user_id) == [(owner.session_id,)]
    assert as_role(Role.APP, ended, owner.user_id) == [(owner.session_id,)]


def test_maintenance_sees_tombstones_alone(owner: Owner, as_role: Callable[..., list[Any]]) -> None:
    for table in ("tasks", "categories"):
        sql = f"select count(*) from {table} where deleted_at is null"
        assert as_role(Role.MAINTENANCE, sql, owner.user_id) == [(0,)]
    tombstones = f"select id::text from tasks where user_id = '{owner.user_id}'"
    found = as_role(Role.MAINTENANCE, tombstones)
    assert len(found) == 1
    assert owner.account.get(f"/v1/tasks/{found[0][0]}").status_code == 404


def test_maintenance_cannot_read_what_requests_were_answered(
    owner: Owner, as_role: Callable[..., list[Any]]
) -> None:
    keyed = {"Idempotency-Key": "kept"}
    owner.account.post("/v1/tasks", json={"title": "Secret"}, headers=keyed)
    keys = "select key from idempotency_keys where key = 'kept' and user_id = "
    assert as_role(Role.MAINTENANCE, f"{keys}'{owner.user_id}'") == [("kept",)]
    with pytest.raises(InsufficientPrivilege):
        as_role(Role.MAINTENANCE, "select answer from idempotency_keys")


def test_every_table_with_an_owner_enforces_its_policies_even_on_its_owner(connection: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "select relname, relrowsecurity and relforcerowsecurity from pg_class c where"
            " relkind = 'r' and (relname = 'users' or exists (select from pg_attribute"
            " where attrelid = c.oid and attname = 'user_id' and not attisdropped))"
            " and relnamespace = 'public'::regnamespace"
        )
        assert dict(cursor.fetchall()) == dict.fromkeys(OWNED, True)


@pytest.fixture
def member(database_url: str, connection: Any) -> Iterator[str]:
    """The URL of a login role that is a member of the three roles and nothing else."""
    name = f"service_{new_id()[-12:]}"
    with connection.cursor() as cursor:
        cursor.execute(f"create role {name} login password 'of a test' in role {', '.join(Role)}")
        yield (
            make_url(database_url)
            .set(username=name, password="of a test")
            .render_as_string(hide_password=False)
        )
        cursor.execute(f"drop role {name}")


def test_a_role_that_is_only_a_member_serves_the_whole_api(
    member: str, auth: Callable[..., Account]
) -> None:
    application = create_app(settings_for(member, DB_POOL_SIZE="1", DB_MAX_OVERFLOW="0"))
    client = application.test_client()
    credentials = {"email": f"{new_id()}@example.com", "password": PASSWORD}
    user = client.post("/v1/auth/register", json=credentials).json
    tokens = client.post("/v1/auth/token", json=credentials).json
    account = Account(user["id"], user["email"], tokens["access_token"], client)
    renewed = client.post("/v1/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
    category = account.create_category()
    task = account.create_task(category_id=category["id"])
    for path in ("/v1/me", f"/v1/tasks/{task['id']}", f"/v1/categories/{category['id']}"):
        assert account.get(path).status_code == 200
        assert account.patch(path, json={}).status_code == 200
    for path in ("/v1/tasks", "/v1/categories"):
        assert len(walk(account, path)) == 1
        body = {"title": "Buy milk", "name": "x"}.items()
        named = {k: v for k, v in body if (k == "title") is (path == "/v1/tasks")}
        assert account.put(f"{path}/{new_id()}", json=named).status_code == 201
    made = account.create_token()
    script = account._replace(token=made["token"])
    assert script.delete(f"/v1/tasks/{task['id']}").status_code == 204
    assert script.delete(f"/v1/tokens/{made['id']}").status_code == 204
    assert account.delete(f"/v1/categories/{category['id']}").status_code == 204
    assert account.post(f"/v1/tasks/{task['id']}/restore").status_code == 200
    assert account.delete(f"/v1/tasks/{task['id']}").status_code == 204
    assert len(walk(account, "/v1/trash", limit=1)) == 2
    assert account.delete(f"/v1/trash/{task['id']}").status_code == 204
    assert account.delete("/v1/trash").status_code == 204
    change = {"current_password": PASSWORD, "new_password": f"new {PASSWORD}"}
    assert account.post("/v1/me/password", json=change).status_code == 204
    assert account.delete(f"/v1/sessions/{new_id()}").status_code == 404
    assert account.delete("/v1/sessions").status_code == 204
    assert len(account.get("/v1/sessions").json["items"]) == 1
    signed_out = client.post(
        "/v1/auth/logout", json={"refresh_token": renewed.json["refresh_token"]}
    )
    assert signed_out.status_code == 204
    assert account.get("/v1/me").status_code == 401
    assert client.get("/health/db").status_code == 200
    runner, who = application.test_cli_runner(), ["--user", account.user_id]
    for command in (
        *(["users", name, *who] for name in ("show", "disable", "enable", "sign-out")),
        ["users", "set-password", *who, "--password", PASSWORD],
        ["users", "list"],
        ["purge"],
    ):
        assert runner.invoke(args=command).exit_code == 0, command
    again = client.post("/v1/auth/token", json=credentials).json["access_token"]
    assert account._replace(token=again).erase().status_code == 204
    with application.app_context():
        db.engine.dispose()


def test_a_member_has_nothing_without_the_scope(member: str, owner: Owner) -> None:
    opened = psycopg2.connect(make_url(member).set(drivername="postgresql").render_as_string(False))
    try:
        with opened.cursor() as cursor:
            cursor.execute("select rolsuper, rolbypassrls from pg_roles where rolname = user")
            assert cursor.fetchone() == (False, False)
            cursor.execute("select count(*) from tasks where deleted_at is null")
            assert cursor.fetchone() == (0,)
    finally:
        opened.close()
