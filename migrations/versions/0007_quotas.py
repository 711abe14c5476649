"""Quotas: upper bounds of what each user stores, on the owner's row.

A user from before was never counted (`counted_at` is null), and is when they next store something.
What the release before writes meanwhile is not counted until the next census.

Revision ID: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

BOUNDS = ("used_rows", "used_bytes")

RIGHTS = """
grant select (used_rows, used_bytes, counted_at), update (used_rows, used_bytes, counted_at)
    on users to tasks_app;
grant select (used_rows, used_bytes), update (used_rows, used_bytes) on users to tasks_maintenance;
grant delete on idempotency_keys to tasks_auth;
"""


def upgrade() -> None:
    for name in BOUNDS:
        op.add_column("users", sa.Column(name, sa.BigInteger, nullable=False, server_default="0"))
    # In two steps, so that users who are there already have none.
    op.add_column("users", sa.Column("counted_at", postgresql.TIMESTAMP(True)))
    op.alter_column("users", "counted_at", server_default=sa.func.now())
    op.execute(RIGHTS)


def downgrade() -> None:
    op.execute("revoke delete on idempotency_keys from tasks_auth")
    for name in (*BOUNDS, "counted_at"):
        op.drop_column("users", name)
