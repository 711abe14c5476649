"""Tasks have a position, by which their user orders them.

New tasks get one from the first statement on, also those that the release before writes. The tasks
that are there get theirs, in the order of their creation, once the schema is committed: in small
transactions, while the release before serves. If that is interrupted, run the upgrade again.

Revision ID: 0011
Revises: 0010
"""

import sqlalchemy as sa
from alembic import context, op

from app.db.scope import Role, Scope, writing
from app.db.statement import Statement
from app.ops import composing

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

CHUNK = 1000
FIRST = "00000000-0000-0000-0000-000000000000"

INDEXES = {
    "ix_tasks_by_position": "on tasks (user_id, position, id, complete, priority, category_id, due,"
    " updated_at) where deleted_at is null"
}
"""Built once the migration is committed (migrations/env.py)."""

# A position is a fraction: its digits, of base 62, stand behind the point. Nine digits count the
# microseconds from 1970 to the year 2398.
POSITION_OF_NUMBER = """
create function position_of_number(number numeric, digits integer) returns text
language plpgsql immutable strict parallel safe as $$
declare
    rest numeric := number;
    made text := '';
begin
    for place in 1..digits loop
        made := substr('0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz',
            mod(rest, 62)::integer + 1, 1) || made;
        rest := div(rest, 62);
    end loop;
    return made;
end $$
"""

POSITION_OF_TIME = """
create function position_of_time(at timestamptz) returns text
language sql immutable strict parallel safe as $$
    select position_of_number(
        least(greatest(floor(extract(epoch from at) * 1000000), 1), 62::numeric ^ 9 - 1), 9)
$$
"""

POSITION_DIGIT = """
create function position_digit(digits text, place integer) returns integer
language sql immutable strict parallel safe as $$
    select strpos('123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz',
        nullif(substr(digits, place, 1), ''))
$$
"""

# Where one end is open, the next numbers of nine digits are taken, or of eighteen where the nine
# are the last there are, and so on: so a list that grows at its ends has short positions.
POSITIONS_BETWEEN = """
create function positions_between(low text, high text, many integer, longest integer)
returns text[]
language plpgsql immutable parallel safe as $$
declare
    low_number numeric := 0;
    high_number numeric := 0;
    all_numbers numeric := 1;
    first_number numeric;
    step numeric := 1;
begin
    for digits in 1..longest loop
        all_numbers := all_numbers * 62;
        low_number := low_number * 62 + coalesce(position_digit(low, digits), 0);
        high_number := high_number * 62 + coalesce(position_digit(high, digits), 0);
        continue when digits % 9 > 0 and (low is null or high is null);
        if low is null and high is null then
            first_number := div(all_numbers, 2);
        elsif high is null then
            continue when low_number + many >= all_numbers;
            first_number := low_number + 1;
        elsif low is null then
            continue when high_number <= many;
            first_number := high_number - many;
        else
            continue when high_number - low_number <= many;
            step := div(high_number - low_number, many + 1);
            first_number := low_number + step;
        end if;
        return array(
            select position_of_number(first_number + step * n, digits)
            from generate_series(0, many - 1) n
        );
    end loop;
    return null;
end $$
"""

# A new task is the last. If the last one has the last position there is, both have it.
POSITIONS_AT_END = """
create function positions_at_end(last text, at timestamptz, many integer) returns text[]
language plpgsql immutable parallel safe as $$
declare
    just_before constant text collate "C" := position_of_time(at - interval '1 microsecond');
begin
    if last > just_before then
        return coalesce(
            positions_between(last, null, many, 64), array_fill(last, array[many]));
    end if;
    return positions_between(just_before, null, many, 64);
end $$
"""

