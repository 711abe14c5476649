"""Every order of a listing is read off an index, from wherever a page begins."""

import re
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg2
import pytest

from app.api.changes.queries import FEED
from app.api.reminders import queries as reminders
from app.api.tasks import reminding
from app.api.tasks.by_due import BEGINNING, END
from app.api.tasks.listings import listing
from app.api.tasks.models import INDEXED_AFTER
from app.api.transfer import formats, tasks_alone
from app.api.trash import erasing
from app.api.trash import queries as trash
from app.db.scope import reading
from app.db.statement import Statement
from tests.databases import migrate, own_database

KEYS = {
    "created_at": str(datetime.now(UTC) - timedelta(minutes=2500)),
    "updated_at": str(datetime.now(UTC) - timedelta(seconds=2500)),
    "priority": "1",
    "title": "task 3",
}


MIDDLE_ID = "80000000-0000-4000-8000-000000000000"
"""Half of random ids are before it."""


@pytest.fixture(scope="module")
def connection(cluster: str) -> Iterator[Any]:
    """A superuser's connection to a database that has these rows alone."""
    with own_database(cluster) as url, closing(psycopg2.connect(url)) as opened:
        opened.autocommit = True
        migrate(url)
        yield opened


def filled(connection: Any, rows: int, columns: str, values: str) -> str:
    """The id of one of three users who have so many tasks each, with these values of a number."""
    with connection.cursor() as cursor:
        cursor.execute(
            "with owner as (insert into users (id) select gen_random_uuid()"
            " from generate_series(1, 3) returning id), rows as ("
            " insert into tasks (user_id, id, title, complete, version, created_at, updated_at,"
            f" {columns}) select id, gen_random_uuid(), 'Task ' || n, false, n,"
            f" now() - n * interval '1 minute', now() - n * interval '1 second', {values}"
            f" from owner, generate_series(1, {rows}) n) select id from owner limit 1"
        )
        [user_id] = cursor.fetchone()
        cursor.execute("analyze tasks")
    return str(user_id)


@pytest.fixture(scope="module")
def crowd(connection: Any) -> str:
    """The id of a user with 5,000 tasks among others with as many."""
    return filled(
        connection,
        5000,
        "priority, due_at, due_date",
        "n % 4,"
        " case n % 5 when 0 then timestamptz '2026-03-01Z' + n * interval '1 hour' end,"
        " case n % 5 when 1 then date '2026-03-01' + n / 24 end",
    )


def planned(
    connection: Any,
    user_id: str,
    statement: Statement,
    options: str = "(analyze, buffers, timing off)",
    **values: object,
) -> str:
    """The plan of a statement of this user, as it was run unless the options say otherwise."""
    parameters = statement.bind({"user_id": user_id, "rows": 51, **values})
    with connection.cursor() as cursor:
        sql = f"{reading(user_id).prefix(5000)} explain {options} {statement.sql}"
        cursor.execute(sql, parameters)
        return "\n".join(row[0] for row in cursor.fetchall())


@pytest.mark.parametrize("direction", ["", "-"])
@pytest.mark.parametrize("sort", KEYS)
def test_a_page_begins_where_its_cursor_says_by_an_index_condition(
    connection: Any, crowd: str, sort: str, direction: str
) -> None:
    statement = Statement(listing(direction + sort, frozenset(), first_page=False))
    after = {"after_key": KEYS[sort], "after_id": MIDDLE_ID}
    plan = planned(connection, crowd, statement, "", **after)
    assert re.search(r"Index Scan (Backward )?using ix_tasks_by_", plan), plan
    assert re.search(r"Index Cond: .*ROW\(", plan), plan
    assert "Sort" not in plan, plan


MIDDLE = {"instant": "2026-06-13T00:00Z", "day": "2026-06-13"}


def by_due(connection: Any, user_id: str, sort: str, names: set[str], **values: object) -> str:
    """The plan of a page by due time, as it was run."""
    later = any(name.startswith("after_") for name in values)
    passed = "after_no_due" in values
    statement = Statement(listing(sort, frozenset(names), first_page=not later, dues_passed=passed))
    place = BEGINNING if sort == "due" else END
    after = {f"after_{name}": value for name, value in place._asdict().items()}
    return planned(connection, user_id, statement, **{**after, **values})


