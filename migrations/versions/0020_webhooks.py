"""Webhooks: where users want to be told of changes and reminders, and how far each was told.

An endpoint's state is a position: `told_version` of changes, and `told_reminder_at` with
`told_reminder_task_id` of reminders. `due_at` is when the worker has to look at it next, null while
there is nothing to tell; triggers keep it.

Revision ID: 0020
Revises: 0019
"""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

distributed_by = {"webhooks": "user_id"}

OWN = "user_id = nullif(current_setting('app.user_id', true), '')::uuid"

WEBHOOKS = """
create table webhooks (
    user_id uuid constraint fk_webhooks_users references users on delete cascade,
    id uuid,
    url text not null constraint ck_webhooks_url check (
        char_length(url) <= 2000 and url ~ '^https?://[!-~]+$'
    ),
    events text[] not null constraint ck_webhooks_events check (
        cardinality(events) between 1 and 2 and events <@ array['changes', 'reminder']
    ),
    description text constraint ck_webhooks_description check (
        char_length(description) between 1 and 200
    ),
    secret text not null constraint ck_webhooks_secret check (char_length(secret) <= 200),
    key_id text not null,
    old_secret text,
    old_secret_until timestamptz,
    version bigint not null constraint ck_webhooks_version check (version > 0),
    created_at timestamptz not null,
    updated_at timestamptz not null,
    latest_version bigint not null,
    latest_at timestamptz not null,
    told_version bigint not null,
    told_reminder_at timestamptz not null,
    told_reminder_task_id uuid not null default 'ffffffff-ffff-ffff-ffff-ffffffffffff',
    test_requested_at timestamptz,
    due_at timestamptz,
    claimed_until timestamptz,
    next_attempt_at timestamptz,
    attempts smallint not null default 0 constraint ck_webhooks_attempts check (attempts >= 0),
    slow boolean not null default false,
    last_attempt_at timestamptz,
    last_status smallint,
    last_error text constraint ck_webhooks_last_error check (char_length(last_error) <= 200),
    disabled_at timestamptz,
    constraint pk_webhooks primary key (user_id, id),
    constraint ck_webhooks_old_secret check ((old_secret is null) = (old_secret_until is null))
);
create index ix_webhooks_due_at on webhooks (due_at)
    where attempts = 0 and not slow and due_at is not null;
create index ix_webhooks_retry_at on webhooks (due_at)
    where (attempts > 0 or slow) and due_at is not null;
alter table webhooks enable row level security;
alter table webhooks force row level security;
"""

# Requests write secrets and never read them.
RIGHTS = f"""
grant select (user_id, id, url, events, description, version, created_at, updated_at,
        next_attempt_at, attempts, last_attempt_at, last_status, last_error, disabled_at),
    insert (user_id, id, url, events, description, secret, key_id, version, created_at, updated_at,
        latest_version, latest_at, told_version, told_reminder_at),
    update (url, events, description, secret, key_id, version, updated_at, latest_version,
        latest_at, test_requested_at, next_attempt_at, attempts, disabled_at),
    delete on webhooks to tasks_app;
grant select (user_id, id, url, events, secret, key_id, old_secret, old_secret_until,
        latest_version, latest_at, told_version, told_reminder_at, told_reminder_task_id,
        test_requested_at, due_at, claimed_until, attempts, slow, disabled_at),
    update (secret, key_id, latest_version, latest_at, told_version, told_reminder_at,
        told_reminder_task_id, test_requested_at, claimed_until, next_attempt_at, attempts, slow,
        last_attempt_at, last_status, last_error, disabled_at)
    on webhooks to tasks_worker;
create policy own_rows on webhooks to tasks_app using ({OWN}) with check ({OWN});
create policy look on webhooks for select to tasks_worker using (true);
create policy work on webhooks for update to tasks_worker using (true);
grant select (change_seq) on users to tasks_worker;
alter policy look on users using (email is not null or has_webhooks);
grant select (has_webhooks), update (has_webhooks) on users to tasks_app;
grant select on task_reminders to tasks_worker;
create policy look on task_reminders for select to tasks_worker using (true);
grant select (user_id, task_id, at), delete on task_reminders to tasks_maintenance;
create policy purge on task_reminders to tasks_maintenance
    using (at < now() - interval '7 days');
insert into worker_totals (name)
    values ('webhooks_delivered'), ('webhooks_retried'), ('webhooks_disabled');
"""  # noqa: S608 names of ours

