"""A clock that a test sets: of a database, and of what the process compares with it."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.databases import opened

# Names without a schema are looked for in `simulated` first, so statements and functions that were
# made before have this clock too. Seconds, as an interval of days depends on the time zone.
INSTALL = """
create schema simulated;
create table simulated.clock (ahead double precision not null);
insert into simulated.clock values (0);
create function simulated.clock_timestamp() returns timestamptz language sql volatile as $$
    select pg_catalog.clock_timestamp() + make_interval(secs => ahead) from simulated.clock
$$;
create function simulated.now() returns timestamptz language sql stable as $$
    select pg_catalog.now() + make_interval(secs => ahead) from simulated.clock
$$;
grant usage on schema simulated to public;
grant select on simulated.clock to public;
do $$ begin
    execute format('alter database %I set search_path = simulated, pg_catalog, public',
        current_database());
end $$;
"""
SET = """
update simulated.clock
    set ahead = extract(epoch from %s - pg_catalog.clock_timestamp()) returning ahead
"""


class Clock:
    """The time of a database; it goes on by itself from where it was set."""

    def __init__(self, cursor: Any) -> None:
        self.cursor = cursor
        self.ahead = timedelta()

    def set(self, instant: datetime) -> None:
        self.cursor.execute(SET, (instant,))
        [(seconds,)] = self.cursor.fetchall()
        self.ahead = timedelta(seconds=seconds)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def stand_in(self) -> type[datetime]:
        """A `datetime` with this clock, for a module that asks it for the time."""
        clock = self

        class Simulated(datetime):
            @classmethod
            def now(cls, tz: Any = None) -> Any:
                return clock.now().astimezone(tz)

        return Simulated


@contextmanager
def simulated_clock(url: str) -> Iterator[Clock]:
    """The clock of a database that is migrated; for connections that are opened from now on."""
    with opened(url) as cursor:
        cursor.execute(INSTALL)
        yield Clock(cursor)
