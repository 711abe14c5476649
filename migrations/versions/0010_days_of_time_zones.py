"""Days of any time zone: when one begins, and indexes of days and instants apart.

Each index is made only if it is not there yet. On a large table, make them beforehand with the same
definitions and `create index concurrently`, which holds no write back.

Revision ID: 0010
Revises: 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

KEYS = {
    "due_at": ("due_at", "due_at is not null"),
    "due_date": ("due_date", "due_date is not null"),
    "no_due": (None, "due_at is null and due_date is null"),
}
FILTERED = ("complete", "priority", "category_id", "updated_at")

# `at time zone` looks a zone up for each value, which takes five microseconds, and takes `CET` and
# six more names for abbreviations that know no summer time. So these functions set the zone of the
# transaction, cast, and set it back: the setting takes names of zones alone.
# Source: PostgreSQL, "Time Zones".
KNOWN_ZONE = """
create function known_zone(name text, otherwise text) returns text
language plpgsql stable as $$
declare
    outside constant text := current_setting('TimeZone');
begin
    perform set_config('TimeZone', name, true), set_config('TimeZone', outside, true);
    return name;
exception when invalid_parameter_value then
    if otherwise is null then
        raise 'time zone "%" is not known', name using errcode = 'TZ422';
    end if;
    return otherwise;
end $$
"""

# In the zone of the transaction. Where clocks are changed around a midnight, it may come twice or
# not at all: the first second is sought whose local time is midnight or later. If that is of
# another day, this one was left out; it begins a microsecond before the next, so that no two days
# begin at once.
START_OF_SHIFTED_DAY = """
create function start_of_shifted_day(day date) returns timestamptz
language plpgsql stable as $$
declare
    midnight constant timestamp := day;
    by_before constant timestamptz := (midnight - interval '24 hours')::timestamptz
        + interval '24 hours';
    by_after constant timestamptz := (midnight + interval '24 hours')::timestamptz
        - interval '24 hours';
    start timestamptz := least(by_before, by_after);
    seconds integer := extract(epoch from greatest(by_before, by_after) - start);
    half integer;
begin
    if start::timestamp >= midnight then
        return start;
    end if;
    while seconds > 0 loop
        half := seconds / 2;
        if (start + make_interval(secs => half))::timestamp >= midnight then
            seconds := half;
        else
            start := start + make_interval(secs => half + 1);
            seconds := seconds - half - 1;
        end if;
    end loop;
    return case when start::date > day then start - interval '1 microsecond' else start end;
end $$
"""

STARTS_OF_DAYS = """
create function starts_of_days(days date[], zone text)
returns table (day date, start timestamptz)
language plpgsql stable as $$
declare
    outside constant text := current_setting('TimeZone');
begin
    perform set_config('TimeZone', zone, true);
    return query select each, case
        when (each + time '00:00' + interval '24 hours')::timestamptz
                - (each + time '00:00' - interval '24 hours')::timestamptz = interval '48 hours'
            then (each + time '00:00')::timestamptz
        else start_of_shifted_day(each)
    end from unnest(days) each;
    perform set_config('TimeZone', outside, true);
end $$
"""

START_OF_DAY = """
create function start_of_day(day date, zone text) returns timestamptz
language sql stable as $$
    select start from starts_of_days(array[day], zone)
$$
"""

# Clocks that are set back across midnight show the day before once more.
LATEST_DAY = """
create function latest_day(at timestamptz, zone text) returns date
language plpgsql stable as $$
declare
    outside constant text := current_setting('TimeZone');
    day date;
begin
    perform set_config('TimeZone', zone, true);
    day := at;
    perform set_config('TimeZone', outside, true);
    while start_of_day(day + 1, zone) <= at loop
        day := day + 1;
    end loop;
    return day;
end $$
"""


def upgrade() -> None:
    op.execute(KNOWN_ZONE)
    op.execute(START_OF_SHIFTED_DAY)
    op.execute(STARTS_OF_DAYS)
    op.execute(START_OF_DAY)
    op.execute(LATEST_DAY)
    for name, (key, having) in KEYS.items():
        op.create_index(
            f"ix_tasks_by_{name}",
            "tasks",
            ["user_id", *([key] if key else []), "id", *FILTERED],
            postgresql_where=sa.text(f"deleted_at is null and {having}"),
            if_not_exists=True,
        )


def downgrade() -> None:
    for name in KEYS:
        op.drop_index(f"ix_tasks_by_{name}", "tasks")
    op.execute("drop function latest_day")
    op.execute("drop function start_of_day")
    op.execute("drop function starts_of_days")
    op.execute("drop function start_of_shifted_day")
    op.execute("drop function known_zone")
