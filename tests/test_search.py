"""`q`: found by an index where a user has many tasks, and all the same as by looking."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg2.errors import InsufficientPrivilege

from app.api.tasks.models import INDEXED_AFTER
from app.core.ids import new_id
from app.core.places import SEARCHES
from app.db.scope import SEARCH_SECONDS, Role, searching
from tests.conftest import Account
from tests.parallel import at_once, callers
from tests.test_listing import expected
from tests.walking import ids, walk

MANY = 3000
FILL = """
insert into tasks (user_id, id, title, description, complete, priority, due_date, version,
    created_at, updated_at, completed_at)
select %s, gen_random_uuid(),
    (array['Buy milk', 'Pay rent', 'Übersicht', 'It''s a \\ 100%% _x', 'zz top', 'Call Mum'])
        [n %% 6 + 1]
        || case n %% 997 when 5 then ' zebra' when 6 then ' ẞß' when 7 then ' qj' else '' end,
    case n %% 5 when 0 then 'Fetch it at the GARAGE' when 1 then '' end,
    n %% 3 = 0, n %% 4, case when n %% 2 = 0 then date '2026-01-01' + n %% 9 end, n,
    now() - n * interval '1 minute', now(), case when n %% 3 = 0 then now() end
from generate_series(1, %s) n
"""


@pytest.fixture(scope="module")
def hoarder(database_url: str, app: Any, connection: Any) -> Iterator[Account]:
    """A user with many tasks, most of which the index holds."""
    user_id = new_id()
    with connection.cursor() as cursor:
        cursor.execute("insert into users (id, change_seq) values (%s, %s)", (user_id, MANY))
        cursor.execute(FILL, (user_id, MANY))
        cursor.execute("analyze tasks")
        token = app.extensions["token_verifier"].issue(user_id)
        yield Account(user_id, "", token, app.test_client())
        cursor.execute("delete from users where id = %s", (user_id,))


@pytest.fixture(scope="module")
def hoard(hoarder: Account) -> list[dict[str, Any]]:
    return walk(hoarder, limit=200)


@pytest.mark.parametrize(
    "q",
    [
        *("zebra", "ZEBRA", "milk", "it", "e", "zz top z", "qj", "j", "ss", "ß", "ẞ", "ü", "ÜBER"),
        *(
            "'",
            "\\",
            "%",
            "_",
            "s a \\ 100%",
            "0% _X",
            "garage",
            "at the g",
            "xylophone",
            "xj",
            "Ж",
        ),
        *("k\nf", "mum fetch", "\U0001f95b"),
    ],
)
def test_a_search_finds_what_contains_the_text_in_every_order(
    hoarder: Account, hoard: list[dict[str, Any]], q: str
) -> None:
    for sort in ("-created_at", "title", "-due", "priority"):
        found = walk(hoarder, q=q, sort=sort, limit=200)
        assert ids(found) == expected(hoard, sort, q=q), sort


def test_filters_and_pages_narrow_a_search(hoarder: Account, hoard: list[dict[str, Any]]) -> None:
    for q in ("zebra", "milk", "qj"):
        filters = {"q": q, "complete": False, "due_after": "2026-01-02"}
        found = walk(hoarder, **filters, sort="due", limit=7 if q != "milk" else 90)
        assert ids(found) == expected(hoard, "due", **filters)


def test_what_is_written_is_found_at_once_and_what_is_gone_is_not(hoarder: Account) -> None:
    def found(q: str) -> list[str]:
        return ids(walk(hoarder, q=q))

    task_id = hoarder.create_task(title="Wombat", description="marsupial")["id"]
    path = f"/v1/tasks/{task_id}"
    assert found("womb") == found("RSUP") == found("wo") == [task_id]
    hoarder.patch(path, json={"title": "Numbat"})
    assert (found("womb"), found("numb")) == ([], [task_id])
    hoarder.patch(path, json={"complete": True})
    assert found("marsupial") == [task_id]
    hoarder.delete(path)
    assert found("numbat") == found("marsupial") == []


def test_a_user_who_grows_beyond_the_first_changes_finds_old_and_new(
    alice: Account, connection: Any
) -> None:
    old = alice.create_task(title="Wombat, old")["id"]
    with connection.cursor() as cursor:
        cursor.execute(
            "update users set change_seq = %s where id = %s", (INDEXED_AFTER - 1, alice.user_id)
        )
    new = [alice.create_task(title=f"Wombat, {n}")["id"] for n in range(3)]
    assert ids(walk(alice, q="wombat")) == [*new[::-1], old]


TEXT = st.text("aAbZäÄßẞİΣς%_\\'\": \n\U0001f95b", max_size=8)


@settings(max_examples=300)
@given(title=TEXT, description=TEXT, sought=TEXT.filter(bool))
def test_whatever_contains_a_text_has_its_pieces(
    connection: Any, title: str, description: str, sought: str
) -> None:
    pattern = sought.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
    with connection.cursor() as cursor:
        cursor.execute(
            "select %(title)s ilike %(pattern)s or %(description)s ilike %(pattern)s,"
            " text_pieces(%(id)s, %(title)s, %(description)s) @@ pieces_sought(%(id)s, %(sought)s)",
            {
                "id": new_id(),
                "title": title,
                "description": description,
                "sought": sought,
                "pattern": f"%{pattern}%",
            },
        )
        contains, has_pieces = cursor.fetchone()
    assert has_pieces or not contains


LONG = st.text("abÄẞ", min_size=1, max_size=6).map(lambda piece: (piece * 5000)[:5000])


@settings(max_examples=200)
@given(body=TEXT | LONG, sought=TEXT.filter(bool) | LONG.map(lambda text: text[:200]))
def test_a_text_contains_what_ilike_says_it_contains(
    connection: Any, body: str, sought: str
) -> None:
    pattern = sought.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
    with connection.cursor() as cursor:
        cursor.execute(
            "select contains_text(%s, lower(%s)), %s ilike %s", (body, sought, body, f"%{pattern}%")
        )
        contains, like = cursor.fetchone()
    assert contains == like


# Whose tasks they are

SEARCH = "select search_tasks('zebra', '%zebra%', 2000)"


@pytest.fixture
def as_role(connection: Any) -> Iterator[Callable[..., Any]]:
    """What a query gives to one of the roles, for a user or for none."""
    with connection.cursor() as cursor:

        def run(role: str, sql: str, user_id: str = "") -> Any:
            cursor.execute(
                f"set role {role}; select set_config('app.user_id', %s, false)", (user_id,)
            )
            cursor.execute(sql)
            return cursor.fetchone()[0]

        yield run
        cursor.execute("reset role; reset app.user_id")


def test_the_index_gives_a_users_own_tasks_and_no_others(
    hoarder: Account, bob: Account, as_role: Callable[..., Any]
) -> None:
    assert as_role(Role.APP, SEARCH, hoarder.user_id) != "{}"
    namesake = f"{bob.user_id[:-8]}{hoarder.user_id[-8:]}"  # has the same pieces
    for user_id in (bob.user_id, new_id(), namesake, ""):
        assert as_role(Role.APP, SEARCH, user_id) == "{}"


@pytest.mark.parametrize("role", [Role.AUTH, Role.MAINTENANCE])
def test_no_other_role_may_search(
    hoarder: Account, as_role: Callable[..., Any], role: Role
) -> None:
    with pytest.raises(InsufficientPrivilege):
        as_role(role, SEARCH, hoarder.user_id)


def test_the_role_that_searches_reads_and_does_nothing_else(
    hoarder: Account, as_role: Callable[..., Any]
) -> None:
    assert as_role("tasks_search", "select count(title) from tasks") >= MANY
    for sql in ("select user_id from refresh_tokens", "select id from users", "delete from tasks"):
        with pytest.raises(InsufficientPrivilege):
            as_role("tasks_search", sql)


def test_the_function_runs_as_that_role_with_names_of_its_own(connection: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "select proowner::regrole::text, prosecdef, proconfig, proacl::text"
            " from pg_proc where proname = 'search_tasks'"
        )
        assert cursor.fetchone() == (
            "tasks_search",
            True,
            ["search_path=public, pg_temp"],
            "{tasks_search=X/tasks_search,tasks_app=X/tasks_search}",
        )
        cursor.execute("select has_schema_privilege('tasks_search', 'public', 'create')")
        assert cursor.fetchone() == (False,)


# What a search may take


@pytest.fixture
def beside(cluster: str) -> Iterator[Any]:
    """Another session of the database, whose transaction is undone."""
    opened = psycopg2.connect(cluster)
    yield opened.cursor()
    opened.close()


def test_a_search_that_takes_too_long_is_refused_and_says_how_to_narrow_it(
    alice: Account, beside: Any
) -> None:
    beside.execute("lock table tasks")
    started = time.monotonic()
    answer = alice.get("/v1/tasks?q=milk")
    assert time.monotonic() - started < SEARCH_SECONDS + 1
    assert (answer.status_code, answer.json["type"]) == (422, "/problems/search-too-slow")
    assert [error["parameter"] for error in answer.json["errors"]] == ["q"]
    assert "Retry-After" not in answer.headers


def test_a_second_search_waits_for_the_first_and_is_then_refused(
    alice: Account, bob: Account, beside: Any
) -> None:
    alice.create_task(title="Milk")
    turn = searching(alice.user_id).prefix(1000).partition("pg_advisory_xact_lock")[2].split(";")[0]
    beside.execute(f"select pg_advisory_xact_lock{turn}")  # as a search in another process
    answer = alice.get("/v1/tasks?q=milk")
    assert (answer.status_code, answer.json["type"]) == (429, "/problems/too-many-requests")
    assert answer.headers["Retry-After"] == "1"
    assert alice.get("/v1/tasks").status_code == 200
    assert bob.get("/v1/tasks?q=milk").status_code == 200
    beside.connection.rollback()
    assert len(alice.get("/v1/tasks?q=milk").json["items"]) == 1


def test_a_search_of_a_busy_user_is_refused_before_it_reaches_the_database(
    alice: Account, bob: Account, sql: Callable[[], Any]
) -> None:
    with SEARCHES.turn(alice.user_id, "held"), sql() as statements:
        assert alice.get("/v1/tasks?q=milk").status_code == 429
        assert statements == []
        assert bob.get("/v1/tasks?q=milk").status_code == 200
    assert alice.get("/v1/tasks?q=milk").status_code == 200


def test_who_types_has_every_one_of_a_few_searches_answered(alice: Account) -> None:
    alice.create_task(title="Milk")
    answers = at_once([lambda c=c: c.get("/v1/tasks?q=mi") for c in callers(alice, 4)])
    assert [(a.status_code, len(a.json["items"])) for a in answers] == [(200, 1)] * 4


@pytest.mark.slow
def test_a_search_built_to_be_slow_is_answered_in_its_time(alice: Account, connection: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("update users set change_seq = 4000 where id = %s", (alice.user_id,))
        cursor.execute(
            "insert into tasks (user_id, id, title, description, complete, priority, version,"
            " created_at, updated_at) select %s, gen_random_uuid(), 'A task', %s, false, 0, n,"
            " now(), now() from generate_series(1, 4000) n",
            (alice.user_id, ("a" * 99 + "b") * 50),
        )
    for sought, found in (("a" * 100 + "b" + "a" * 98, 0), ("a" * 99 + "b" + "a" * 99, 1)):
        started = time.monotonic()
        answer = alice.get("/v1/tasks", query_string={"limit": 1, "q": sought})
        assert time.monotonic() - started < SEARCH_SECONDS + 1
        if answer.status_code == 422:  # a slower machine than the one this was measured on
            assert answer.json["type"] == "/problems/search-too-slow"
        else:
            assert answer.status_code == 200
            assert len(answer.json["items"]) == found
