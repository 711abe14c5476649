"""Every order of a listing is read off an index, from wherever a page begins."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.execution import Statement
from app.scope import reading
from app.tasks import queries
from app.tasks.listings import listing
from app.tasks.models import INDEXED_AFTER
from app.transfer import queries as transfer

KEYS = {
    "created_at": str(datetime.now(UTC) - timedelta(minutes=2500)),
    "updated_at": str(datetime.now(UTC) - timedelta(seconds=2500)),
    "due": "infinity",
    "priority": "1",
    "title": "task 3",
}


@pytest.fixture(scope="module")
def crowd(connection: Any) -> str:
    """The id of a user with 5,000 tasks among others with as many."""
    with connection.cursor() as cursor:
        cursor.execute(
            "with owner as (insert into users (id) select gen_random_uuid()"
            " from generate_series(1, 3) returning id), rows as ("
            " insert into tasks (user_id, id, title, complete, priority, version, created_at,"
            " updated_at) select id, gen_random_uuid(), 'Task ' || n, false, n % 4, n,"
            " now() - n * interval '1 minute', now() - n * interval '1 second'"
            " from owner, generate_series(1, 5000) n) select id from owner limit 1"
        )
        user_id = cursor.fetchone()[0]
        cursor.execute("analyze tasks")
        yield user_id
        cursor.execute(
            "delete from users where id in"
            " (select user_id from tasks group by user_id having count(*) = 5000)"
        )
        cursor.execute("analyze tasks")


@pytest.mark.parametrize("direction", ["", "-"])
@pytest.mark.parametrize("sort", KEYS)
def test_a_page_begins_where_its_cursor_says_by_an_index_condition(
    connection: Any, crowd: str, sort: str, direction: str
) -> None:
    statement = Statement(listing(direction + sort, frozenset(), first_page=False))
    parameters = statement.constants | {
        "user_id": crowd,
        "rows": 51,
        "after_key": KEYS[sort].replace("infinity", f"{direction}infinity"),
        "after_id": crowd,
    }
    with connection.cursor() as cursor:
        cursor.execute(f"{reading(crowd).prefix(5000)} explain {statement.sql}", parameters)
        plan = "\n".join(row[0] for row in cursor.fetchall())

    assert re.search(r"Index Scan (Backward )?using ix_tasks_by_", plan), plan
    assert re.search(r"Index Cond: .*ROW\(", plan), plan
    assert "Sort" not in plan, plan


def test_one_task_is_read_by_its_primary_key(connection: Any, crowd: str) -> None:
    parameters = {"user_id": crowd, "id": crowd}
    with connection.cursor() as cursor:
        cursor.execute(f"{reading(crowd).prefix(5000)} explain {queries.GET.sql}", parameters)
        plan = "\n".join(row[0] for row in cursor.fetchall())

    assert "Index Scan using pk_tasks" in plan, plan


def explained(connection: Any, user_id: str, names: set[str], **values: object) -> str:
    """The plan of the first page by title, as it was run."""
    statement = Statement(listing("title", frozenset(names), first_page=True))
    parameters = statement.constants | {"user_id": user_id, "rows": 51, **values}
    with connection.cursor() as cursor:
        cursor.execute(
            f"{reading(user_id).prefix(5000)} explain (analyze, timing off) {statement.sql}",
            parameters,
        )
        return "\n".join(row[0] for row in cursor.fetchall())


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
    explained(connection, crowd, {"q"}, q=f"%{sought}%", sought=sought)
    plan = explained(connection, crowd, {"q"}, q=f"%{sought}%", sought=sought)
    assert "never executed" in plan, plan
    assert touched(plan) < INDEXED_AFTER + 300, plan


@pytest.mark.parametrize("statement", [transfer.TASKS, transfer.NAMED_TASKS])
def test_an_export_is_read_in_the_order_of_the_primary_key_without_sorting(
    connection: Any, crowd: str, statement: Statement
) -> None:
    with connection.cursor() as cursor:
        sql = f"{reading(crowd).prefix(5000)} explain declare rows cursor for {statement.sql}"
        cursor.execute(sql, {"user_id": crowd})
        plan = "\n".join(row[0] for row in cursor.fetchall())
    assert "pk_tasks" in plan
    assert "Sort" not in plan
