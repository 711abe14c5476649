"""Accounts, tasks and categories, with the roles and policies that keep users apart.

Revision ID: 0001
Revises:
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

distributed_by = {
    "users": "id",
    "refresh_tokens": "user_id",
    "categories": "user_id",
    "tasks": "user_id",
    "idempotency_keys": "user_id",
}

ROLES = ("tasks_app", "tasks_auth", "tasks_maintenance")
LIVE = sa.text("deleted_at IS NULL")
DELETED = sa.text("deleted_at IS NOT NULL")

# After a transaction-local setting was used once on a connection, its value is '' and not NULL.
CURRENT_USER_ID = "nullif(current_setting('app.user_id', true), '')::uuid"

GRANTS = """
grant select (id, email, name, time_zone, change_seq, version, created_at, updated_at),
    insert (id), update (name, time_zone, change_seq, version, updated_at), delete
    on users to tasks_app;
grant select, insert (id, email, password_hash, name), update (updated_at) on users to tasks_auth;
grant select (id, email, name, created_at) on users to tasks_maintenance;
grant select, insert, update, delete on refresh_tokens to tasks_auth;
grant select, insert, update on categories, tasks to tasks_app;
grant select, insert, update on idempotency_keys to tasks_app, tasks_auth;
grant select, delete on categories, tasks, refresh_tokens to tasks_maintenance;
grant select (user_id, route, key, created_at), delete on idempotency_keys to tasks_maintenance;
grant select on alembic_version to tasks_app;
"""

POLICIES = f"""
create policy own_row on users to tasks_app
    using (id = {CURRENT_USER_ID}) with check (id = {CURRENT_USER_ID});
create policy find on users for select to tasks_auth, tasks_maintenance using (true);
create policy sign_up on users for insert to tasks_auth with check (id = {CURRENT_USER_ID});
create policy lock on users for update to tasks_auth using (id = {CURRENT_USER_ID});
create policy own_rows on refresh_tokens to tasks_auth
    using (user_id = {CURRENT_USER_ID}) with check (user_id = {CURRENT_USER_ID});
create policy purge on refresh_tokens to tasks_maintenance using (expires_at < now());
create policy own_rows on categories to tasks_app
    using (user_id = {CURRENT_USER_ID}) with check (user_id = {CURRENT_USER_ID});
create policy purge on categories to tasks_maintenance using (deleted_at is not null);
create policy own_rows on tasks to tasks_app
    using (user_id = {CURRENT_USER_ID}) with check (user_id = {CURRENT_USER_ID});
create policy purge on tasks to tasks_maintenance using (deleted_at is not null);
create policy own_rows on idempotency_keys to tasks_app, tasks_auth
    using (user_id = {CURRENT_USER_ID}) with check (user_id = {CURRENT_USER_ID});
