"""Personal access tokens, and the function that asks with each statement if one still counts.

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

distributed_by = {"personal_access_tokens": "user_id"}

TABLE = "personal_access_tokens"
CURRENT_USER_ID = "nullif(current_setting('app.user_id', true), '')::uuid"

RIGHTS = f"""
grant select (user_id, id, name, scopes, last_four, version, created_at, expires_at, last_used_at),
    insert, update (last_used_at), delete on {TABLE} to tasks_app;
grant select (user_id, id, scopes, token_hash, expires_at) on {TABLE} to tasks_auth;
grant select (user_id, id, expires_at), delete on {TABLE} to tasks_maintenance;
alter table {TABLE} enable row level security;
alter table {TABLE} force row level security;
create policy own_rows on {TABLE} to tasks_app
    using (user_id = {CURRENT_USER_ID}) with check (user_id = {CURRENT_USER_ID});
create policy find on {TABLE} for select to tasks_auth using (user_id = {CURRENT_USER_ID});
create policy purge on {TABLE} to tasks_maintenance using (expires_at < now());
"""

# It runs before the statement of each request with such a token, as its user and under the
# policies. The time of the last use is written when it is ten minutes old, and not at all where
# that would wait for somebody or the database takes no writes.
FUNCTION = """
create function require_token(token uuid) returns void language plpgsql as $$
declare
    me constant uuid := nullif(current_setting('app.user_id', true), '')::uuid;
    used timestamptz;
begin
    select coalesce(last_used_at, '-infinity') into used from personal_access_tokens
        where user_id = me and id = token
            and (expires_at is null or expires_at > clock_timestamp());
    if not found then
        raise exception using errcode = 'TA401', message = 'the access token does not count';
    end if;
    if used < now() - interval '10 minutes'
            and not current_setting('transaction_read_only')::boolean then
        update personal_access_tokens set last_used_at = now()
            where user_id = me and id = (
                select id from personal_access_tokens
                    where user_id = me and id = token and (last_used_at is null
                        or last_used_at < now() - interval '10 minutes')
                    for update skip locked
            );
    end if;
end $$
"""


def upgrade() -> None:
    create_table()
    op.execute(RIGHTS)
    op.execute(FUNCTION)
    op.execute("revoke execute on function require_token from public")
    op.execute("grant execute on function require_token to tasks_app")


def downgrade() -> None:
    op.execute("drop function require_token")
    op.drop_table(TABLE)


def timestamp(name: str, *, null: bool = False) -> sa.Column:
    """A column of an instant: UTC, microseconds."""
    return sa.Column(name, postgresql.TIMESTAMP(True), nullable=null)


def create_table() -> None:
    owner = sa.ForeignKey("users.id", ondelete="CASCADE")
    op.create_table(
        TABLE,
        sa.Column("user_id", sa.Uuid, owner, nullable=False),
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("scopes", postgresql.ARRAY(sa.Text), nullable=False),
        sa.Column("token_hash", sa.LargeBinary, nullable=False),
        sa.Column("last_four", sa.Text, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        timestamp("created_at"),
        timestamp("expires_at", null=True),
        timestamp("last_used_at", null=True),
        sa.PrimaryKeyConstraint("user_id", "id", name=f"pk_{TABLE}"),
        *checks(),
    )
    op.create_index(f"uq_{TABLE}_token_hash", TABLE, ["user_id", "token_hash"], unique=True)
    op.create_index(
        f"ix_{TABLE}_expires_at",
        TABLE,
        ["expires_at"],
        postgresql_where=sa.text("expires_at IS NOT NULL"),
    )


def checks() -> list[sa.CheckConstraint]:
    """The rules of its columns."""
    rules = {
        "name": "char_length(name) between 1 and 100 and name = btrim(name)",
        "scopes": "cardinality(scopes) between 1 and 3"
        " and scopes <@ array['tasks:read', 'tasks:write', 'account']",
        "token_hash": "octet_length(token_hash) = 32",
        "last_four": "char_length(last_four) = 4",
        "version": "version > 0",
        "expires_at": "expires_at > created_at",
    }
    return [
        sa.CheckConstraint(rule, name=op.f(f"ck_{TABLE}_{name}")) for name, rule in rules.items()
    ]
