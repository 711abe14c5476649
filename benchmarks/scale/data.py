"""Databases of different sizes, filled by the server itself: the same users, more and more of them.

The tasks of all users lie mixed, as they do after years of use: hardly two of a page of the listing
share a page of the table. One user has a hundred thousand, where the size allows it.
"""

import random
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit, urlunsplit

import psycopg2
from apiflask import APIFlask
from flask_migrate import upgrade
from psycopg2.extras import execute_values

from app import create_app
from app.core.config import Settings

EACH: Final = 450
"""The tasks of an ordinary user, whose texts are not in the index: it begins later."""

TEXTS: Final = 20_000
VOCABULARY: Final = """
    balance book budget buy call cat chapter check clean contract dentist dog draft email feed
    fix flight garage garden hotel invoice kitchen letter meeting milk order paper passport
    pay plan plants prepare print quarterly read rent renew report review schedule send sign
    slides summary update walk wash water website write
"""

INDEXES: Final = """
    select indexname, indexdef from pg_indexes where tablename = 'tasks' and indexname like 'ix_%'
"""
REFERENCES: Final = """
    select format('alter table %s add constraint %s %s not valid',
        conrelid::regclass, conname, pg_get_constraintdef(oid))
    from pg_constraint where confrelid = 'tasks'::regclass
"""
FILL_USERS: Final = """
insert into users (id, change_seq) select lpad(to_hex(n), 32, '0')::uuid, 10000000
    from generate_series(0, %(users)s) n;
insert into categories (user_id, id, name, version, created_at, updated_at)
    select id, lpad(to_hex(n), 32, '0')::uuid, 'Category ' || n, n + 1, now(), now()
    from users, generate_series(0, 4) n;
insert into labels (user_id, id, name, version, created_at, updated_at)
    select id, lpad(to_hex(n), 32, '0')::uuid, 'Label ' || n, n + 6, now(), now()
    from users, generate_series(0, 2) n;
"""
FILL_TASKS: Final = """
insert into tasks (user_id, id, title, description, complete, completed_at, priority, due_date,
    due_at, category_id, version, created_at, updated_at, position, label_ids, parent_id,
    reminders, remind_at)
select lpad(to_hex(owner), 32, '0')::uuid, lpad(to_hex(n), 32, '0')::uuid,
    title || case when dice %% 1000 = 7 then ' zebra' else '' end, description,
    dice %% 5 > 0, case when dice %% 5 > 0 then at end,
    case when dice %% 20 = 3 then 3 when dice %% 20 < 8 then 1 else 0 end,
    case when dice %% 10 in (1, 2, 3) then (at + dice %% 60 * interval '1 day')::date end,
    case when dice %% 10 in (4, 5) then at + dice %% 60 * interval '1 day' end,
    case when dice %% 3 > 0 then lpad(to_hex(greatest(0, dice %% 49 - 44)), 32, '0')::uuid end,
    case when owner = 0 then n / %(every)s else task.place / %(users)s + 1 end,
    at, at + dice %% 30 * interval '1 hour', position_of_time(at),
    array(
        select lpad(to_hex(label), 32, '0')::uuid from generate_series(0, 2) label
        where case label when 0 then dice / 7 %% 4 = 0 when 1 then dice / 11 %% 30 = 0
            else dice / 13 %% 500 = 0 end
    ),
    -- Of eight tasks of a user, the second and the third are subtasks of the first.
    case when owner = 0 and n / %(every)s %% 8 in (1, 2)
            then lpad(to_hex(n - n / %(every)s %% 8 * %(every)s), 32, '0')::uuid
        when owner > 0 and task.place / %(users)s %% 8 in (1, 2)
            then lpad(to_hex(above + (above - 1) / (%(every)s - 1)), 32, '0')::uuid
    end,
    -- Half of those that are open remind within a year.
    case when dice %% 10 = 0 then array[jsonb_build_object('at', rings)] else '{}' end,
    case when dice %% 10 = 0 then array[rings] end
from (
    select *, place - place / %(users)s %% 8 * %(users)s as above from (
    select n, other.place, hashint8extended(n, 1) & 1073741823 as dice,
        timestamptz '2021-01-01Z' + n::float8 / %(tasks)s * interval '5 years' as at,
        case when n %% %(every)s = 0 then 0 else 1 + place %% %(users)s end as owner
    from generate_series(1, %(tasks)s) n, lateral (select n - n / %(every)s as place) other
    ) placed
) task join texts on texts.place = dice / 1000 %% %(texts)s,
    lateral (select now() + (1 + dice / 10 %% 525600) * interval '1 minute' as rings) later
"""
FILL_TASK_LABELS: Final = """
insert into task_labels (user_id, label_id, task_id)
    select user_id, unnest(label_ids), id from tasks where label_ids <> '{}'
"""
FILL_TASK_REMINDERS: Final = """
insert into task_reminders (user_id, task_id, at)
    select user_id, id, unnest(remind_at) from tasks where remind_at is not null
"""


