"""`q`: found by an index where a user has many tasks, and all the same as by looking."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg2.errors import InsufficientPrivilege

from app.exchange import new_id
from app.scope import Role
from app.tasks.models import INDEXED_AFTER
from tests.conftest import Account
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


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
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


@pytest.mark.parametrize("description", ["", "a", "ab", "Äß\n\U0001f95b x", "d" * 5000])
def test_the_pieces_of_a_text_are_each_three_letters_in_a_row(
    connection: Any, description: str
) -> None:
    owner = new_id()
    whole = f"Milk\n{description}".lower()
    pieces = {owner[-8:] + whole[place : place + 3] for place in range(len(whole))}
    with connection.cursor() as cursor:
        values = (owner, "Milk", description or None)
        cursor.execute("select tsvector_to_array(text_pieces(%s, %s, %s))", values)
        assert set(cursor.fetchone()[0]) == pieces


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
