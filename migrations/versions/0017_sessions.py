"""Sessions can be listed and ended, and accounts disabled.

A session is a family of refresh tokens, seen by those that are not spent. The release before writes
tokens without the new columns. `password_changed_at` tells a sign-in whether the password that it
compared is still the present one, also where its hash was renewed.

Revision ID: 0017
Revises: 0016
"""

import sqlalchemy as sa
from alembic import context, op
from sqlalchemy.dialects.postgresql import TIMESTAMP

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

OWN = "user_id = nullif(current_setting('app.user_id', true), '')::uuid"

RIGHTS = f"""
grant select (user_id, family_id, created_at, expires_at, spent_at, started_at, user_agent,
    address), delete on refresh_tokens to tasks_app;
create policy find on refresh_tokens for select to tasks_app using ({OWN});
create policy finish on refresh_tokens for delete to tasks_app using ({OWN});
grant select (disabled_at) on users to tasks_app;
grant update (password_changed_at) on users to tasks_auth;
grant select (disabled_at), update (disabled_at) on users to tasks_maintenance;
"""

# It runs before the statement of each request, as its user and under the policies: a session that
# ended and an account that was disabled are refused at once.
FUNCTION = """
create function require_caller(session uuid, token uuid) returns void language plpgsql as $$
declare
    me constant uuid := nullif(current_setting('app.user_id', true), '')::uuid;
begin
    if exists (select from users where id = me and disabled_at is not null)
        or session is not null and not exists (
            select from refresh_tokens where user_id = me and family_id = session
                and spent_at is null and expires_at > clock_timestamp()
        )
    then
        raise exception using errcode = 'TA401', message = 'the access token does not count';
    end if;
    if token is not null then
        perform require_token(token);
    end if;
end $$
"""

INDEXES = {
    "ix_refresh_tokens_live": "on refresh_tokens (user_id, family_id) where spent_at is null",
}
"""Built once the migration is committed (migrations/env.py)."""


def upgrade() -> None:
    op.add_column("refresh_tokens", sa.Column("started_at", TIMESTAMP(True)))
    op.add_column("refresh_tokens", sa.Column("user_agent", sa.Text))
    op.add_column("refresh_tokens", sa.Column("address", sa.Text))
    op.add_column("users", sa.Column("password_changed_at", TIMESTAMP(True)))
    op.add_column("users", sa.Column("disabled_at", TIMESTAMP(True)))
    for name, length in (("user_agent", 200), ("address", 50)):
        rule = f"check (char_length({name}) <= {length}) not valid"
        op.execute(f"alter table refresh_tokens add constraint ck_refresh_tokens_{name} {rule}")
        if context.is_offline_mode():
            op.execute(f"alter table refresh_tokens validate constraint ck_refresh_tokens_{name}")
    if context.is_offline_mode():
        for name, definition in INDEXES.items():
            op.execute(f"create index {name} {definition}")
    op.execute(RIGHTS)
    op.execute(FUNCTION)
    op.execute("revoke execute on function require_caller from public")
    op.execute("grant execute on function require_caller to tasks_app, tasks_auth")


def downgrade() -> None:
    op.execute("drop function require_caller")
    op.execute("drop policy find on refresh_tokens")
    op.execute("drop policy finish on refresh_tokens")
    op.execute("revoke select, delete on refresh_tokens from tasks_app")
    op.execute("drop index if exists ix_refresh_tokens_live")
    for name in ("disabled_at", "password_changed_at"):
        op.drop_column("users", name)
    for name in ("address", "user_agent", "started_at"):
        op.drop_column("refresh_tokens", name)