create policy purge on idempotency_keys to tasks_maintenance using (true);
"""


def upgrade() -> None:
    create_users()
    create_refresh_tokens()
    create_categories()
    create_tasks()
    create_idempotency_keys()
    for role in ROLES:
        create_role(role)
    op.execute(GRANTS)
    for table in ("users", "refresh_tokens", "categories", "tasks", "idempotency_keys"):
        op.execute(f"alter table {table} enable row level security")
        op.execute(f"alter table {table} force row level security")
    op.execute(POLICIES)


def downgrade() -> None:
    op.execute("revoke select on alembic_version from tasks_app")
    for table in ("idempotency_keys", "tasks", "categories", "refresh_tokens", "users"):
        op.drop_table(table)
    for role in ROLES:
        drop_role(role)


def create_role(role: str) -> None:
    """Create the role, unless another database of the cluster did; let this user switch to it.

    A role that made another may not yet switch to it: PostgreSQL 16, "Role Membership".
    """
    op.execute(
        f"""
        do $$ begin
            if not exists (select from pg_roles where rolname = '{role}') then
                begin
                    create role {role} nologin noinherit nobypassrls;
                exception when duplicate_object or unique_violation then null;
                end;
            end if;
            if not pg_has_role(current_user, '{role}',
                case when current_setting('server_version_num')::int < 160000
                    then 'member' else 'set' end) then
                execute format('grant {role} to %I', current_user);
            end if;
            if not has_schema_privilege('{role}', current_schema(), 'usage') then
                execute format('grant usage on schema %I to {role}', current_schema());
            end if;
        end $$
        """
    )


def drop_role(role: str) -> None:
    """Drop the role, unless another database of the cluster needs it or it is not ours to drop."""
    op.execute(
        f"""
        do $$ begin
            execute format('revoke usage on schema %I from {role}', current_schema());
            drop role {role};
        exception when dependent_objects_still_exist or insufficient_privilege then null;
        end $$
        """
    )


def timestamp(name: str, *, null: bool = False, now: bool = False) -> sa.Column:
    """A column of an instant: UTC, microseconds."""
    default = sa.func.now() if now else None
    return sa.Column(name, postgresql.TIMESTAMP(True), nullable=null, server_default=default)


def due_or(other: str) -> sa.TextClause:
    """The expression of an index on when a task is due, with another value for never."""
    return sa.text(f"(case when due is null then '{other}'::timestamptz else due end)")


def owner() -> sa.Column:
    """The column that leads every key but that of users; the row goes with its user."""
    return sa.Column(
        "user_id",
        sa.Uuid,
        sa.ForeignKey("users.id", ondelete="CASCADE"),
        nullable=False,
    )


def create_users() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("email", sa.Text),
        sa.Column("password_hash", sa.Text),
        sa.Column("name", sa.Text),
        sa.Column("time_zone", sa.Text, nullable=False, server_default="UTC"),
        sa.Column("change_seq", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("version", sa.BigInteger, nullable=False, server_default="0"),
        timestamp("created_at", now=True),
        timestamp("updated_at", now=True),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.CheckConstraint(
            "char_length(email) <= 254 and email like '_%@_%'", name=op.f("ck_users_email")
        ),
        sa.CheckConstraint(
            "(email is null) = (password_hash is null)", name=op.f("ck_users_password")
        ),
        sa.CheckConstraint(
            "char_length(name) between 1 and 100 and name = btrim(name)",
            name=op.f("ck_users_name"),
        ),
        sa.CheckConstraint(
            "char_length(time_zone) between 1 and 64", name=op.f("ck_users_time_zone")
        ),
        sa.CheckConstraint("version <= change_seq", name=op.f("ck_users_version")),
    )
    op.create_index("uq_users_email", "users", [sa.text("lower(email)")], unique=True)


def create_refresh_tokens() -> None:
    op.create_table(
        "refresh_tokens",
        owner(),
        sa.Column("token_hash", sa.LargeBinary, nullable=False),
        sa.Column("family_id", sa.Uuid, nullable=False),
        timestamp("created_at", now=True),
        timestamp("expires_at"),
        timestamp("spent_at", null=True),
        sa.PrimaryKeyConstraint("user_id", "token_hash", name="pk_refresh_tokens"),
        sa.CheckConstraint(
            "octet_length(token_hash) = 32", name=op.f("ck_refresh_tokens_token_hash")
        ),
        sa.CheckConstraint("expires_at > created_at", name=op.f("ck_refresh_tokens_expires_at")),
    )
    op.create_index("ix_refresh_tokens_family_id", "refresh_tokens", ["user_id", "family_id"])
    op.create_index("ix_refresh_tokens_expires_at", "refresh_tokens", ["expires_at"])


def create_categories() -> None:
    op.create_table(
        "categories",
        owner(),
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("color", sa.Text),
        sa.Column("version", sa.BigInteger, nullable=False),
        timestamp("created_at"),
        timestamp("updated_at"),
        timestamp("deleted_at", null=True),
        sa.PrimaryKeyConstraint("user_id", "id", name="pk_categories"),
        sa.CheckConstraint(
            "char_length(name) between 1 and 100 and name = btrim(name)",
            name=op.f("ck_categories_name"),
        ),
        sa.CheckConstraint("color ~ '^#[0-9a-f]{6}$'", name=op.f("ck_categories_color")),
        sa.CheckConstraint("version > 0", name=op.f("ck_categories_version")),
    )
    op.create_index(
        "uq_categories_name",
        "categories",
        ["user_id", sa.text("lower(name)")],
        unique=True,
        postgresql_where=LIVE,
    )
    op.create_index(
        "ix_categories_created_at",
        "categories",
        ["user_id", "created_at", "id"],
        postgresql_where=LIVE,
    )
    op.create_index(
        "ix_categories_deleted_at", "categories", ["deleted_at"], postgresql_where=DELETED
    )


def create_tasks() -> None:
    op.create_table(
        "tasks",
        owner(),
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("description", sa.Text),
        sa.Column("complete", sa.Boolean, nullable=False),
        timestamp("completed_at", null=True),
        sa.Column("priority", sa.SmallInteger, nullable=False),
        sa.Column("due_date", sa.Date),
        timestamp("due_at", null=True),
        sa.Column("category_id", sa.Uuid),
        sa.Column(
            "due",
            postgresql.TIMESTAMP(True),
            sa.Computed("coalesce(due_at, (due_date::timestamp at time zone 'UTC'))", True),
        ),
        sa.Column(
            "title_key", sa.Text(collation="C"), sa.Computed("lower(title)", True), nullable=False
        ),
        sa.Column("version", sa.BigInteger, nullable=False),
        timestamp("created_at"),
        timestamp("updated_at"),
        timestamp("deleted_at", null=True),
        sa.PrimaryKeyConstraint("user_id", "id", name="pk_tasks"),
        sa.ForeignKeyConstraint(
            ["user_id", "category_id"],
            ["categories.user_id", "categories.id"],
            name="fk_tasks_categories",
        ),
        sa.CheckConstraint(
            "char_length(title) between 1 and 200 and title = btrim(title)",
            name=op.f("ck_tasks_title"),
        ),
        sa.CheckConstraint("char_length(description) <= 5000", name=op.f("ck_tasks_description")),
        sa.CheckConstraint(
            "complete = (completed_at is not null)", name=op.f("ck_tasks_completed_at")
        ),
        sa.CheckConstraint("priority between 0 and 3", name=op.f("ck_tasks_priority")),
        sa.CheckConstraint("due_date is null or due_at is null", name=op.f("ck_tasks_due")),
        sa.CheckConstraint(
            "due_date between '0001-01-01' and '9999-12-31'", name=op.f("ck_tasks_due_date")
        ),
        sa.CheckConstraint(
            "due_at >= '0001-01-01Z' and due_at < '10000-01-01Z'", name=op.f("ck_tasks_due_at")
        ),
        sa.CheckConstraint("version > 0", name=op.f("ck_tasks_version")),
    )
    for name, key in (
        ("created_at", "created_at"),
        ("updated_at", "updated_at"),
        ("due_ascending", due_or("infinity")),
        ("due_descending", due_or("-infinity")),
        ("priority", "priority"),
        ("title_key", "title_key"),
    ):
        op.create_index(f"ix_tasks_{name}", "tasks", ["user_id", key, "id"], postgresql_where=LIVE)
    op.create_index(
        "ix_tasks_category_id",
        "tasks",
        ["user_id", "category_id"],
        postgresql_where=sa.text("category_id IS NOT NULL"),
    )
    op.create_index("ix_tasks_deleted_at", "tasks", ["deleted_at"], postgresql_where=DELETED)


def create_idempotency_keys() -> None:
    op.create_table(
        "idempotency_keys",
        owner(),
        sa.Column("route", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("fingerprint", sa.LargeBinary, nullable=False),
        sa.Column("answer", postgresql.JSONB, nullable=False),
        timestamp("created_at"),
        sa.PrimaryKeyConstraint("user_id", "route", "key", name="pk_idempotency_keys"),
        sa.CheckConstraint(
            "char_length(key) between 1 and 255", name=op.f("ck_idempotency_keys_key")
        ),
        sa.CheckConstraint(
            "octet_length(fingerprint) = 32", name=op.f("ck_idempotency_keys_fingerprint")
        ),
    )
    op.create_index("ix_idempotency_keys_created_at", "idempotency_keys", ["created_at"])