@pytest.mark.parametrize("sort", ["due", "-due"])
def test_a_page_by_due_time_reads_a_page_of_each_kind_from_where_its_cursor_says(
    connection: Any, crowd: str, sort: str
) -> None:
    after = {f"after_{name}": value for name, value in MIDDLE.items()}
    plan = by_due(connection, crowd, sort, set(), **after)
    for kind in ("due_at", "due_date"):
        scan = rf"Index Scan (Backward )?using ix_tasks_by_{kind} .*rows=51\.00 loops=1\)"
        assert re.search(rf"{scan}\n *Index Cond: .*ROW\({kind}, id\)", plan), plan
    assert re.search(r"using ix_tasks_by_no_due .*never executed", plan), plan
    assert "Rows Removed" not in plan, plan
    assert touched(plan) < 250, plan  # each row may be on a page of its own


@pytest.mark.parametrize("sort", ["due", "-due"])
def test_a_page_of_tasks_that_are_not_due_reads_no_others(
    connection: Any, crowd: str, sort: str
) -> None:
    plan = by_due(connection, crowd, sort, set(), after_no_due=MIDDLE_ID)
    scans = re.findall(r"Index Scan (?:Backward )?using (ix_tasks\w+)", plan)
    assert scans == ["ix_tasks_by_no_due"], plan
    assert re.search(r"Index Cond: .*\(?id [<>] ", plan), plan
    assert touched(plan) < 200, plan


@pytest.mark.parametrize("sort", ["due", "-due"])
@pytest.mark.parametrize("zone", [set(), {"time_zone"}])
def test_a_range_of_due_times_is_read_from_its_edge_on(
    connection: Any, crowd: str, sort: str, zone: set[str]
) -> None:
    connection.cursor().execute(
        "update users set time_zone = 'America/Los_Angeles' where id = %s", (crowd,)
    )
    names = {"due_after_day", "due_before"} | zone
    values = {"due_after_day": "2026-04-20", "due_before": "2026-08-20T12:00Z"}
    plan = by_due(connection, crowd, sort, names, **values, time_zone="Asia/Kathmandu")
    for kind in ("due_at", "due_date"):
        assert re.search(rf"Index Scan (Backward )?using ix_tasks_by_{kind}", plan), plan
    removed = sum(map(int, re.findall(r"Rows Removed by Filter: (\d+)", plan)))
    assert removed <= 24, plan  # of less than a day at one edge
    assert touched(plan) < 200, plan


@pytest.mark.parametrize("after", [0, 2500, 5000])
@pytest.mark.parametrize("copied_to", [0, None])
def test_a_page_of_changes_is_read_off_the_index_of_versions(
    connection: Any, crowd: str, after: int, copied_to: int | None
) -> None:
    plan = planned(connection, crowd, FEED, after=after, copied_to=copied_to)
    assert re.search(r"Index Cond: .*version > ", plan), plan
    assert "Index Scan using ix_tasks_version" in plan, plan
    assert touched(plan) < 200, plan


def explained(connection: Any, user_id: str, names: set[str], **values: object) -> str:
    """The plan of the first page by title, as it was run."""
    statement = Statement(listing("title", frozenset(names), first_page=True))
    return planned(connection, user_id, statement, **values)


def touched(plan: str) -> int:
    """How many buffers the whole of it touched."""
    found = re.search(r"Buffers: shared(?: hit=(\d+))?(?: read=(\d+))?", plan)
    assert found, plan
    return sum(int(number or 0) for number in found.groups())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("complete", True),
        ("category_id", "0198c0de-0000-7000-8000-000000000000"),
        ("due_before", "2026-01-01"),
        ("due_before_day", "2026-01-01"),
        ("due_after", "2027-01-01"),
        ("due_after_day", "2027-01-01"),
        ("updated_after", "2999-01-01"),
    ],
)
def test_a_filter_that_few_tasks_pass_reads_none_of_the_others(
    connection: Any, crowd: str, name: str, value: object
) -> None:
    plan = explained(connection, crowd, {name}, **{name: value})
    assert "Rows Removed" not in plan, plan
    assert touched(plan) < 200, plan


@pytest.mark.parametrize("sought", ["xylophone", "task 49", "zz", "k 4999"])
def test_a_search_reads_a_small_part_of_a_users_many_tasks(
    connection: Any, crowd: str, sought: str
) -> None:
    with connection.cursor() as cursor:
        cursor.execute("update users set change_seq = 5000 where id = %s", (crowd,))
    explained(connection, crowd, {"q"}, q=sought)
    plan = explained(connection, crowd, {"q"}, q=sought)
    assert "never executed" in plan, plan
    assert touched(plan) < INDEXED_AFTER + 300, plan


# The trash


