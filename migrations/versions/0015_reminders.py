"""Reminders of tasks, and when they ring.

`remind_at` has all instants at which an open task reminds its user; clients see the next one.
`task_reminders` has a row for each of them that was still to come when it was written. The list of
a user's reminders reads this table, and so does a search among all users for what is due.

Revision ID: 0015
Revises: 0014
"""

import sqlalchemy as sa
from alembic import context, op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TIMESTAMP

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

distributed_by = {"task_reminders": "user_id"}

OWN = "user_id = nullif(current_setting('app.user_id', true), '')::uuid"

# Without a foreign key to tasks: the trigger below keeps rows of live tasks alone, and only others
# are purged.
TASK_REMINDERS = f"""
create table task_reminders (
    user_id uuid constraint fk_task_reminders_users references users on delete cascade,
    task_id uuid,
    at timestamptz,
    constraint pk_task_reminders primary key (user_id, task_id, at)
);
create index ix_task_reminders_by_user on task_reminders (user_id, at, task_id);
create index ix_task_reminders_at on task_reminders (at);
grant select, insert, delete on task_reminders to tasks_app;
alter table task_reminders enable row level security;
alter table task_reminders force row level security;
create policy own_rows on task_reminders to tasks_app using ({OWN}) with check ({OWN});
"""

# A statement that writes `snoozed_until`, as an import does with all the rest, ends no snooze: this
# marks the row for `settle_reminders`. The triggers of a table run in the order of their names.
NOTE = """
create function note_snooze() returns trigger language plpgsql as $$
begin
    new.remind_at := '{}';
    return new;
end $$;
create trigger note_snooze before insert or update of snoozed_until on tasks
    for each row when (new.snoozed_until is not null) execute function note_snooze();
"""

# When a task reminds its user. What is local is so in the time zone of the recurrence, or else in
# the account's, which `reminders_zone` then names. A snooze silences what comes before its end. It
# is over when the task is due at another time or gets other reminders, and a new task under the id
# of a deleted one has none.
SETTLE = """
create function settle_reminders() returns trigger language plpgsql as $$
declare
    given jsonb;
    zone text;
    day date;
    times timestamptz[] := '{}';
begin
    if new.remind_at is distinct from '{}'
        and (new.reminders, new.due_date, new.due_at, new.occurrence, new.created_at)
            is distinct from
            (old.reminders, old.due_date, old.due_at, old.occurrence, old.created_at)
    then
        new.snoozed_until := null;
    end if;
    new.remind_at := null;
    new.reminders_zone := null;
    if new.erased_version = new.version then
        -- A release that knows no reminders erases the rest.
        new.reminders := '{}';
        new.snoozed_until := null;
    end if;
    if new.deleted_at is not null then
        return new;
    end if;
    foreach given in array new.reminders loop
        if new.due_at is null and (given ? 'before' or given ? 'time' and new.due_date is null) then
            raise 'what reminds before a task is due needs a due time'
                using errcode = '23514', constraint = 'ck_tasks_reminders_due';
        end if;
        continue when new.complete;
        if given ? 'at' then
            times := times || (given->>'at')::timestamptz;
        elsif given ? 'before' then
            times := times || new.due_at - make_interval(
                secs => extract(epoch from (given->>'before')::interval)::double precision);
        else
            if zone is null then
                zone := zone_of_recurrence(new.recurrence);
                if zone is null then
                    select time_zone, known_zone(time_zone, 'UTC') into new.reminders_zone, zone
                        from users where id = new.user_id;
                end if;
                day := coalesce(new.due_date, local_of(new.due_at, zone)::date);
            end if;
            times := times || instant_of(
                day - (given->>'days_before')::integer + (given->>'time')::time, zone);
        end if;
    end loop;
    if new.complete then
        return new;
    end if;
    new.remind_at := nullif(array(
        select distinct each from unnest(times) each
            where (new.snoozed_until is null or each > new.snoozed_until)
                and each >= '0001-01-01Z' and each < '10000-01-01Z'
        union select new.snoozed_until where new.snoozed_until is not null
        order by 1
    ), '{}');
    return new;
end $$;
create trigger settle_reminders_of_new before insert on tasks
    for each row when (new.reminders <> '{}' or new.snoozed_until is not null)
    execute function settle_reminders();
create trigger settle_reminders
    before update of reminders, snoozed_until, due_date, due_at, recurrence, occurrence, complete,
        deleted_at on tasks
    for each row when (new.reminders <> '{}' or old.reminders <> '{}'
        or new.snoozed_until is not null or old.snoozed_until is not null)
    execute function settle_reminders();
"""