# When the worker has to look at an endpoint: at the end of a claim, for a test, after a pause, or
# when there is something to tell. Changes and tests are sent once a second at most, and reminders
# ten times, so that nobody has the worker flood somebody else.
SETTLE = """
create function settle_webhook() returns trigger language plpgsql as $$
declare
    rings timestamptz;
begin
    if tg_op = 'UPDATE' then
        if new.version > old.version then
            -- A call that is under way decides nothing about what the user has changed meanwhile.
            new.claimed_until := null;
        end if;
        if new.secret <> old.secret and new.version > old.version then
            new.old_secret := old.secret;
            new.old_secret_until := clock_timestamp() + interval '24 hours';
        elsif new.old_secret_until < clock_timestamp() then
            new.old_secret := null;
            new.old_secret_until := null;
        end if;
        if 'changes' = any (new.events) and not 'changes' = any (old.events) then
            new.told_version := new.version;
        end if;
        if 'reminder' = any (new.events) and not 'reminder' = any (old.events) then
            new.told_reminder_at := new.updated_at;
        end if;
    end if;
    new.due_at := null;
    if new.claimed_until is not null then
        new.due_at := new.claimed_until;
    elsif new.test_requested_at is not null then
        new.due_at := greatest(new.test_requested_at, new.last_attempt_at + interval '1 second');
    elsif new.disabled_at is null and new.next_attempt_at is not null then
        new.due_at := new.next_attempt_at;
    elsif new.disabled_at is null then
        if 'changes' = any (new.events) and new.latest_version > new.told_version then
            new.due_at := greatest(new.latest_at, new.last_attempt_at + interval '1 second');
        end if;
        if 'reminder' = any (new.events) then
            select at into rings from task_reminders
                where user_id = new.user_id
                    and (at, task_id) > (new.told_reminder_at, new.told_reminder_task_id)
                order by at, task_id limit 1;
            if rings is not null then
                rings := greatest(rings, new.last_attempt_at + interval '0.1 seconds');
                new.due_at := least(new.due_at, rings);
            end if;
        end if;
    end if;
    return new;
end $$;
create trigger settle_webhook before insert or update on webhooks
    for each row execute function settle_webhook();
"""

# At the end of the transaction, when all else that it writes is there, reminders among it; of
# several writes of a transaction only the last is noted. It has the rights of the worker, whoever
# writes.
NOTE = """
create function note_changes() returns trigger language plpgsql security definer as $$
declare
    noted timestamptz := clock_timestamp();
begin
    if new.change_seq = (select change_seq from users where id = new.id) then
        update webhooks set latest_version = new.change_seq, latest_at = noted
            where user_id = new.id and disabled_at is null and latest_version < new.change_seq;
    end if;
    return null;
end $$;
create constraint trigger note_changes after update of change_seq on users
    deferrable initially deferred
    for each row when (new.has_webhooks and new.change_seq > old.change_seq)
    execute function note_changes();
"""

OWNERSHIP = """
do $$ begin
    execute format('alter function note_changes set search_path = %I, pg_temp', current_schema());
    execute format('grant create on schema %I to tasks_worker', current_schema());
    alter function note_changes owner to tasks_worker;
    execute format('revoke create on schema %I from tasks_worker', current_schema());
end $$
"""


def upgrade() -> None:
    op.add_column(
        "users", sa.Column("has_webhooks", sa.Boolean, nullable=False, server_default=sa.false())
    )
    op.execute(WEBHOOKS)
    op.execute(RIGHTS)
    op.execute(SETTLE)
    op.execute(NOTE)
    op.execute(OWNERSHIP)
    op.execute("revoke execute on function note_changes from public")


def downgrade() -> None:
    op.execute("drop trigger note_changes on users")
    op.execute("drop function note_changes")
    op.drop_table("webhooks")
    op.execute("drop function settle_webhook")
    op.execute("delete from worker_totals where name like 'webhooks%'")
    op.execute("drop policy purge on task_reminders")
    op.execute("revoke all on task_reminders from tasks_maintenance")
    op.execute("drop policy look on task_reminders")
    op.execute("revoke all on task_reminders from tasks_worker")
    op.execute("revoke select (change_seq) on users from tasks_worker")
    op.execute("alter policy look on users using (email is not null)")
    op.drop_column("users", "has_webhooks")