@pytest.fixture(scope="module")
def heap(connection: Any) -> str:
    """The id of a user with 5,000 tasks in the trash and as many live ones, among others' trash."""
    deleted = "case when n % 2 = 0 then now() - n * interval '1 second' end"
    return filled(connection, 10000, "priority, deleted_at", f"0, {deleted}")


@pytest.mark.parametrize("seconds", [1, 9000])
def test_a_page_of_the_trash_begins_where_its_cursor_says_by_an_index_condition(
    connection: Any, heap: str, seconds: int
) -> None:
    at = str(datetime.now(UTC) - timedelta(seconds=seconds))
    values = {"rows": 51, "after_time": at, "after_id": heap, "after_type": "task"}
    plan = planned(connection, heap, trash.NEXT, **values)
    assert re.search(r"Index Scan Backward using ix_tasks_trash", plan), plan
    assert re.search(r"Index Cond: .*ROW\(", plan), plan
    assert touched(plan) < 200, plan


def test_a_part_of_the_trash_is_erased_without_reading_the_rest(connection: Any, heap: str) -> None:
    now = datetime.now(UTC)
    values = {"after": now - timedelta(seconds=2020), "until": now - timedelta(seconds=2000)}
    plan = planned(connection, heap, erasing.ERASE_CHUNK["task"], **values)
    assert "using ix_tasks_trash" in plan or "on ix_tasks_trash" in plan, plan
    assert re.search(r"Index Cond: .*deleted_at > ", plan), plan
    assert touched(plan) < 1000, plan


@pytest.mark.parametrize("statement", [formats.ROWS["tasks"], tasks_alone.NAMED_TASKS])
def test_an_export_is_read_in_the_order_of_the_primary_key_without_sorting(
    connection: Any, crowd: str, statement: Statement
) -> None:
    plan = planned(connection, crowd, statement, "declare rows cursor for")
    assert "pk_tasks" in plan
    assert "Sort" not in plan


# Reminders


@pytest.fixture(scope="module")
def bell(connection: Any) -> str:
    """The id of a user whose 3,000 tasks ring one after the other, among others with as many."""
    user_id = filled(
        connection,
        3000,
        "priority, due_date, reminders",
        "0, date '2099-01-01' + n, array[jsonb_build_object('at', now() + n * interval '1 hour'),"
        ' \'{"days_before": 0, "time": "09:00"}\'::jsonb]',
    )
    with connection.cursor() as cursor:
        cursor.execute("analyze task_reminders")
    return user_id


@pytest.mark.parametrize("place", ["first", "next"])
def test_a_page_of_reminders_reads_no_more_than_that_page(
    connection: Any, bell: str, place: str
) -> None:
    values: dict[str, object] = {"until": None}
    statement = reminders.FIRST
    if place == "next":
        statement = reminders.NEXT
        later = str(datetime.now(UTC) + timedelta(hours=1500))
        values |= {"after_key": later, "after_id": MIDDLE_ID}
    plan = planned(connection, bell, statement, **values)
    scan = r"Index Only Scan using ix_task_reminders_by_user .*rows=51\.00 loops=1\)"
    assert re.search(scan, plan), plan
    assert place == "first" or re.search(r"Index Cond: .*ROW\(", plan), plan
    assert "Sort" not in plan, plan
    assert touched(plan) < 300, plan  # each task may be on a page of its own


def test_what_is_due_among_all_users_is_read_off_an_index(connection: Any, bell: str) -> None:
    sql = "explain (analyze, buffers) select * from task_reminders where at <= %s order by at"
    with connection.cursor() as cursor:
        # So few rows as tests make are sorted as quickly as they are read in their order.
        cursor.execute("set enable_sort = off")
        try:
            cursor.execute(sql, (datetime.now(UTC) + timedelta(hours=3),))
            plan = "\n".join(row[0] for row in cursor.fetchall())
        finally:
            cursor.execute("reset enable_sort")
    assert re.search("(using|on) ix_task_reminders_at", plan), plan
    assert touched(plan) < 100, plan


def test_a_change_of_the_time_zone_reads_only_what_is_in_another(
    connection: Any, bell: str
) -> None:
    with connection.cursor() as cursor:
        cursor.execute("update users set change_seq = 3000 where id = %s", (bell,))
        # In so few rows as tests make, a thousand are found as quickly by reading all.
        cursor.execute("set enable_seqscan = off")
        try:
            plan = planned(connection, bell, Statement(reminding.following()))
        finally:
            cursor.execute("reset enable_seqscan")
    assert "ix_tasks_reminders_zone" in plan, plan
    assert "Seq Scan" not in plan, plan
    assert touched(plan) < 100, plan