class Size(NamedTuple):
    """How many tasks there are, and how many of them are the big user's."""

    tasks: int

    @property
    def big(self) -> int:
        return min(100_000, self.tasks // 2)

    @property
    def users(self) -> int:
        """The ordinary ones."""
        return (self.tasks - self.big) // EACH

    @property
    def every(self) -> int:
        """Each so manieth task is the big user's."""
        return self.tasks // self.big


def user_id(number: int) -> str:
    """That of the big user is nought."""
    return f"00000000-0000-0000-0000-{number:012x}"


@contextmanager
def filled(cluster: str, size: Size) -> Iterator[str]:
    """The URL of a database of this size, with this release's schema."""
    name = f"tasks_{size.tasks}"
    url = urlunsplit(urlsplit(cluster)._replace(path=f"/{name}"))
    execute(cluster, f"create database {name}")
    with application(url).app_context():
        upgrade()
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            fill(cursor, size)
    yield url


def execute(url: str, sql: str) -> None:
    """Run it as the superuser."""
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        connection.cursor().execute(sql)


def application(url: str) -> APIFlask:
    """The service on this database, with everything on but the reading of its log."""
    environment = {
        "APP_ENV": "test",
        "DATABASE_URL": url,
        "JWT_SECRET": "a secret of the benchmark, longer than it must be",
        "LOG_LEVEL": "ERROR",
        "RATELIMIT_PER_USER": "1000000",
        "RATELIMIT_PER_ADDRESS": "1000000",
    }
    return create_app(Settings.from_environment(environment))


def fill(cursor: Any, size: Size) -> None:
    """Rows first, then what is made of them."""
    numbers = {"tasks": size.tasks, "users": size.users, "every": size.every, "texts": TEXTS}
    cursor.execute("set session_replication_role = replica")  # spares looking up every reference
    cursor.execute("create table texts (place int primary key, title text, description text)")
    execute_values(cursor, "insert into texts values %s", list(texts()), page_size=1000)
    cursor.execute("analyze texts")
    cursor.execute(INDEXES)
    indexes = cursor.fetchall()
    for name, _ in indexes:
        cursor.execute(f"drop index {name}")
    cursor.execute(REFERENCES)
    references = cursor.fetchall()
    cursor.execute("alter table tasks drop constraint pk_tasks cascade")
    cursor.execute(FILL_USERS, numbers)
    cursor.execute(FILL_TASKS, numbers)
    cursor.execute(FILL_TASK_LABELS)
    cursor.execute(FILL_TASK_REMINDERS)
    cursor.execute("alter table tasks add constraint pk_tasks primary key (user_id, id)")
    for (reference,) in references:
        cursor.execute(reference)
    for _, definition in indexes:
        cursor.execute(definition)
    # Before its first change of the run, a user has changed as often as has tasks.
    cursor.execute(
        "update users set change_seq = n from"
        " (select user_id, max(version) + 5 as n from tasks group by 1) made where id = user_id"
    )
    cursor.execute("drop table texts")
    cursor.execute("vacuum analyze")


def texts() -> Iterator[tuple[int, str, str | None]]:
    """Titles of two to four words; every third with a sentence beneath it."""
    words, chance = VOCABULARY.split(), random.Random(1)
    for place in range(TEXTS):
        title = " ".join(chance.choices(words, k=chance.randint(2, 4))).capitalize()
        description = " ".join(chance.choices(words, k=chance.randint(5, 14)))
        yield place, title, description if place % 3 == 0 else None