# What is past when it is written rings nothing; what became past since is there until it was told.
KEEP = """
create function keep_task_reminders() returns trigger language plpgsql as $$
begin
    if tg_op = 'UPDATE' then
        delete from task_reminders where user_id = new.user_id and task_id = new.id
            and (new.remind_at is null or at <> all (new.remind_at));
    end if;
    insert into task_reminders (user_id, task_id, at)
        select new.user_id, new.id, each from unnest(new.remind_at) each
            where each > clock_timestamp()
        on conflict do nothing;
    return null;
end $$;
create trigger keep_reminders_of_new after insert on tasks
    for each row when (new.remind_at is not null) execute function keep_task_reminders();
create trigger keep_reminders after update on tasks
    for each row when (old.remind_at is distinct from new.remind_at)
    execute function keep_task_reminders();
"""

# What a release that knows no recurrence erases has no due time. Where only the time zone is
# another one, a task stays at its occurrence: by its due time it could be at a completed one. And
# what is past is so by its instant: where clocks change, local times do not have their order.
AMENDED = (
    (
        "settle_recurrence",
        """    if new.recurrence is null then
        new.occurrence := null;
""",
        """    if new.recurrence is null or new.deleted_at is not null then
        new.occurrence := case when new.recurrence is not null then new.occurrence end;
""",
    ),
    (
        "settle_recurrence",
        """        if new.occurrence is not distinct from old.occurrence then
""",
        """        if new.occurrence is not distinct from old.occurrence
            and new.recurrence - 'time_zone' is distinct from old.recurrence - 'time_zone'
        then
""",
    ),
    (
        "next_occurrence",
        """    if not keeps_missed then
        behind := greatest(behind, case when has_time(recurrence) then here
            else here::date - interval '1 day' end);
    end if;
""",
        """    if not keeps_missed and has_time(recurrence) then
        return (select min(at) from unnest(occurrences_of(rule, start, overflow, zone,
            greatest(present, here - interval '1 day'), 3)) at where instant_of(at, zone) > now);
    elsif not keeps_missed then
        behind := greatest(behind, here::date - interval '1 day');
    end if;
""",
    ),
)
"""Parts of functions of migration 0014, and what they become."""

AMEND = """
do $do$
declare
    definition constant text := pg_get_functiondef('{name}'::regproc);
begin
    if position($part${before}$part$ in definition) = 0 then
        raise 'the function {name} is not as it was made';
    end if;
    execute replace(definition, $part${before}$part$, $part${after}$part$);
end $do$
"""

INDEXES = {
    "ix_tasks_reminders_zone": "on tasks (user_id, reminders_zone) where reminders_zone is not null"
}
"""Built once the migration is committed (migrations/env.py)."""


def upgrade() -> None:
    op.add_column(
        "tasks", sa.Column("reminders", ARRAY(JSONB), nullable=False, server_default="{}")
    )
    op.add_column("tasks", sa.Column("snoozed_until", TIMESTAMP(True)))
    op.add_column("tasks", sa.Column("remind_at", ARRAY(TIMESTAMP(True))))
    op.add_column("tasks", sa.Column("reminders_zone", sa.Text))
    op.execute(
        "alter table tasks add constraint ck_tasks_reminders check (cardinality(reminders) <= 10)"
        " not valid"
    )
    if context.is_offline_mode():
        op.execute("alter table tasks validate constraint ck_tasks_reminders")
        for name, definition in INDEXES.items():
            op.execute(f"create index {name} {definition}")
    op.execute(TASK_REMINDERS)
    op.execute(NOTE)
    op.execute(SETTLE)
    op.execute(KEEP)
    for name, before, after in AMENDED:
        op.execute(AMEND.format(name=name, before=before, after=after))


def downgrade() -> None:
    for name, before, after in AMENDED:
        op.execute(AMEND.format(name=name, before=after, after=before))
    for name in ("keep_reminders", "keep_reminders_of_new"):
        op.execute(f"drop trigger {name} on tasks")
    for name in ("settle_reminders", "settle_reminders_of_new", "note_snooze"):
        op.execute(f"drop trigger {name} on tasks")
    op.execute("drop function keep_task_reminders")
    op.execute("drop function settle_reminders")
    op.execute("drop function note_snooze")
    op.drop_table("task_reminders")
    for name in ("reminders_zone", "remind_at", "snoozed_until", "reminders"):
        op.drop_column("tasks", name)
