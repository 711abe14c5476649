"""The outbox of mails, the jobs of the worker, and the role that it works as.

A mail is a row until the worker has sent it. Its link has a token that is derived from `seed` with
a secret of the service, so that whoever reads the table can use none.

Revision ID: 0018
Revises: 0017
"""

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

distributed_by = {"mails": "user_id", "jobs": None, "worker_totals": None}

OWN = "user_id = nullif(current_setting('app.user_id', true), '')::uuid"

# A role that made another may not yet switch to it: PostgreSQL 16, "Role Membership".
CREATE_ROLE = """
do $$ begin
    if not exists (select from pg_roles where rolname = 'tasks_worker') then
        begin
            create role tasks_worker nologin noinherit nobypassrls;
        exception when duplicate_object or unique_violation then null;
        end;
    end if;
    if not pg_has_role(current_user, 'tasks_worker',
        case when current_setting('server_version_num')::int < 160000
            then 'member' else 'set' end) then
        execute format('grant tasks_worker to %I', current_user);
    end if;
    if not has_schema_privilege('tasks_worker', current_schema(), 'usage') then
        execute format('grant usage on schema %I to tasks_worker', current_schema());
    end if;
end $$
"""

# Another database of the cluster may need it.
DROP_ROLE = """
do $$ begin
    execute format('revoke usage on schema %I from tasks_worker', current_schema());
    drop role tasks_worker;
exception when dependent_objects_still_exist or insufficient_privilege then null;
end $$
"""

MAILS = f"""
create table mails (
    user_id uuid constraint fk_mails_users references users on delete cascade,
    id uuid,
    kind text not null constraint ck_mails_kind check (kind in ('password_reset',
        'registration', 'invitation', 'email_verification', 'email_change', 'email_changed',
        'password_changed')),
    recipient text not null constraint ck_mails_recipient check (
        char_length(recipient) <= 254 and recipient like '_%@_%'
    ),
    seed bytea constraint ck_mails_seed check (octet_length(seed) = 32),
    key_id text,
    created_at timestamptz not null default now(),
    due_at timestamptz not null default now(),
    send_until timestamptz not null default now() + interval '24 hours',
    attempts smallint not null default 0 constraint ck_mails_attempts check (attempts >= 0),
    sent_at timestamptz,
    given_up_at timestamptz,
    last_error text constraint ck_mails_last_error check (char_length(last_error) <= 200),
    constraint pk_mails primary key (user_id, id),
    constraint ck_mails_done check (
        (sent_at is null or given_up_at is null)
        and (seed is null or (sent_at is null and given_up_at is null))
    ),
    constraint ck_mails_key_id check ((key_id is null) = (seed is null))
);
create index ix_mails_due_at on mails (due_at) where sent_at is null and given_up_at is null;
create index ix_mails_done_at on mails (coalesce(sent_at, given_up_at))
    where sent_at is not null or given_up_at is not null;
grant insert (user_id, id, kind, recipient, seed, key_id, send_until) on mails to tasks_auth;
grant select (user_id, id, kind, recipient, seed, key_id, created_at, due_at, send_until, attempts,
        sent_at, given_up_at),
    update (seed, key_id, due_at, attempts, sent_at, given_up_at, last_error)
    on mails to tasks_worker;
grant select (user_id, id, sent_at, given_up_at), delete on mails to tasks_maintenance;
alter table mails enable row level security;
alter table mails force row level security;
create policy queue on mails for insert to tasks_auth with check ({OWN});
create policy look on mails for select to tasks_worker using (true);
create policy work on mails for update to tasks_worker
    using (sent_at is null and given_up_at is null) with check (true);
create policy purge on mails to tasks_maintenance
    using (sent_at is not null or given_up_at is not null);
"""

JOBS = """
create table jobs (
    name text,
    next_at timestamptz not null default now(),
    constraint pk_jobs primary key (name)
);
insert into jobs (name) values ('purge');
grant select, update (next_at) on jobs to tasks_worker;
"""

TOTALS = """
create table worker_totals (
    name text,
    total bigint not null default 0 constraint ck_worker_totals_total check (total >= 0),
    constraint pk_worker_totals primary key (name)
);
insert into worker_totals (name) values ('mails_sent'), ('mails_retried'), ('mails_given_up');
grant select, update (total) on worker_totals to tasks_worker;
"""


def upgrade() -> None:
    op.execute(CREATE_ROLE)
    op.execute(MAILS)
    op.execute(JOBS)
    op.execute(TOTALS)


def downgrade() -> None:
    op.drop_table("worker_totals")
    op.drop_table("jobs")
    op.drop_table("mails")
    op.execute(DROP_ROLE)