# The moved task with its new position, and those that have to make room for it with theirs: as few
# as possible of those that follow, or of those before where nothing can follow. No row if the
# neighbour is none of the user's live tasks, or the moved one itself. `~` comes after all digits.
MOVED_TASKS = """
create function moved_tasks(owner uuid, moved uuid, neighbour uuid, side text)
returns table (task_id uuid, new_position text, number bigint)
language plpgsql stable as $$
declare
    mine record;
    beside record;
    low record;
    high text;
    other record;
    run uuid[] := '{}';
    made text[];
begin
    select t.position, t.id into strict mine from tasks t
        where t.user_id = owner and t.id = moved and t.deleted_at is null;
    select '~'::varchar as position, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid as id into beside;
    select ''::varchar as position, '00000000-0000-0000-0000-000000000000'::uuid as id into low;
    if neighbour is not null then
        select t.position, t.id into strict beside from tasks t
            where t.user_id = owner and t.id = neighbour and t.id <> moved and t.deleted_at is null;
    end if;
    if side = 'after' then
        low := beside;
    elsif side in ('before', 'end') then
        for other in
            select t.position, t.id from tasks t
                where t.user_id = owner and t.id <> moved and t.deleted_at is null
                    and (t.position, t.id) < (beside.position, beside.id)
                order by t.position desc, t.id desc limit 1
        loop
            low := other;
        end loop;
    end if;
    for other in
        select t.position, t.id from tasks t
            where t.user_id = owner and t.id <> moved and t.deleted_at is null
                and (t.position, t.id) > (low.position, low.id)
            order by t.position, t.id
    loop
        if high is null and (mine.position collate "C", mine.id) > (low.position, low.id)
                and (mine.position collate "C", mine.id) < (other.position, other.id) then
            made := array[mine.position];
        elsif low.position collate "C" < other.position then
            made := positions_between(nullif(low.position, ''), other.position,
                cardinality(run) + 1, case when high is null then 64 else 48 end);
        end if;
        high := coalesce(high, other.position);
        exit when made is not null;
        run := run || other.id;
    end loop;
    if made is null and high is null
            and (mine.position collate "C", mine.id) > (low.position, low.id) then
        made := array[mine.position];
    end if;
    made := coalesce(made,
        positions_between(nullif(low.position, ''), null, cardinality(run) + 1, 64));
    run := moved || run;
    if made is null then
        run := array[moved];
        for other in
            select t.position, t.id from tasks t
                where t.user_id = owner and t.id <> moved and t.deleted_at is null
                    and (t.position, t.id) <= (low.position, low.id)
                order by t.position desc, t.id desc
        loop
            if other.position collate "C" < coalesce(high, '~') then
                made := positions_between(other.position, high, cardinality(run), 48);
            end if;
            exit when made is not null;
            run := other.id || run;
        end loop;
        made := coalesce(made, positions_between(null, high, cardinality(run), 64));
    end if;
    return query select * from unnest(run, made) with ordinality;
exception when no_data_found then
    return;
end $$
"""

RULE = "position ~ '^[0-9A-Za-z]{1,64}$'"

USERS = Statement(
    sa.text(
        "select cast(id as text) from users where id > cast(:after as uuid) order by id limit 100"
    )
)
# The last id of a chunk; those that the release before has written meanwhile have a position.
PLACED = Statement(
    sa.text("""
with chunk as (
    select id from tasks where user_id = :user_id and id > cast(:after as uuid)
        order by id limit :chunk
), placed as (
    update tasks set position = position_of_time(created_at)
        from chunk where user_id = :user_id and tasks.id = chunk.id and position is null
)
select cast(id as text) from chunk order by chunk.id desc limit 1
""")
)
ALL_PLACED = "update tasks set position = position_of_time(created_at) where position is null"

IS_NULLABLE = """
select not attnotnull from pg_attribute
    where attrelid = 'tasks'::regclass and attname = 'position'
"""
REQUIRED = (
    "alter table tasks drop constraint if exists ck_tasks_position",
    "alter table tasks drop constraint if exists placed",
    f"alter table tasks add constraint ck_tasks_position check ({RULE}) not valid",
    "alter table tasks add constraint placed check (position is not null) not valid",
    "alter table tasks validate constraint ck_tasks_position",
    "alter table tasks validate constraint placed",
    "alter table tasks alter column position set not null;alter table tasks drop constraint placed",
)
"""Each in a transaction of its own, so that reads and writes go on while rows are looked at."""


def upgrade() -> None:
    for function in (
        POSITION_OF_NUMBER,
        POSITION_OF_TIME,
        POSITION_DIGIT,
        POSITIONS_BETWEEN,
        POSITIONS_AT_END,
        MOVED_TASKS,
    ):
        op.execute(function)
    op.add_column("tasks", sa.Column("position", sa.String(64, collation="C")))
    op.alter_column(
        "tasks", "position", server_default=sa.text("position_of_time(clock_timestamp())")
    )
    if context.is_offline_mode():
        for statement in (ALL_PLACED, *REQUIRED):
            op.execute(statement)
        for name, definition in INDEXES.items():
            op.execute(f"create index {name} {definition}")


def finish(connection: sa.Connection) -> None:
    """Give each task that has no position one, and hold all tasks to have one."""
    with connection.begin():
        unfinished = connection.scalar(sa.text(IS_NULLABLE))
    if unfinished:
        place_all(connection)
        require(connection)


def place_all(connection: sa.Connection) -> None:
    """Give each task that is there the position of its creation."""
    run, user = composing.through(connection), FIRST
    while users := run(Scope(Role.MAINTENANCE), USERS, after=user):
        for (user,) in users:
            last = [(FIRST,)]
            while last:
                bounds = {"user_id": user, "after": last[0][0], "chunk": CHUNK}
                last = run(writing(user), PLACED, **bounds)
    connection.commit()


def require(connection: sa.Connection) -> None:
    """Hold all tasks to have a position."""
    for statement in REQUIRED:
        with connection.begin():
            connection.execute(sa.text(statement))


def downgrade() -> None:
    op.execute("drop index if exists ix_tasks_by_position")
    op.drop_column("tasks", "position")
    op.execute("drop function moved_tasks")
    op.execute("drop function positions_at_end")
    op.execute("drop function positions_between")
    op.execute("drop function position_digit")
    op.execute("drop function position_of_time")
    op.execute("drop function position_of_number")
