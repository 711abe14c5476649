"""Addresses are confirmed and passwords reset by links in mails, and users invited.

`mail_tokens` has the hash of each link's token, and what it is bound to. The role `tasks_links`
uses links, so that no other role of requests may change an address. An account that is invited or
registered, and not confirmed yet, is a row of `users` with neither address nor password, until
`pending_until`. Whoever asks for a new password writes to `password_resets` whether there is an
account or not; the worker finds out.

Revision ID: 0019
Revises: 0018
"""

import sqlalchemy as sa
from alembic import context, op
from sqlalchemy.dialects.postgresql import TIMESTAMP

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

distributed_by = {"mail_tokens": "user_id", "password_resets": None}

OWN = "user_id = nullif(current_setting('app.user_id', true), '')::uuid"
OWN_ROW = "id = nullif(current_setting('app.user_id', true), '')::uuid"

# A role that made another may not yet switch to it: PostgreSQL 16, "Role Membership".
CREATE_ROLE = """
do $$ begin
    if not exists (select from pg_roles where rolname = 'tasks_links') then
        begin
            create role tasks_links nologin noinherit nobypassrls;
        exception when duplicate_object or unique_violation then null;
        end;
    end if;
    if not pg_has_role(current_user, 'tasks_links',
        case when current_setting('server_version_num')::int < 160000
            then 'member' else 'set' end) then
        execute format('grant tasks_links to %I', current_user);
    end if;
    if not has_schema_privilege('tasks_links', current_schema(), 'usage') then
        execute format('grant usage on schema %I to tasks_links', current_schema());
    end if;
end $$
"""

# Another database of the cluster may need it.
DROP_ROLE = """
do $$ begin
    execute format('revoke usage on schema %I from tasks_links', current_schema());
    drop role tasks_links;
exception when dependent_objects_still_exist or insufficient_privilege then null;
end $$
"""

TOKENS = f"""
create table mail_tokens (
    user_id uuid constraint fk_mail_tokens_users references users on delete cascade,
    token_hash bytea constraint ck_mail_tokens_token_hash check (octet_length(token_hash) = 32),
    kind text not null constraint ck_mail_tokens_kind check (kind in ('password_reset',
        'registration', 'invitation', 'email_verification', 'email_change')),
    email text not null constraint ck_mail_tokens_email check (
        char_length(email) <= 254 and email like '_%@_%'
    ),
    password_hash text,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    used_at timestamptz,
    constraint pk_mail_tokens primary key (user_id, token_hash),
    constraint ck_mail_tokens_expires_at check (expires_at > created_at),
    constraint ck_mail_tokens_password_hash check (
        password_hash is null or kind = 'registration' and used_at is null
    )
);
create index ix_mail_tokens_expires_at on mail_tokens (expires_at);
grant select (user_id, token_hash, kind, email, created_at),
    insert (user_id, token_hash, kind, email, password_hash, expires_at), delete
    on mail_tokens to tasks_auth;
grant select (user_id, token_hash, kind, email, password_hash, expires_at, used_at),
    update (used_at, password_hash), delete
    on mail_tokens to tasks_links;
grant select (user_id, kind, email, created_at),
    insert (user_id, token_hash, kind, email, expires_at) on mail_tokens to tasks_worker;
grant select (user_id, token_hash, expires_at), delete on mail_tokens to tasks_maintenance;
alter table mail_tokens enable row level security;
alter table mail_tokens force row level security;
create policy own_rows on mail_tokens to tasks_auth, tasks_links
    using ({OWN}) with check ({OWN});
create policy look on mail_tokens for select to tasks_worker using (true);
create policy reset on mail_tokens for insert to tasks_worker with check (kind = 'password_reset');
create policy purge on mail_tokens to tasks_maintenance using (expires_at < now());
"""

# To lock a row, one has to be allowed to change it.
RESETS = """
create table password_resets (
    email text constraint ck_password_resets_email check (
        char_length(email) <= 254 and email like '_%@_%' and email = lower(email)
    ),
    asked_at timestamptz not null default now(),
    constraint pk_password_resets primary key (email)
);
create index ix_password_resets_asked_at on password_resets (asked_at);
grant insert (email) on password_resets to tasks_auth;
grant select, update (asked_at), delete on password_resets to tasks_worker;
"""

RIGHTS = f"""
grant select (email_verified) on users to tasks_app;
grant insert (pending_until) on users to tasks_auth;
grant select (id, email, email_verified, password_hash, disabled_at, change_seq, version,
        updated_at),
    update (email, email_verified, password_hash, password_changed_at, pending_until, change_seq,
        version, updated_at)
    on users to tasks_links;
create policy own_links on users to tasks_links using ({OWN_ROW}) with check ({OWN_ROW});
grant select (user_id, family_id), delete on refresh_tokens to tasks_links;
create policy own_links on refresh_tokens to tasks_links using ({OWN});
grant select (user_id, id), delete on personal_access_tokens to tasks_links;
create policy own_links on personal_access_tokens to tasks_links using ({OWN});
grant insert (user_id, id, kind, recipient, send_until) on mails to tasks_links;
create policy tell on mails for insert to tasks_links with check ({OWN});
grant select (pending_until), delete on users to tasks_maintenance;
create policy forget on users for delete to tasks_maintenance using (pending_until < now());
grant select (id, email, disabled_at) on users to tasks_worker;
create policy look on users for select to tasks_worker using (email is not null);
grant insert (user_id, id, kind, recipient, seed, key_id, send_until) on mails to tasks_worker;
create policy reset on mails for insert to tasks_worker with check (kind = 'password_reset');
"""

INDEXES = {"ix_users_pending_until": "on users (pending_until) where pending_until is not null"}
"""Built once the migration is committed (migrations/env.py)."""


def upgrade() -> None:
    op.add_column(
        "users", sa.Column("email_verified", sa.Boolean, nullable=False, server_default=sa.false())
    )
    op.add_column("users", sa.Column("pending_until", TIMESTAMP(True)))
    op.execute(
        "alter table users add constraint ck_users_pending_until"
        " check (pending_until is null or email is null) not valid"
    )
    if context.is_offline_mode():
        op.execute("alter table users validate constraint ck_users_pending_until")
        for name, definition in INDEXES.items():
            op.execute(f"create index {name} {definition}")
    op.execute(CREATE_ROLE)
    op.execute(TOKENS)
    op.execute(RESETS)
    op.execute(RIGHTS)


def downgrade() -> None:
    op.execute("delete from users where pending_until is not null")
    op.execute("drop policy reset on mails")
    op.execute("revoke insert on mails from tasks_worker")
    op.execute("drop policy look on users")
    op.execute("revoke select on users from tasks_worker")
    op.execute("drop policy forget on users")
    op.execute("revoke delete on users from tasks_maintenance")
    op.execute("drop policy tell on mails")
    op.execute("revoke insert on mails from tasks_links")
    for table in ("users", "refresh_tokens", "personal_access_tokens"):
        op.execute(f"drop policy own_links on {table}")
        op.execute(f"revoke all on {table} from tasks_links")
    op.drop_table("password_resets")
    op.drop_table("mail_tokens")
    op.drop_index("ix_users_pending_until", "users", if_exists=True)
    op.drop_column("users", "pending_until")
    op.drop_column("users", "email_verified")
    op.execute(DROP_ROLE)
